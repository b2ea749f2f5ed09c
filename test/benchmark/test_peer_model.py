"""Other projects' networks: geometry, colours, outputs and refusals, on a network whose road is the frame's green."""

import cv2
import numpy as np
import pytest
from tiny_peer import CONVENTIONS, green_network

from fcn_road_seg.benchmark import peer_model
from fcn_road_seg.benchmark.letterbox import Box, fit, frame_box, unfit
from fcn_road_seg.benchmark.peer_conventions import Conventions
from fcn_road_seg.benchmark.peer_model import PeerModel
from fcn_road_seg.errors import DeviceError, UserError
from fcn_road_seg.inference.backends.openvino_model import openvino, ops


def conventions(**changes) -> Conventions:
    values = CONVENTIONS | {"output": "mixed"} | changes
    for key in ("size", "road"):
        values[key] = tuple(values[key])
    for key in ("scale", "mean"):
        value = values.get(key, 0)
        values[key] = tuple(value) if isinstance(value, list) else (float(value),)
    return Conventions(**values)


def green(mask: np.ndarray) -> np.ndarray:
    """A frame with the mask in its green channel and its complement in the others."""
    return np.stack([~mask, mask, ~mask], -1).astype(np.uint8) * 255


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return green_network(tmp_path_factory.mktemp("peer") / "green.xml")


@pytest.mark.parametrize(
    "frame_size, box",
    [
        ((192, 64), (0, 0, 192, 64)),
        ((192, 40), (0, 12, 192, 40)),
        ((96, 20), (0, 12, 192, 40)),
        ((40, 64), (76, 0, 40, 64)),
        ((80, 128), (76, 0, 40, 64)),
        ((1242, 375), (0, 3, 192, 58)),
        ((4000, 3), (0, 31, 192, 1)),
    ],
)
def test_a_letterboxed_frame_lies_in_the_middle_as_large_as_possible(frame_size, box):
    assert frame_box(frame_size, (192, 64), letterboxed=True) == box
    assert frame_box(frame_size, (192, 64), letterboxed=False) == (0, 0, 192, 64)


def test_beside_the_frame_the_input_is_grey():
    out = np.zeros((64, 192, 3), np.uint8)
    frame = np.random.default_rng(0).integers(0, 256, (40, 192, 3), np.uint8)
    fit(frame, Box(0, 12, 192, 40), 114, out)
    assert (out[12:52] == frame).all() and (out[:12] == 114).all() and (out[52:] == 114).all()
    fit(255 - frame[:, :30], Box(81, 12, 30, 40), 0, out)
    assert (out[12:52, 81:111] == 255 - frame[:, :30]).all() and out[12:52, 81:111].sum() == out.sum()


@pytest.mark.parametrize("letterboxed", [True, False])
@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("size", [(192, 64), (192, 40), (96, 24), (384, 80), (80, 128), (40, 48)])
def test_an_edge_comes_back_to_the_pixel(network, size, across, letterboxed):
    """Bands of 8 pixels along one axis, because resizing rounds the corners of smaller shapes."""
    width, height = size
    bands = np.arange(height)[:, None] if across else np.arange(width)
    mask = np.broadcast_to(bands % 16 < 8, (height, width))
    model = PeerModel(network, conventions(fit="letterbox" if letterboxed else "stretch"))
    probability = model(green(mask))
    assert probability.shape == mask.shape and probability.dtype == np.uint8
    assert ((probability >= 128) == mask).all()


def test_every_probability_comes_back_exactly_without_scaling(network):
    frame = np.random.default_rng(1).integers(0, 256, (40, 192, 3), np.uint8)
    model = PeerModel(network, conventions())
    assert (model(frame) == frame[..., 1]).all()
    assert (model(frame[:, ::-1]) == frame[:, ::-1, 1]).all()  # a view with negative strides


def test_frames_of_any_size_follow_each_other(network):
    model = PeerModel(network, conventions())
    for height, width in ((40, 192), (128, 80), (64, 192), (40, 192)):
        mask = np.broadcast_to(np.arange(width) % 16 < 8, (height, width))
        assert ((model(green(mask)) >= 128) == mask).all()


@pytest.mark.parametrize("colour, road, channel", [("rgb", 0, 0), ("bgr", 0, 2), ("rgb", 2, 2), ("bgr", 1, 1)])
def test_channels_come_in_the_network_s_order(network, colour, road, channel):
    frame = np.random.default_rng(2).integers(0, 256, (64, 192, 3), np.uint8)
    model = PeerModel(network, conventions(colour=colour, road=[road]))
    assert (model(frame) == frame[..., channel]).all()


def test_mean_and_scale_are_per_channel_in_the_network_s_order(network):
    frame = np.random.default_rng(3).integers(51, 256, (64, 192, 3), np.uint8)
    model = PeerModel(network, conventions(colour="bgr", road=[0], mean=[51, 0, 0], scale=[204, 255, 255]))
    assert np.abs(model(frame).astype(int) - (frame[..., 2] - 51.0) / 204 * 255).max() <= 0.51


def test_the_sum_of_the_road_channels_is_the_road(tmp_path):
    path = green_network(tmp_path / "net.xml", weights=[[0.25, 0, 0], [0, 0.5, 0], [0, 0, 0.25], [9, 9, 9]])
    frame = np.random.default_rng(4).integers(0, 256, (64, 192, 3), np.uint8)
    expected = frame @ [0.25, 0.5, 0.25]
    assert np.abs(PeerModel(path, conventions(road=[0, 1, 2]))(frame) - expected).max() <= 0.51
    assert np.abs(PeerModel(path, conventions(road=[2, 0]))(frame) - frame @ [0.25, 0, 0.25]).max() <= 0.51


@pytest.mark.parametrize(
    "activation, logit",
    [("softmax", lambda red, green: 4 * green - 4 * red), ("sigmoid", lambda red, green: 4 * green)],
)
def test_logits_become_probabilities(tmp_path, activation, logit):
    path = green_network(tmp_path / "net.xml", weights=[[4, 0, 0], [0, 4, 0]])
    frame = np.random.default_rng(5).integers(0, 256, (64, 192, 3), np.uint8)
    expected = 255 / (1 + np.exp(-logit(frame[..., 0] / 255, frame[..., 1] / 255)))
    assert np.abs(PeerModel(path, conventions(activation=activation))(frame) - expected).max() <= 0.51


def test_an_output_goes_by_name_or_number_and_only_its_weights_count(network):
    frame = np.random.default_rng(6).integers(0, 256, (64, 192, 3), np.uint8)
    image, mixed = (PeerModel(network, conventions(output=output)) for output in ("image", 1))
    assert (image(frame) == mixed(frame)).all()
    assert (image.parameters, mixed.parameters) == (0, 9)


@pytest.mark.parametrize("shape", [(1, 64, 192, 3), (-1, 3, -1, -1), (1, -1, -1, 3)])
def test_other_layouts_and_open_sizes(tmp_path, shape):
    frame = np.random.default_rng(7).integers(0, 256, (64, 192, 3), np.uint8)
    assert (PeerModel(green_network(tmp_path / "net.xml", shape), conventions())(frame) == frame[..., 1]).all()


@pytest.mark.parametrize("size", [(192, 64), (192, 32), (96, 16)])
def test_a_smaller_output_covers_the_whole_input(tmp_path, size):
    """The answer of a network with stride 2 is at most one pixel from the frame's own mask."""
    width, height = size
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    answer = PeerModel(green_network(tmp_path / "net.xml", stride=2), conventions())(green(mask)) >= 128
    kernel = np.ones((3, 3), np.uint8)
    assert (answer <= cv2.dilate(mask.view(np.uint8), kernel)).all()
    assert (answer >= cv2.erode(mask.view(np.uint8), kernel)).all()


def test_an_answer_without_channels(tmp_path):
    frame = ops.parameter([1, 3, 64, 192], openvino.Type.f32)
    path = tmp_path / "net.xml"
    answer = ops.squeeze(ops.gather(frame, np.array([1]), np.array(1)), np.array([1]))
    openvino.save_model(openvino.Model([ops.result(answer)], [frame]), path)
    image = np.random.default_rng(8).integers(0, 256, (64, 192, 3), np.uint8)
    assert (PeerModel(path, conventions(output=0, road=[0]))(image) == image[..., 1]).all()
    with pytest.raises(UserError, match="road is channel 1, but the output has 1 channel"):
        PeerModel(path, conventions(output=0))


def test_an_onnx_file_gives_the_same(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["frame", "w"], ["road"])],
        "green",
        [helper.make_tensor_value_info("frame", kind, [1, 3, 64, 192])],
        [helper.make_tensor_value_info("road", kind, [1, 3, 64, 192])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path / "green.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    model = PeerModel(path, conventions(output="road"))
    frame = np.random.default_rng(9).integers(0, 256, (64, 192, 3), np.uint8)
    assert (model(frame) == frame[..., 1]).all()
    assert (model.name, model.parameters, model.precision) == ("green", 9, "fp32")


def test_names_stages_and_arithmetic(network):
    model = PeerModel(network, conventions(name="a peer", threshold=0.25), "bf16", threads=1)
    frame = np.random.default_rng(10).integers(0, 256, (64, 192, 3), np.uint8)
    assert np.abs(model(frame).astype(int) - frame[..., 1]).max() <= 2  # BF16 has 8 bits
    assert list(model.seconds) == ["preprocess", "network", "postprocess"] and min(model.seconds.values()) > 0
    assert (model.name, model.precision, model.threshold, model.input_size) == ("a peer", "bf16", 0.25, (192, 64))


def test_a_quantised_network_says_so(tmp_path):
    frame = ops.parameter([1, 3, 64, 192], openvino.Type.f32)
    limits = (np.float32(0), np.float32(1))
    path = tmp_path / "net.xml"
    answer = ops.fake_quantize(frame, *limits, *limits, 256)
    openvino.save_model(openvino.Model([ops.result(answer)], [frame]), path)
    assert PeerModel(path, conventions(output=0)).precision == "int8 + fp32"


@pytest.mark.parametrize(
    "shape, changes, message",
    [
        ((1, 3, 64, 192), {"size": [64, 192]}, r"192x64, but its conventions say size: \[64, 192\], width before"),
        ((2, 3, 64, 192), {}, "one frame at a time"),
        ((1, 4, 64, 192), {}, "which does not show which dimension holds three colours"),
        ((1, 3, 64, 3), {"size": [3, 64]}, "which does not show which dimension holds three colours"),
        ((1, 3, 64, 192), {"output": "da"}, r"has no output 'da'; its outputs are 0 \(image\), 1 \(mixed\)"),
        ((1, 3, 64, 192), {"output": 2}, "has no output 2"),
        ((1, 3, 64, 192), {"road": [1, 3]}, "road is channel 3, but the output has 3 channel.s., counted from 0"),
    ],
)
def test_a_network_that_does_not_fit_its_conventions(tmp_path, shape, changes, message):
    path = tmp_path / "net.xml"
    network = green_network(path, shape, np.eye(3, shape[1]) if shape[3] != 3 else None)
    with pytest.raises(UserError, match=message) as error:
        PeerModel(network, conventions(**changes))
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def save(path, answer, *inputs):
    openvino.save_model(openvino.Model([ops.result(answer)], list(inputs)), path)


def refusal(path, **changes) -> str:
    with pytest.raises(UserError) as error:
        PeerModel(path, conventions(output=0, **changes))
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_networks_of_another_kind(tmp_path):
    path, kind = tmp_path / "net.xml", openvino.Type.f32
    frame, flat = ops.parameter([1, 3, 64, 192], kind), ops.parameter([3, 64, 192], kind)
    save(path, ops.add(frame, frame2 := ops.parameter([1, 3, 64, 192], kind)), frame, frame2)
    assert "has 2 inputs, but must have one" in refusal(path)
    save(path, flat, flat)
    assert "must have four dimensions" in refusal(path)
    save(path, ops.reduce_mean(frame, np.array([2, 3])), frame)
    assert "the output's shape is [1,3], but must be" in refusal(path)
    save(path, ops.topk(frame, np.array(1), 1, "max", "value").output(1), frame)
    assert "holds i32, such as class numbers, but probabilities or logits are needed" in refusal(path)
    save(path, ops.reduce_max(frame, np.array([1]), keep_dims=True), frame)
    assert "one channel, and its softmax is always 1" in refusal(path, road=[0], activation="softmax")


def test_files_that_cannot_be_read(tmp_path, network):
    for name in ("net.onnx", "net.xml", "net.bin"):
        (tmp_path / name).write_bytes(b"not a network")
    for name in ("net.onnx", "net.xml"):
        assert "cannot be read as an ONNX or OpenVINO model" in refusal(tmp_path / name)
    alone = tmp_path / "alone.xml"
    alone.write_bytes(network.read_bytes())
    assert f"cannot be read without its weights, {tmp_path / 'alone.bin'}" in refusal(alone)


@pytest.mark.parametrize("scale", [1, 0.001])
def test_an_answer_that_is_no_probability_is_refused(network, scale):
    model = PeerModel(network, conventions(scale=scale))
    with pytest.raises(UserError, match="instead of 0 to 1: set the conventions' activation to softmax or sigmoid"):
        model(np.full((64, 192, 3), 128, np.uint8))


def test_without_openvino_the_sentence_names_the_package(network, monkeypatch):
    monkeypatch.setattr(peer_model, "installed", lambda _: False)
    with pytest.raises(DeviceError, match="pip install openvino"):
        PeerModel(network, conventions())


def test_rounding_beyond_one_does_not_wrap():
    road = np.full((4, 4), 1.01, np.float32)
    assert (unfit(road.clip(0, 1), Box(0, 0, 4, 4), (4, 4), (2, 2)) == 255).all()
