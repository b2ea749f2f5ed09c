"""sensor_msgs/Image <-> NumPy, without ROS."""

from array import array
from types import SimpleNamespace

import numpy as np
import pytest

from fcn_road_seg.image_message import ENCODINGS, MAX_SIDE, ImageMessageError, fill_image, image_to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.full((5, 7, 1), 9, np.uint8)
GREY = RGB[:, :, 0]

AS_ENCODED = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], 2), RGB),
    "bgra8": (np.concatenate([RGB[:, :, ::-1], ALPHA], 2), RGB),
    "mono8": (GREY[:, :, None], np.stack([GREY] * 3, 2)),
}


def message(pixels: np.ndarray, layout: str, padding: int = 0, **changes) -> SimpleNamespace:
    """An image message with rows padded by bytes that are no pixels."""
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)), constant_values=77)
    fields = dict(height=height, width=width, encoding=layout, step=rows.shape[1], data=array("B", rows.tobytes()))
    return SimpleNamespace(**fields | changes)


def test_every_encoding_has_a_case():
    assert AS_ENCODED.keys() == ENCODINGS.keys()


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", AS_ENCODED)
def test_decodes(encoding, padding):
    pixels, expected = AS_ENCODED[encoding]
    rgb = image_to_rgb(message(pixels, encoding, padding))
    assert rgb.dtype == np.uint8
    np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_decodes_any_buffer(kind):
    np.testing.assert_array_equal(image_to_rgb(message(RGB, "rgb8", data=kind(RGB.tobytes()))), RGB)


def test_rgb8_is_not_copied():
    source = message(RGB, "rgb8", padding=3)
    assert np.shares_memory(image_to_rgb(source), np.frombuffer(source.data, np.uint8))


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(width=0), "0x5 pixels"),
        (dict(height=0, data=array("B")), "7x0 pixels"),
        (dict(width=MAX_SIDE + 1, step=3 * MAX_SIDE + 3), "is not within 1x1"),
        (dict(width=100_000, height=100_000, step=300_000, data=b"0123456789"), "100000x100000"),
        (dict(width=16_000, height=16_000, step=48_000, data=b"0123456789"), "768000000 bytes, but 10 came"),
        (dict(step=20), "a step of 20 bytes is too small for 7 pixels of rgb8, which have 21"),
        (dict(step=0), "a step of 0 bytes"),
        (dict(data=RGB.tobytes()[:-1]), "105 bytes, but 104 came"),
        (dict(data=RGB.tobytes() + b"0"), "105 bytes, but 106 came"),
        (dict(data=b""), "105 bytes, but 0 came"),
        (dict(data=[1, 2, 3]), "not a buffer of bytes"),
        (dict(encoding=""), "the encoding '' is not one of rgb8, bgr8"),
        (dict(encoding="32SC4"), "the encoding '32SC4'"),
    ],
)
def test_a_message_that_cannot_be_used_is_refused_in_one_sentence(changes, words):
    with pytest.raises(ImageMessageError) as error:
        image_to_rgb(message(RGB, "rgb8", **changes))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("encoding, pixels", [("mono8", GREY), ("bgr8", RGB[:, ::-1, ::-1]), ("rgb8", RGB[::2])])
def test_fill_and_decode_agree(encoding, pixels):
    filled = fill_image(SimpleNamespace(header="as it was"), pixels, encoding)
    assert filled.header == "as it was"
    assert (filled.height, filled.width) == pixels.shape[:2]
    assert filled.step == pixels[0].size
    assert filled.is_bigendian == 0
    assert isinstance(filled.data, array) and filled.data.typecode == "B"
    expected = {"mono8": lambda p: np.stack([p] * 3, 2), "bgr8": lambda p: p[:, :, ::-1], "rgb8": lambda p: p}
    np.testing.assert_array_equal(image_to_rgb(filled), expected[encoding](pixels))


@pytest.mark.parametrize("pixels", [GREY, RGB.astype(np.float32), RGB[None], np.concatenate([RGB, ALPHA], 2)])
def test_fill_refuses_pixels_that_are_not_the_encoding(pixels):
    with pytest.raises(ImageMessageError, match="are not bgr8"):
        fill_image(SimpleNamespace(), pixels, "bgr8")
