"""The temporal filter: averaging, motion compensation, and when it starts again."""

import cv2
import numpy as np
import pytest
from textured_image import texture

from fcn_road_seg.postprocess.temporal_filter import SMALLEST, TemporalFilter

TENTH = 10**8  # nanoseconds
START = 10**9


def even(level: int, shape: tuple[int, int] = (125, 414)) -> np.ndarray:
    return np.full(shape, level, np.uint8)


def test_without_smoothing_the_probability_is_unchanged():
    smooth, image, probability = TemporalFilter(), texture(), even(9)
    assert smooth(probability, image, 0.0, START) is probability
    smooth(even(250), image, 0.6, START + TENTH)
    assert smooth(probability, image, 0.0, START + 2 * TENTH) is probability
    # Switching it off also forgets the past.
    assert (smooth(probability, image, 0.6, START + 3 * TENTH) == 9).all()


def test_an_exponential_average_where_nothing_moves():
    smooth, image, expected = TemporalFilter(), texture(), None
    for i, level in enumerate((200, 100, 100, 0, 255)):
        expected = level if expected is None else 0.6 * expected + 0.4 * level
        answer = smooth(even(level), image, 0.6, START + i * TENTH)
        assert answer.dtype == np.uint8 and answer.shape == (125, 414)
        assert np.abs(answer.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("tenths", [0.5, 2, 7])
def test_the_past_counts_less_the_older_it_is(tenths):
    smooth, image = TemporalFilter(), texture()
    smooth(even(250), image, 0.6, START)
    answer = smooth(even(0), image, 0.6, START + round(tenths * TENTH))
    assert np.abs(answer.astype(int) - 250 * 0.6**tenths).max() <= 1


def test_without_stamps_frames_count_as_a_tenth_of_a_second_apart():
    smooth, image = TemporalFilter(), texture()
    smooth(even(250), image, 0.6)
    assert np.abs(smooth(even(0), image, 0.6).astype(int) - 150).max() <= 1


def test_the_past_moves_with_the_picture():
    """A road edge that moves with the scene stays sharp; averaging in place would smear it along the motion."""
    wide = texture(375, 1400)
    step, smooth, average = 12, TemporalFilter(), None
    for i in range(5):
        picture = np.ascontiguousarray(wide[:, i * step : i * step + 1242])
        probability = np.zeros((375, 1242), np.uint8)
        probability[:, : 700 - i * step] = 255
        answer = smooth(probability, picture, 0.6, START + i * TENTH)
        average = probability.astype(float) if average is None else 0.6 * average + 0.4 * probability
    inner = slice(40, -40), slice(80, -80)  # pixels that come into view have no past
    wrong = np.mean((answer >= 128) != (probability >= 128), where=_box(answer.shape, inner))
    in_place = np.mean((average >= 128) != (probability >= 128), where=_box(answer.shape, inner))
    assert in_place > 0.01
    assert wrong < in_place / 4


def test_no_past_is_taken_from_the_vehicle_itself():
    """A mast stands still in a picture of road that moves to the right, out from behind the mast."""
    wide, hidden = texture(125, 600), np.zeros((125, 414), np.uint8)
    smooth, without = TemporalFilter(), TemporalFilter()
    hidden[:, 200:220] = 255
    probability = np.where(hidden, np.uint8(0), np.uint8(200))
    for i in range(4):
        image = wide[:, 60 - 10 * i : 474 - 10 * i].copy()
        image[hidden > 0] = 0
        answer = smooth(probability, image, 0.6, START + i * TENTH, hidden=hidden)
        spread = without(probability, image, 0.6, START + i * TENTH)
    assert (answer[hidden == 0] == 200).all()
    assert (spread[hidden == 0] < 128).any()  # else the picture would prove nothing


def _box(shape: tuple[int, int], inside: tuple[slice, slice]) -> np.ndarray:
    box = np.zeros(shape, bool)
    box[inside] = True
    return box


@pytest.mark.parametrize(
    "change",
    [
        {"stamp": START - TENTH},
        {"stamp": START},
        {"stamp": START + 10 * TENTH},
        {"stamp": 0},
        {"camera": "right"},
        {"size": (120, 400)},
    ],
    ids=["bag loop", "same stamp", "gap", "stamps end", "camera", "size"],
)
def test_it_starts_again(change):
    smooth = TemporalFilter()
    smooth(even(250), texture(), 0.6, START, "left")
    size = change.get("size", (125, 414))
    answer = smooth(
        even(0, size), texture(*size), 0.6, change.get("stamp", START + TENTH), change.get("camera", "left")
    )
    assert (answer == 0).all()


def test_reset_forgets_the_past():
    smooth = TemporalFilter()
    smooth(even(250), texture(), 0.6, START)
    smooth.reset()
    assert (smooth(even(0), texture(), 0.6, START + TENTH) == 0).all()


@pytest.mark.parametrize(
    "size",
    [(SMALLEST - 1, 200), (SMALLEST, SMALLEST), (SMALLEST, 414), (37, 61), (720, 1281), (40, 4000), (4000, 40)]
    + [(16, 100), (20, 414), (72, 1242), (96, 1920), (100, 20)],  # sizes that crash OpenCV's flow
)
def test_any_size(size):
    smooth = TemporalFilter()
    for i in range(3):
        answer = smooth(even(10 * i, size), texture(*size), 0.6, START + i * TENTH)
        assert answer.shape == size and answer.dtype == np.uint8


def test_results_are_not_overwritten_and_inputs_not_changed():
    smooth, image, answers = TemporalFilter(), texture(), []
    for i in range(4):
        probability, before = even(60 * i), image.copy()
        answer = smooth(probability, image, 0.6, START + i * TENTH)
        answers.append((answer, answer.copy()))
        assert (probability == 60 * i).all() and (image == before).all()
    assert all((answer == copy).all() for answer, copy in answers)


def test_strides_do_not_matter():
    image, probability = texture(80, 200), texture(80, 200, seed=1)[..., 0]
    straight, strided = TemporalFilter(), TemporalFilter()
    for i in range(3):
        expected = straight(np.roll(probability, i, 1), np.ascontiguousarray(image[..., ::-1]), 0.6, START + i * TENTH)
        padded = np.pad(np.roll(probability, i, 1), 3)[3:-3, 3:-3]
        assert (strided(padded, image[..., ::-1], 0.6, START + i * TENTH) == expected).all()


def test_the_edges_of_the_mask_stay_sharp():
    """Where the past agrees, every pixel keeps its own probability although the average has fewer pixels."""
    probability = np.zeros((375, 1242), np.uint8)
    cv2.line(probability, (100, 370), (600, 180), 255, 1)
    smooth, image = TemporalFilter(), texture(375, 1242)
    smooth(probability, image, 0.6, START)
    answer = smooth(probability, image, 0.6, START + TENTH)
    assert np.abs(answer.astype(int) - probability).mean() < 0.2
