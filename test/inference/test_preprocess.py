"""Frame -> network input -> probability: sizes, colours, alignment."""

import numpy as np
import pytest
import torch

from fcn_road_seg.inference.preprocess import MEAN, network_size, to_input, to_probability


@pytest.mark.parametrize(
    ("frame", "width", "expected"),
    [
        ((1242, 375), 576, (576, 160)),
        ((1280, 720), 576, (576, 320)),
        ((1242, 375), 832, (832, 256)),
        ((640, 480), 576, (576, 448)),
        ((7680, 4320), 576, (576, 320)),
        ((1, 1), 576, (576, 576)),
        ((10_000, 1), 576, (576, 32)),
        ((1, 10_000), 576, (576, 1152)),
    ],
)
def test_network_size_follows_the_cameras_aspect_ratio(frame, width, expected):
    assert network_size(*frame, width) == expected


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
