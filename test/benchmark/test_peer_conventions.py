"""The conventions of other projects' networks: their files, keys and refusals."""

import pytest

from fcn_road_seg.benchmark import peer_conventions
from fcn_road_seg.benchmark.peer_conventions import Conventions, find_peer, load_conventions
from fcn_road_seg.errors import UserError

VALID = """
size: [640, 360]
colour: rgb
scale: 255
fit: letterbox
road: [1]
activation: softmax
"""


def write(folder, text, name="net.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def test_required_keys_suffice_and_the_others_have_defaults(tmp_path):
    assert load_conventions(write(tmp_path, VALID)) == Conventions(
        size=(640, 360), colour="rgb", scale=(255.0,), fit="letterbox", road=(1,), activation="softmax"
    )


def test_every_key_is_read(tmp_path):
    text = VALID + "mean: [1, 2.5, 3]\noutput: da\npad: 0\nthreshold: 0.25\nname: a net\nlicence: MIT\nsource: here\n"
    text = text.replace("scale: 255", "scale: [58.4, 57.1, 57.4]").replace("road: [1]", "road: 1")
    read = load_conventions(write(tmp_path, text))
    assert read.mean == (1, 2.5, 3) and read.scale == (58.4, 57.1, 57.4)
    assert (read.output, read.pad, read.threshold, read.road) == ("da", 0, 0.25, (1,))
    assert (read.name, read.licence, read.source) == ("a net", "MIT", "here")


@pytest.mark.parametrize(
    "change, message",
    [
        (("road: [1]", ""), "net.yaml lacks road"),
        (("colour: rgb", "color: rgb"), "there is no key 'color'; the keys are size, colour,"),
        (("size: [640, 360]", "size: 640x360"), r"size is '640x360', but must be \[width, height\]"),
        (("size: [640, 360]", "size: [640, 0]"), "size is"),
        (("size: [640, 360]", "size: [640, true]"), "size is"),
        (("rgb", "rgba"), "colour is 'rgba', but must be rgb or bgr"),
        (("scale: 255", "scale: 0"), "scale is 0, but must be a number above 0"),
        (("scale: 255", "scale: [1, 2]"), "scale is"),
        (("scale: 255", "scale: .nan"), "scale is"),
        (("scale: 255", "scale: 255\nmean: grey"), "mean is 'grey'"),
        (("letterbox", "crop"), "fit is 'crop', but must be stretch or letterbox"),
        (("letterbox", "letterbox\npad: 256"), "pad is 256, but must be a whole number from 0 to 255"),
        (("letterbox", "stretch\npad: 114"), "pad has no meaning with fit: stretch"),
        (("[1]", "[]"), "road is"),
        (("[1]", "[1, 1]"), "road is"),
        (("[1]", "[-1]"), "road is"),
        (("softmax", "argmax"), "activation is 'argmax', but must be none, softmax or sigmoid"),
        (("softmax", "softmax\noutput: -1"), "output is -1"),
        (("softmax", "softmax\nthreshold: 50"), "threshold is 50, but must be a number from 0 to 1"),
        (("softmax", "softmax\nlicence: 2"), "licence is 2, but must be text"),
        ((VALID, "- size"), "holds no conventions"),
        ((VALID, ""), "holds no conventions"),
        ((VALID, "size: ["), "is not valid YAML"),
    ],
)
def test_a_wrong_file_is_a_user_error(tmp_path, change, message):
    path = write(tmp_path, VALID.replace(*change))
    with pytest.raises(UserError, match=message) as error:
        load_conventions(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_not_text_is_a_user_error(tmp_path):
    (tmp_path / "net.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not valid YAML"):
        load_conventions(tmp_path / "net.yaml")


def test_conventions_lie_beside_the_model_or_are_named(tmp_path, repository):
    model = write(tmp_path, "", "twinlitenet.onnx")
    shipped = repository / "config" / "peers" / "twinlitenet.yaml"
    assert find_peer(str(model)) == (model, shipped)
    assert find_peer(f"{model}:twinlitenet_plus_small") == (model, shipped.with_stem("twinlitenet_plus_small"))
    own, beside = write(tmp_path, VALID, "own.yaml"), write(tmp_path, VALID, "twinlitenet.yaml")
    assert find_peer(f"{model}:{own}") == (model, own)
    assert find_peer(str(model)) == (model, beside)
    odd = write(tmp_path, "", "a:b.onnx")
    write(tmp_path, VALID, "a:b.yaml")
    assert find_peer(str(odd)) == (odd, odd.with_suffix(".yaml"))


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    model = write(tmp_path, "", "net.onnx")
    for text, message in [
        (f"{tmp_path}/none.onnx", "there is no file .*none.onnx"),
        (f"{tmp_path}/none.onnx:own.yaml", "there is no file .*none.onnx"),
        (f"{tmp_path}/net.pth", "is neither an ONNX file, .onnx, nor an OpenVINO file, .xml"),
        (str(model), "needs its input conventions: write .*net.yaml, or give .* shipped name, road-segmentation-adas"),
        (f"{model}:other", "no conventions file other; the shipped ones are road-segmentation-adas-0001, "),
    ]:
        with pytest.raises(UserError, match=message) as error:
            find_peer(text)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(peer_conventions, "SHIPPED", "config/none")
    with pytest.raises(UserError, match="of which this installation has none"):
        find_peer(str(model))


@pytest.mark.parametrize(
    "name, size, colour, fit, road",
    [
        ("road-segmentation-adas-0001", (896, 512), "bgr", "stretch", (1, 3)),
        ("road-segmentation-adas-0001_letterbox", (896, 512), "bgr", "letterbox", (1, 3)),
        ("twinlitenet", (640, 360), "rgb", "stretch", (1,)),
        ("twinlitenet_letterbox", (640, 360), "rgb", "letterbox", (1,)),
        ("twinlitenet_plus_small", (640, 384), "rgb", "letterbox", (1,)),
    ],
)
def test_the_shipped_conventions_are_valid(repository, name, size, colour, fit, road):
    read = load_conventions(repository / "config" / "peers" / f"{name}.yaml")
    assert (read.size, read.colour, read.fit, read.road) == (size, colour, fit, road)
    assert read.name and read.licence and read.source.startswith("https://")
