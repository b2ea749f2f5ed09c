"""sensor_msgs/Image and sensor_msgs/CompressedImage <-> NumPy, without ROS."""

import struct
import sys
import tracemalloc
import zlib
from array import array
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from fcn_road_seg.frames import image_message
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_file import decode_rgb
from fcn_road_seg.frames.image_message import (
    ENCODINGS,
    MAX_SIDE,
    ImageMessageError,
    compressed_to_rgb,
    fill_compressed,
    fill_image,
    image_to_rgb,
)

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
ALPHA = np.full((5, 7, 1), 9, np.uint8)
GREY = RGB[:, :, 0]
GREY_RGB = np.stack([GREY] * 3, 2)
BGRA = np.concatenate([RGB[:, :, ::-1], ALPHA], 2)

FLAT = np.full((8, 12, 3), (200, 120, 40), np.uint8)
FLAT[:, 6:] = (30, 90, 220)


def mosaic(pattern: str) -> np.ndarray:
    """FLAT through a Bayer sensor: one colour per pixel; the pattern names those of the first two rows."""
    channel = np.array(["rgb".index(letter) for letter in pattern]).reshape(2, 2)
    return np.take_along_axis(FLAT, np.tile(channel, (4, 6))[:, :, None], 2)


def yuv() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """FLAT as Y, U and V of BT.601 with Y from 16 to 235, (8, 12) each."""
    r, g, b = np.moveaxis(FLAT / 255, 2, 0)
    y = 16 + 65.481 * r + 128.553 * g + 24.966 * b
    u = 128 - 37.797 * r - 74.203 * g + 112 * b
    v = 128 + 112 * r - 93.786 * g - 18.214 * b
    return tuple(np.round(plane).astype(np.uint8) for plane in (y, u, v))


Y, U, V = yuv()
CHROMA = [np.where(np.arange(12) % 2, second, first) for first, second in ((U, V), (V, U))]
UYVY, YUYV = np.stack([CHROMA[0], Y], 2), np.stack([Y, CHROMA[0]], 2)

EXACT = {
    "rgb8": (RGB, RGB),
    "bgr8": (RGB[:, :, ::-1], RGB),
    "rgba8": (np.concatenate([RGB, ALPHA], 2), RGB),
    "bgra8": (BGRA, RGB),
    "mono8": (GREY, GREY_RGB),
    "8UC1": (GREY, GREY_RGB),
    "8UC3": (RGB[:, :, ::-1], RGB),
    "8UC4": (BGRA, RGB),
}
EXACT |= {  # little-endian, with the values of EXACT in the high bytes
    name.replace("8", "16"): (np.stack([np.full_like(pixels, 9), pixels], -1), rgb)
    for name, (pixels, rgb) in EXACT.items()
    if name in ("rgb8", "bgr8", "rgba8", "bgra8", "mono8")
}
FLAT_AREAS = {
    "bayer_rggb8": mosaic("rggb"),
    "bayer_bggr8": mosaic("bggr"),
    "bayer_gbrg8": mosaic("gbrg"),
    "bayer_grbg8": mosaic("grbg"),
    "yuv422": UYVY,
    "uyvy": UYVY,
    "yuv422_yuy2": YUYV,
    "yuyv": YUYV,
    "nv12": np.concatenate([Y, CHROMA[0][::2]]),
    "nv21": np.concatenate([Y, CHROMA[1][::2]]),
}
FLAT_AREAS |= {
    name.replace("8", "16"): np.stack([np.full_like(pixels, 9), pixels], -1)
    for name, pixels in FLAT_AREAS.items()
    if name.startswith("bayer")
}


def message(pixels: np.ndarray, layout: str, padding: int = 0, **changes) -> SimpleNamespace:
    """An image message with the rows of ``pixels``, each followed by padding bytes."""
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, -1), ((0, 0), (0, padding)), constant_values=77)
    fields = dict(height=height, width=width, encoding=layout, is_bigendian=0, step=rows.shape[1])
    return SimpleNamespace(**fields | dict(data=array("B", rows.tobytes())) | changes)


def example(layout: str, padding: int = 0) -> SimpleNamespace:
    """A message of any encoding."""
    if layout in EXACT:
        return message(EXACT[layout][0], layout, padding)
    return message(FLAT_AREAS[layout], layout, padding, height=len(FLAT))


def check(layout: str, rgb: np.ndarray) -> None:
    """Check that this is the picture of the example."""
    assert rgb.dtype == np.uint8
    if layout in EXACT:
        np.testing.assert_array_equal(rgb, EXACT[layout][1])
    else:  # where the two colours meet, they mix
        assert rgb.shape == FLAT.shape
        np.testing.assert_allclose(rgb[:, [*range(4), *range(8, 12)]], FLAT[:, [*range(4), *range(8, 12)]], atol=3)


def error_of(decode, source) -> ImageMessageError:
    with pytest.raises(ImageMessageError) as error:
        decode(source)
    assert len(str(error.value).splitlines()) == 1
    return error.value


def test_every_encoding_has_a_case():
    assert EXACT.keys() | FLAT_AREAS.keys() == ENCODINGS.keys()


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_decodes(encoding, padding):
    check(encoding, image_to_rgb(example(encoding, padding)))


@pytest.mark.parametrize("padding", [0, 3])
def test_mono16_is_the_high_byte_in_either_order(padding):
    values = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1871
    for order in "<>":
        pixels = values.astype(order + "u2")[:, :, None].view(np.uint8)
        rgb = image_to_rgb(message(pixels, "mono16", padding, is_bigendian=int(order == ">")))
        np.testing.assert_array_equal(rgb, np.stack([values >> 8] * 3, 2))


DARK = np.arange(35, dtype=np.uint16).reshape(5, 7) * 20  # up to 680


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("name", ["mono16", "rgb16", "bayer_rggb16"])
def test_the_bits_in_use_of_16_are_scaled_to_8(name, bits):
    pixels, rgb = FLAT_AREAS["bayer_rggb8"] if "bayer" in name else GREY, GREY_RGB
    if name == "rgb16":
        pixels, rgb = RGB, RGB
    pixels = pixels.astype(np.uint16) << 8 >> (16 - bits)
    picture = image_to_rgb(message(pixels[:, :, None].view(np.uint8), name, height=len(pixels), width=pixels.shape[1]))
    if "bayer" in name:
        np.testing.assert_allclose(picture[:, [0, 11]], FLAT[:, [0, 11]], atol=3)
    else:
        np.testing.assert_array_equal(picture, rgb)
    if name == "mono16":
        png = compressed_to_rgb(compressed(encoded(".png", pixels), "mono16; png compressed "))
        np.testing.assert_array_equal(png, rgb)


def test_the_bits_of_a_camera_only_grow():
    notes: list[str] = []
    camera = BitDepth(notes.append)
    brightest = []
    for largest in (680, 900, 4000, 680, 70, 4095):
        pixels = np.minimum(DARK, largest).astype(np.uint16)
        pixels[0, 0] = largest
        source = message(pixels[:, :, None].view(np.uint8), "mono16")
        brightest.append(int(image_to_rgb(source, bit_depth=camera)[0, 0, 0]))
    assert brightest == [680 >> 2, 900 >> 2, 4000 >> 4, 680 >> 4, 70 >> 4, 255]
    assert notes == [
        "16-bit images with values of 10 bits (the largest is 680): 1023 is white",
        "16-bit images with values of 12 bits (the largest is 4000): 4095 is white",
    ]


def test_size_and_encoding_may_change_between_frames():
    for encoding in [*ENCODINGS, *reversed(ENCODINGS)]:
        check(encoding, image_to_rgb(example(encoding)))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_decodes_any_buffer(kind):
    np.testing.assert_array_equal(image_to_rgb(message(RGB, "rgb8", data=kind(RGB.tobytes()))), RGB)


def test_rgb8_is_not_copied():
    source = message(RGB, "rgb8", padding=3)
    assert np.shares_memory(image_to_rgb(source), np.frombuffer(source.data, np.uint8))


@pytest.mark.parametrize(
    "changes, reason, text",
    [
        (dict(width=0), "size", "0x5 pixels"),
        (dict(height=0, data=array("B")), "size", "7x0 pixels"),
        (dict(width=MAX_SIDE + 1, step=3 * MAX_SIDE + 3), "size", "is not within 1x1"),
        (dict(width=100_000, height=100_000, step=300_000, data=b"0123456789"), "size", "100000x100000"),
        (dict(width=16_000, height=16_000, step=48_000), "size", "and 134 megapixels"),
        (
            dict(width=10_000, height=10_000, step=30_000, data=b"0123456789"),
            "data",
            "300000000 bytes, but the",
        ),
        (dict(step=20), "step", "a step of 20 bytes is too small for 7 pixels of 'rgb8', which need 21"),
        (dict(step=0), "step", "a step of 0 bytes"),
        (dict(data=RGB.tobytes()[:-1]), "data", "105 bytes, but the message has 104"),
        (dict(data=RGB.tobytes() + b"0"), "data", "105 bytes, but the message has 106"),
        (dict(data=b""), "data", "105 bytes, but the message has 0"),
        (dict(data=[1, 2, 3]), "data", "not a buffer of bytes"),
        (dict(encoding="yuv422"), "size", "7x5 pixels cannot be yuv422, which requires multiples of 2x1"),
        (dict(encoding="nv12", width=8), "size", "8x5 pixels cannot be nv12, which requires multiples of 2x2"),
        (
            dict(encoding="bayer_rggb8", height=2),
            "size",
            "bayer_rggb8, which requires multiples of 1x1 pixels and at least 3x3",
        ),
        (dict(encoding="nv21", width=8, height=4, data=bytes(84)), "data", "6 rows of 21 bytes are 126 bytes"),
        (dict(encoding="32FC1"), "encoding", "'32FC1' is depth or data, not a picture"),
        (dict(encoding="16UC1"), "encoding", "'16UC1' is depth"),
        (dict(encoding="32SC4"), "encoding", "'32SC4' is depth"),
        (dict(encoding="64FC"), "encoding", "'64FC' is depth"),
        (dict(encoding=""), "encoding", "the encoding '' is not one of rgb8, bgr8"),
        (dict(encoding="nv24"), "encoding", "cv_bridge supports more, but cannot be loaded"),
    ],
)
def test_an_invalid_message_raises_one_sentence(changes, reason, text, without_cv_bridge):
    error = error_of(image_to_rgb, message(RGB, "rgb8", **changes))
    assert text in str(error)
    assert error.reason == reason


# cv_bridge


def stand_in(monkeypatch, **members) -> None:
    """Make ``import cv_bridge`` return a module with these members."""
    module = ModuleType("cv_bridge")
    module.__dict__.update(members)
    monkeypatch.setitem(sys.modules, "cv_bridge", module)


@pytest.fixture(autouse=True)
def reload_cv_bridge():
    image_message._cv_bridge.cache_clear()
    yield
    image_message._cv_bridge.cache_clear()


@pytest.fixture
def without_cv_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv_bridge", None)


def bridge(convert):
    """A CvBridge class whose conversion returns ``convert()``."""

    class CvBridge:
        def imgmsg_to_cv2(self, source, desired_encoding):
            assert (source.encoding, desired_encoding) == ("nv24", "rgb8")
            return convert()

    return CvBridge


def test_cv_bridge_decodes_other_encodings(monkeypatch):
    stand_in(monkeypatch, CvBridge=bridge(lambda: RGB))
    np.testing.assert_array_equal(image_to_rgb(message(RGB, "nv24", padding=21)), RGB)


@pytest.mark.parametrize(
    "convert, text",
    [
        (lambda: {}["no such\nkey"], "cv_bridge cannot decode 'nv24'"),
        (lambda: RGB[:, :, :2], "cv_bridge turned 'nv24' into uint8 of shape (5, 7, 2)"),
        (lambda: RGB.astype(np.uint16), "cv_bridge turned 'nv24' into uint16"),
        (lambda: None, "cv_bridge turned 'nv24' into object"),
    ],
)
def test_a_fault_of_cv_bridge_raises_one_sentence(monkeypatch, convert, text):
    stand_in(monkeypatch, CvBridge=bridge(convert))
    error = error_of(image_to_rgb, message(RGB, "nv24"))
    assert text in str(error) and error.reason == "encoding"


@pytest.mark.parametrize(
    "changes, reason",
    [
        (dict(width=100_000), "size"),
        (dict(step=6), "step"),
        (dict(data=bytes(104)), "data"),
        (dict(encoding="16UC1"), "encoding"),
    ],
)
def test_cv_bridge_does_not_get_invalid_messages(monkeypatch, changes, reason):
    stand_in(monkeypatch, CvBridge=bridge(lambda: pytest.fail("called")))
    assert error_of(image_to_rgb, message(RGB, "nv24", **changes)).reason == reason


def test_a_cv_bridge_that_cannot_be_loaded_is_not_used(monkeypatch):
    def fail_to_load():
        raise SystemError("compiled using NumPy 1.x")

    stand_in(monkeypatch, CvBridge=fail_to_load)
    assert "cv_bridge supports more" in str(error_of(image_to_rgb, message(RGB, "nv24")))


# Compressed


SMOOTH = cv2.resize(FLAT, (48, 32), interpolation=cv2.INTER_LINEAR)
JPEG_FORMATS = ["jpeg", "jpg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", "8UC3; jpeg compressed bgr8"]
PNG_FORMATS = ["png", "bgr8; png compressed bgr8", "rgba16; png compressed bgr16", "jpeg", ""]


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    """The bytes of an image file; pixels are in OpenCV's channel order."""
    return cv2.imencode(suffix, pixels, options)[1].tobytes()


JPEG, PNG = (encoded(suffix, SMOOTH[:, :, ::-1]) for suffix in (".jpg", ".png"))


def compressed(data, name: str = "jpeg") -> SimpleNamespace:
    return SimpleNamespace(format=name, data=array("B", data) if isinstance(data, bytes) else data)


@pytest.mark.parametrize("name", JPEG_FORMATS)
def test_decodes_jpeg(name):
    rgb = compressed_to_rgb(compressed(JPEG, name))
    assert rgb.dtype == np.uint8 and rgb.shape == SMOOTH.shape
    assert np.abs(rgb.astype(int) - SMOOTH).mean() < 4


@pytest.mark.parametrize("name", PNG_FORMATS)
def test_decodes_png(name):
    np.testing.assert_array_equal(compressed_to_rgb(compressed(PNG, name)), SMOOTH)


@pytest.mark.parametrize(
    "pixels, expected",
    [
        (GREY, GREY_RGB),
        (GREY.astype(np.uint16) << 8 | 9, GREY_RGB),
        (RGB[:, :, ::-1].astype(np.uint16) << 8 | 9, RGB),
        (BGRA, RGB),
    ],
    ids=["grey", "grey16", "rgb16", "rgba"],
)
def test_other_kinds_of_png_become_rgb(pixels, expected):
    np.testing.assert_array_equal(compressed_to_rgb(compressed(encoded(".png", pixels), "png")), expected)


@pytest.mark.parametrize(
    "name", ["mono8; jpeg compressed ", "mono8; jpeg compressed mono8", "bayer_rggb8; jpeg compressed mono8"]
)
def test_grey_jpeg_becomes_rgb(name):
    rgb = compressed_to_rgb(compressed(encoded(".jpg", SMOOTH[:, :, 0]), name))
    assert rgb.shape == SMOOTH.shape and (rgb == rgb[:, :, :1]).all()


def test_other_kinds_of_jpeg():
    for options in (
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 1],
    ):
        rgb = compressed_to_rgb(compressed(encoded(".jpg", SMOOTH[:, :, ::-1], *options)))
        assert np.abs(rgb.astype(int) - SMOOTH).mean() < 4
    compressed_to_rgb(compressed(JPEG[:2] + b"\xff" + JPEG[2:] + b"\0\0"))  # a fill byte, bytes after the end


def test_exif_orientation_is_ignored():
    tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
    turned = JPEG[:2] + exif + JPEG[2:]
    assert cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR).shape == (
        48,
        32,
        3,
    )  # OpenCV applies it
    np.testing.assert_array_equal(compressed_to_rgb(compressed(turned)), compressed_to_rgb(compressed(JPEG)))


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]])
def test_a_jpeg_ends_where_its_segments_do(options):
    whole = encoded(".jpg", SMOOTH, *options)
    expected = decode_rgb(whole)
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(JPEG)) + JPEG  # in EXIF, with an end of its own
    for content in (
        whole + b"trailer \xff\xda\0\0 end",
        whole + JPEG[:-40],  # a second picture, cut off
        whole + b"\0" * 5000,
        whole[:2] + thumbnail + whole[2:],
    ):
        np.testing.assert_array_equal(compressed_to_rgb(compressed(content)), expected)
    for content in (whole[:-2], whole[:-40] + b"\0" * 40, whole[:2] + thumbnail + whole[2:-2]):
        assert "was cut off" in str(error_of(compressed_to_rgb, compressed(content)))


NOISE = np.random.default_rng(3).integers(0, 256, (96, 96, 3), np.uint8)


@pytest.mark.parametrize(
    "pixels, options",
    [
        (NOISE, []),
        (NOISE[:, :, 0], []),
        (NOISE, [cv2.IMWRITE_JPEG_QUALITY, 100]),
        (NOISE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
    ],
)
def test_a_jpeg_zeroed_in_the_middle_is_refused(pixels, options):
    content = bytearray(encoded(".jpg", pixels, *options))
    compressed_to_rgb(compressed(bytes(content)))
    middle = len(content) // 2
    content[middle : middle + 128] = bytes(128)
    error = error_of(compressed_to_rgb, compressed(bytes(content)))
    assert "overwritten with zeros" in str(error) and error.reason == "compression"


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_OPTIMIZE, 1], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_an_even_picture_is_no_damage(value, options):
    picture = np.full((512, 1024), value, np.uint8)
    picture[:8, :8] = NOISE[:8, :8, 0]
    for pixels in (picture, np.stack([picture] * 3, 2)):
        assert abs(int(compressed_to_rgb(compressed(encoded(".jpg", pixels, *options)))[-1, -1, 0]) - value) < 3


def png_header(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG[:8] + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def jpeg_header(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


@pytest.mark.parametrize(
    "source, reason, text",
    [
        (compressed(PNG, "16UC1; compressedDepth"), "encoding", "'16UC1; compressedDepth' is depth or data"),
        (compressed(PNG, "16UC1; compressedDepth png"), "encoding", "is depth or data"),
        (compressed(PNG, "16UC1; png compressed "), "encoding", "is depth or data"),
        (compressed(PNG, "bayer_rggb8; png compressed "), "encoding", "is a compressed Bayer mosaic"),
        (compressed(b""), "compression", "the 0 bytes of the 'jpeg' picture are neither a JPEG nor a PNG"),
        (compressed(b"\0\0\0\1\x67", "h264"), "compression", "the 'h264' picture are neither"),
        (compressed(encoded(".bmp", RGB)), "compression", "neither a JPEG nor a PNG"),
        (compressed(JPEG[:20]), "compression", "neither a JPEG nor a PNG"),
        (compressed(JPEG[:-40]), "compression", "the 'jpeg' picture is a JPEG that was cut off"),
        (compressed(PNG[:20], "png"), "compression", "neither a JPEG nor a PNG"),
        (compressed(PNG[:-40], "png"), "compression", "the 'png' picture is a PNG that was cut off"),
        (compressed(PNG[:-12], "png"), "compression", "is a PNG that was cut off"),
        (compressed(PNG[:50] + b"\1" + PNG[51:], "png"), "compression", "not an image that OpenCV can read"),
        (compressed(png_header(64, 64) + b"\x7f\0\0\0IDAT12345678", "png"), "compression", "was cut off"),
        (compressed(png_header(100_000, 100_000) + b"0123456789", "png"), "size", "100000x100000 pixels"),
        (compressed(png_header(0, 5), "png"), "size", "0x5 pixels"),
        (
            compressed(png_header(9000, 9000) + b"0123456789", "png"),
            "compression",
            "9000x9000 pixels cannot be in 43 bytes",
        ),
        (compressed(jpeg_header(65_535, 65_535)), "size", "65535x65535 pixels"),
        (compressed(jpeg_header(16_000, 0)), "size", "16000x0 pixels"),
        (compressed(jpeg_header(11_000, 11_000)), "compression", "11000x11000 pixels cannot be in"),
        (compressed("text"), "data", "not a buffer of bytes"),
        (compressed(None), "data", "not a buffer of bytes"),
    ],
)
def test_an_invalid_compressed_message_raises_one_sentence(source, reason, text):
    error = error_of(compressed_to_rgb, source)
    assert text in str(error)
    assert error.reason == reason


def test_a_limit_of_pixels_is_checked_before_the_data():
    raw = SimpleNamespace(encoding="mono8", width=16384, height=8192, step=16384, data=b"")
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 16384, 8192)
    compressed = SimpleNamespace(format="png", data=png)
    for decode, message in ((image_to_rgb, raw), (compressed_to_rgb, compressed)):
        with pytest.raises(ImageMessageError, match="16384x8192 pixels has 134217728, more than max_pixels") as error:
            decode(message, 16_000_000)
        assert error.value.reason == "size"
        with pytest.raises(ImageMessageError, match="data|message has|cannot be in"):
            decode(message)


def test_absurd_sizes_allocate_no_memory(monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    raw = message(RGB, "rgb8", width=100_000, height=100_000, step=300_000, data=b"0123456789")
    tracemalloc.start()
    error_of(image_to_rgb, raw)
    for header in (png_header(100_000, 100_000), png_header(10_000, 10_000), jpeg_header(11_000, 11_000)):
        error_of(compressed_to_rgb, compressed(header + b"0123456789"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


# Fuzz

SIZES = [0, 1, 2, 3, 5, 7, 8, 12, 21, 24, 36, MAX_SIDE, MAX_SIDE + 1, 10**5, 2**31, 2**32 - 1]
NAMES = [*ENCODINGS, "", "rgb32", "32FC1", "16UC1", "RGB8", "nv24", "\0\n\xff", "jpeg"]
FORMATS = [*JPEG_FORMATS, *PNG_FORMATS, "16UC1; compressedDepth", "bayer_rggb8; jpeg compressed ", ";", "\n\0\xe9"]
NO_BYTES = [
    None,
    "text",
    5,
    [1, 2, 3],
    b"",
    array("d", [0.5] * 7),
    memoryview(bytes(210))[::2],
    np.zeros((5, 7), object),
]


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """The bytes with some changed, removed or inserted."""
    content = bytearray(content)
    for _ in range(random.integers(1, 4)):
        at, count = int(random.integers(len(content) + 1)), int(random.integers(1, 9))
        new = random.bytes(count)
        match random.integers(4):
            case 0:
                content[at : at + count] = new
            case 1:
                content[at:at] = new
            case 2:
                del content[at : at + count]
            case 3 if random.random() < 0.3:
                del content[at:]
    return bytes(content)


def damaged_image(random: np.random.Generator) -> SimpleNamespace:
    source = example(NAMES[random.integers(len(ENCODINGS))], int(random.choice([0, 1, 4])))
    for _ in range(random.integers(1, 4)):
        match random.integers(6):
            case 0:
                source.width = int(random.choice(SIZES))
            case 1:
                source.height = int(random.choice(SIZES))
            case 2:
                source.step = int(random.choice(SIZES))
            case 3:
                source.encoding = NAMES[random.integers(len(NAMES))]
            case 4:
                source.is_bigendian = int(random.integers(256))
            case 5 if random.random() < 0.5:
                source.data = NO_BYTES[random.integers(len(NO_BYTES))]
            case 5:
                source.data = damaged(bytes(96), random)
    if random.random() < 0.3 and source.step < 100 and source.height < 100:  # consistent again, with other fields
        source.data = random.bytes(source.step * source.height)
    return source


def damaged_compressed(random: np.random.Generator) -> SimpleNamespace:
    name = FORMATS[random.integers(len(FORMATS))]
    if random.random() < 0.02:
        return compressed(NO_BYTES[random.integers(len(NO_BYTES))], name)
    return compressed(damaged(SEEDS[random.integers(len(SEEDS))], random), name)


SEEDS = [
    JPEG,
    PNG,
    encoded(".jpg", SMOOTH[:, :, 0]),
    encoded(".jpg", SMOOTH, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    encoded(".png", SMOOTH.astype(np.uint16) << 8),
    encoded(".png", BGRA),
]


@pytest.mark.parametrize("decode, make", [(image_to_rgb, damaged_image), (compressed_to_rgb, damaged_compressed)])
def test_damaged_messages_are_decoded_or_raise_one_sentence(decode, make, without_cv_bridge):
    random = np.random.default_rng(1)
    pictures, reasons = 0, set()
    for _ in range(6000):
        source = make(random)
        try:
            rgb = decode(source)
        except ImageMessageError as error:
            reasons.add(error.reason)
            assert len(str(error).splitlines()) == 1
        else:
            pictures += 1
            assert rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.size
    assert 600 < pictures < 5400
    assert reasons == {"encoding", "size", "data", "step" if decode is image_to_rgb else "compression"}


# Encoding


@pytest.mark.parametrize("encoding, pixels", [("mono8", GREY), ("bgr8", RGB[:, ::-1, ::-1]), ("rgb8", RGB[::2])])
def test_fill_and_decode_agree(encoding, pixels):
    filled = fill_image(SimpleNamespace(header="unchanged"), pixels, encoding)
    assert filled.header == "unchanged"
    assert (filled.height, filled.width) == pixels.shape[:2]
    assert filled.step == pixels[0].size
    assert filled.is_bigendian == 0
    assert isinstance(filled.data, array) and filled.data.typecode == "B"
    expected = {"mono8": lambda p: np.stack([p] * 3, 2), "bgr8": lambda p: p[:, :, ::-1], "rgb8": lambda p: p}
    np.testing.assert_array_equal(image_to_rgb(filled), expected[encoding](pixels))


@pytest.mark.parametrize("pixels", [GREY, RGB.astype(np.float32), RGB[None], np.concatenate([RGB, ALPHA], 2)])
def test_fill_rejects_pixels_that_do_not_match_the_encoding(pixels):
    with pytest.raises(ImageMessageError, match="are not bgr8"):
        fill_image(SimpleNamespace(), pixels, "bgr8")


def test_compressing_is_image_transports():
    """Its source gives the formats: "ENCODING; CODEC compressed CODED", where CODED is empty for grey in a PNG."""
    header = "unchanged"
    mask = fill_compressed(SimpleNamespace(header=header), GREY)
    assert (mask.header, mask.format) == (header, "mono8; png compressed ")
    np.testing.assert_array_equal(cv2.imdecode(np.asarray(mask.data), cv2.IMREAD_UNCHANGED), GREY)
    lossless = fill_compressed(SimpleNamespace(), SMOOTH[:, :, ::-1])
    assert lossless.format == "bgr8; png compressed bgr8"
    np.testing.assert_array_equal(compressed_to_rgb(lossless), SMOOTH)
    picture, coarse = (fill_compressed(SimpleNamespace(), SMOOTH[:, :, ::-1], quality) for quality in (90, 10))
    assert picture.format == coarse.format == "bgr8; jpeg compressed bgr8"
    assert isinstance(picture.data, array) and picture.data.typecode == "B"
    assert np.abs(compressed_to_rgb(picture).astype(int) - SMOOTH).mean() < 4
    assert len(coarse.data) < len(picture.data)
