"""Labels by the vote of several networks: values, thresholds, kept labels, and every refusal."""

import json
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from fcn_road_seg.cli.main import main
from fcn_road_seg.cli.pseudo_label import parts
from fcn_road_seg.datasets.folder import EmptyPartError, Folder
from fcn_road_seg.errors import UserError
from fcn_road_seg.frames.image_file import write_image
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.frames.sample import DatasetError
from fcn_road_seg.inference import checkpoint
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.training.label_folder import Member, images_to_label, label_folder, shown_smaller

GREYS = (0, 100, 200, 250)
"""Of the image's columns."""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    image = np.repeat(np.tile(np.array(GREYS, np.uint8), (2, 1))[..., None], 3, 2)
    write_image(folder / "a.png", image)
    write_image(folder / "b.png", image[:, ::-1])
    return folder


def brightness(image):
    return image[..., 0].copy()


def left_half(image):
    answer = np.zeros(image.shape[:2], np.uint8)
    answer[:, :2] = 255
    return answer


def test_votes_thresholds_and_mirror_images(images, tmp_path):
    """Of a: 2/3 of brightness, mirrored back, and 1/3 of 1/2, the mean of the left half and of its mirror image."""
    members = [Member(brightness, 2, {"weights": "one"}), Member(left_half, 1, {"peer": "two"})]
    probability = [(2 * grey / 255 + 0.5) / 3 for grey in GREYS]  # 0.17, 0.43, 0.69, 0.82
    figures = label_folder(members, images_to_label([images]), tmp_path / "out", road=0.64, not_road=0.4)
    expected = [1 if p >= 0.64 else 0 if p <= 0.4 else 255 for p in probability]
    assert expected == [0, 255, 1, 1]
    frames = Folder(tmp_path / "out")
    assert frames.names == ["a", "b"]
    assert frames[0].label.tolist() == [expected] * 2 and frames[1].label.tolist() == [expected[::-1]] * 2
    assert (frames[0].image[..., 0] == GREYS).all()
    assert figures == {"frames": 2, "left_out": 0, "kept": 0, "road": 0.5, "not_road": 0.25, "ignored": 0.25}
    made_by = json.loads((tmp_path / "out" / "labels.json").read_text())
    assert made_by["members"] == [{"weights": "one", "votes": 2}, {"peer": "two", "votes": 1}]
    assert (made_by["road_from"], made_by["not_road_to"], made_by["mirrored"]) == (0.64, 0.4, True)
    with pytest.raises(EmptyPartError):
        Folder(tmp_path / "out", "val")
    with pytest.raises(UserError, match="already has labels"):
        label_folder(members, images_to_label([images]), tmp_path / "out", 0.64, 0.4)


def test_thresholds_belong_to_their_side(images, tmp_path):
    label_folder([Member(brightness, 1, {})], images_to_label([images]), tmp_path / "out", 200 / 255, 100 / 255)
    assert Folder(tmp_path / "out")[0].label[0].tolist() == [0, 0, 1, 1]


def test_kept_labels_are_filled_where_they_are_unknown(images, tmp_path):
    (tmp_path / "kept").mkdir()
    write_image(tmp_path / "kept" / "a.png", np.array([[1, 255, 255, 0]] * 2, np.uint8))
    out = tmp_path / "out"
    figures = label_folder([Member(brightness, 1, {})], images_to_label([images]), out, 0.7, 0.5, tmp_path / "kept")
    assert Folder(out)[0].label.tolist() == [[1, 0, 1, 0]] * 2 and Folder(out)[1].label.tolist() == [[1, 1, 0, 0]] * 2
    assert figures["kept"] == 1 and json.loads((out / "labels.json").read_text())["kept_labels"].endswith("kept")
    (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match="none has no label of these images, such as a.png"):
        label_folder([], images_to_label([images]), tmp_path / "other", 0.7, 0.5, tmp_path / "none")


def test_the_own_vehicle_is_not_road_unless_a_kept_label_says_so(images, tmp_path, capsys):
    mask, out = tmp_path / "mask.png", tmp_path / "out"
    write_image(mask, np.array([[0, 0, 0, 255], [255, 0, 0, 255]], np.uint8))
    (tmp_path / "kept").mkdir()
    write_image(tmp_path / "kept" / "a.png", np.array([[255, 255, 255, 1], [255] * 4], np.uint8))
    write_image(images / "c.png", np.uint8([[[128] * 3] * 3 + [[255] * 3]] * 2))  # sure only on the vehicle
    command = [Member(brightness, 1, {})], images_to_label([images]), out, 0.7, 0.1
    figures = label_folder(*command, tmp_path / "kept", own_vehicle=OwnVehicle(mask))
    assert Folder(out).names == ["a", "b"] and figures["left_out"] == 1
    assert Folder(out)[0].label.tolist() == [[0, 255, 1, 1], [0, 255, 1, 0]]
    assert Folder(out)[1].label.tolist() == [[1, 1, 255, 0], [0, 1, 255, 0]]
    assert (
        json.loads((out / "labels.json").read_text())["own_vehicle_mask_sha256"]
        == sha256(mask.read_bytes()).hexdigest()
    )
    write_image(mask, np.array([[0, 255]], np.uint8).repeat(9, 0))
    arguments = ["pseudo-label", str(images), "--weights", "lite", "--device", "cpu", "--out", str(tmp_path / "other")]
    assert main([*arguments, "--own-vehicle-mask", str(tmp_path / "none.png")]) == 2
    assert "there is no own-vehicle mask" in capsys.readouterr().err
    assert main([*arguments, "--own-vehicle-mask", str(mask)]) == 2
    assert "has another aspect ratio" in capsys.readouterr().err
    assert not (tmp_path / "other" / "labels").exists()


def test_images_of_which_the_networks_know_nothing_are_left_out(images, tmp_path):
    write_image(images / "b.png", np.full((2, 4, 3), 128, np.uint8))
    figures = label_folder([Member(brightness, 1, {})], images_to_label([images]), tmp_path / "out", 0.7, 0.3)
    assert (figures["frames"], figures["left_out"], figures["ignored"]) == (1, 1, 0.25)
    assert Folder(tmp_path / "out").names == ["a"]
    with pytest.raises(DatasetError, match="sure of no pixel"):
        label_folder([Member(brightness, 1, {})], [images / "b.png"], tmp_path / "other", 0.7, 0.3)


def test_invalid_input_is_refused(images, tmp_path):
    for road, not_road in ((0.5, 0.5), (0.4, 0.6), (1.2, 0.1), (0.9, -0.1)):
        with pytest.raises(UserError, match="the first above the second"):
            label_folder([], images_to_label([images]), tmp_path / "out", road, not_road)
    with pytest.raises(DatasetError, match="missing is not a folder of images"):
        images_to_label([tmp_path / "missing"])
    write_image(images / "a.jpg", np.zeros((2, 4, 3), np.uint8))
    with pytest.raises(DatasetError, match="would have the same label: rename one"):
        images_to_label([images])
    (images / "a.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(images / "a.jpg", exif=exif)
    with pytest.raises(DatasetError, match="a.jpg is stored turned"):
        label_folder([Member(brightness, 1, {})], images_to_label([images]), tmp_path / "out", 0.9, 0.1)


def test_a_frame_shown_smaller_lies_in_the_middle_of_grey():
    image = np.random.default_rng(0).integers(0, 200, (20, 40, 3), np.uint8)
    seen = []

    def segment(framed):
        seen.append(framed)
        return framed[..., 0]

    assert (shown_smaller(segment, 0.8, 114)(image) == image[..., 0]).all()
    assert seen[0].shape == (24, 50, 3) and (seen[0][:2] == 114).all() and (seen[0][:, -5:] == 114).all()
    assert (seen[0][2:22, 5:45] == image).all()


def test_members_are_a_file_a_width_and_votes():
    assert parts("a/b.safetensors", "--weights") == ("a/b.safetensors", 0, 1.0)
    assert parts("road@832*1.5", "--weights") == ("road", 832, 1.5)
    assert parts("m.xml:letterbox@0.85*2", "--peer") == ("m.xml:letterbox", 0.85, 2.0)
    for text in ("", "road*0", "road*", "road*two", "road*1*2"):
        with pytest.raises(UserError, match="--weights is .* but must be FILE or FILE.VOTES"):
            parts(text, "--weights")


def test_the_command_records_the_weights(images, tmp_path, capsys):
    weights = tmp_path / "w.safetensors"
    checkpoint.save(weights, FCN8s("atrous", 16), checkpoint.Metadata("atrous", 16, network_width=64))
    command = ["pseudo-label", str(images), "--out", str(tmp_path / "out"), "--device", "cpu", "--threads", "1"]
    command += ["--road", "0.5", "--not-road", "0.49"]  # of random weights P(road) is seldom far from 0.5
    assert main(command) == 2 and "no network votes: give --weights, --peer or both" in capsys.readouterr().err
    assert (
        main([*command, "--peer", "net.onnx@64"]) == 2 and "a scale is above 0 and at most 1" in capsys.readouterr().err
    )
    assert main([*command, "--weights", f"{weights}@9.5"]) == 2 and "whole number of pixels" in capsys.readouterr().err
    figures = tmp_path / "figures.json"
    assert main([*command, "--weights", str(weights), "--weights", f"{weights}@96*2", "--json", str(figures)]) == 0
    made_by = json.loads((tmp_path / "out" / "labels.json").read_text())
    loaded = checkpoint.load(weights)
    assert [(m["sha256"], m["network_width"], m["votes"]) for m in made_by["members"]] == [
        (loaded.sha256, 64, 1.0),
        (loaded.sha256, 96, 2.0),
    ]
    assert made_by["frames"] == json.loads(figures.read_text())["frames"] == 2
    assert "2 frames" in capsys.readouterr().out and len(Folder(tmp_path / "out")) == 2


def test_the_command_takes_another_projects_network(images, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    shape = [1, 3, 4, 8]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Sigmoid", ["image"], ["out"])],
        "peer",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, shape)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "peer.onnx")
    (tmp_path / "peer.yaml").write_text(
        "size: [8, 4]\ncolour: rgb\nmean: 150\nscale: 10\nfit: stretch\nroad: 0\nactivation: none\n"
    )
    out = tmp_path / "out"
    assert main(["pseudo-label", str(images), "--peer", f"{tmp_path / 'peer.onnx'}@0.9*3", "--out", str(out)]) == 0
    assert Folder(out)[0].label[0].tolist()[::3] == [0, 1]
    (member,) = json.loads((out / "labels.json").read_text())["members"]
    assert (member["votes"], member["scale"]) == (3, 0.9) and member["sha256"] == sha256(
        (tmp_path / "peer.onnx").read_bytes()
    ).hexdigest()
