"""Frame -> network input -> probability: sizes, colours, alignment."""

import numpy as np
import pytest
import torch

from fcn_road_seg.inference.preprocess import MEAN, network_size, to_input, to_probability

WIDTHS = 32, 96, 320, 576, 704, 832, 1248, 4096


@pytest.mark.parametrize(
    ("frame", "width", "expected"),
    [
        ((1242, 375), 704, (704, 224)),
        ((1242, 375), 832, (832, 256)),
        ((1920, 600), 576, (576, 192)),
        ((3840, 960), 576, (576, 128)),  # a panorama
        ((10_000, 1), 576, (576, 32)),
        ((1920, 1080), 576, (416, 224)),
        ((1280, 720), 576, (416, 224)),
        ((7680, 4320), 576, (416, 224)),
        ((1280, 720), 832, (608, 352)),
        ((848, 480), 576, (416, 224)),
        ((1280, 800), 576, (416, 256)),
        ((800, 400), 576, (448, 224)),
        ((640, 480), 576, (352, 256)),
        ((1280, 1024), 576, (352, 288)),
        ((1000, 1000), 576, (320, 320)),
        ((1, 1), 576, (320, 320)),
        ((1080, 1920), 576, (224, 384)),  # a phone held upright
        ((1, 10_000), 576, (224, 448)),
        ((640, 480), 32, (32, 32)),
        ((1, 10_000), 32, (32, 64)),
        ((640, 480), 4096, (2592, 1952)),
    ],
)
def test_network_size_follows_the_cameras_aspect_ratio(frame, width, expected):
    assert network_size(*frame, width) == expected


@pytest.mark.parametrize("frame", [(1242, 375), (1241, 376), (1238, 374), (1226, 370), (1224, 370)])
def test_frames_of_kitti_are_network_width_wide(frame):
    for width in WIDTHS:
        assert network_size(*frame, width) == (width, max(round(width * frame[1] / frame[0] / 32) * 32, 32))
    assert network_size(*frame, 576) == (576, 160)


@pytest.mark.parametrize("width", [576, 704, 832, 1248, 2048])
def test_cameras_of_all_shapes_cost_as_much_as_kittis(width):
    for rows in range(303, 2001):  # from KITTI's shape to 1:2
        columns, lines = network_size(1000, rows, width)
        assert 0.85 < columns * lines / (width**2 * 375 / 1242) < 1.15
        assert 0.9 < columns / lines / (1000 / rows) < 1.1


def test_network_sizes_are_multiples_of_32_with_a_bounded_shape():
    for width in WIDTHS:
        for frame in [(1, 1), (1, 7), (3, 1), (31, 2), (17, 19), (2, 4000), (4000, 2), (101, 33), (16_384, 16_384)]:
            columns, rows = network_size(*frame, width)
            assert columns % 32 == rows % 32 == 0 and 32 <= columns <= width and 32 <= rows <= 2 * columns


def test_input_is_rgb_minus_the_mean():
    frame = torch.zeros(1, 3, 50, 70, dtype=torch.uint8)
    frame[:, 0], frame[:, 1], frame[:, 2] = 200, 100, 50
    x = to_input(frame, (64, 32), torch.float32)
    assert x.shape == (1, 3, 32, 64)
    for channel, value in enumerate((200, 100, 50)):
        torch.testing.assert_close(x[0, channel], torch.full((32, 64), value - MEAN[channel]))


def test_resize_keeps_edges_in_place():
    """A vertical edge at 1/3 of the frame stays at 1/3 in the network input and, resized back, in the mask."""
    frame = torch.zeros(1, 3, 376, 1242, dtype=torch.uint8)
    frame[..., 414:] = 255
    x = to_input(frame, (576, 160), torch.float32) + torch.tensor(MEAN).view(1, 3, 1, 1)
    edge = (255 - x).sum(-1) / 255  # pixels left of the edge, by area
    torch.testing.assert_close(edge, torch.full_like(edge, 192), atol=0.02, rtol=0)

    logits = torch.stack([-x[:, 0], x[:, 0] - 255], 1)
    probability = to_probability(logits, (1242, 376))
    assert probability.shape == (1, 376, 1242)
    columns = (probability[0, 100] < 128).sum().item()
    assert abs(columns - 414) <= 1


def test_probability_is_the_sigmoid_of_the_logit_difference():
    logits = torch.tensor([2.0, 3.5]).view(1, 2, 1, 1).expand(1, 2, 32, 32)
    probability = to_probability(logits, (33, 31))
    assert probability.dtype == torch.uint8 and probability.shape == (1, 31, 33)
    assert (probability == round(255 / (1 + np.exp(-1.5)))).all()


@pytest.mark.cuda
def test_cuda_differs_only_in_rounding():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    frame = torch.randint(0, 256, (1, 3, 375, 1242), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    on_cpu = to_input(frame, (576, 160), torch.float32)
    on_gpu = to_input(frame.cuda(), (576, 160), torch.float32).cpu()
    assert (on_cpu - on_gpu).abs().max() <= 1.0  # uint8 steps
