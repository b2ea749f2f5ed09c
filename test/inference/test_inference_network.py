"""The deployed form of the network: no fold changes its answer."""

import numpy as np
import pytest
import torch

from fcn_road_seg.inference.inference_network import InferenceNetwork, fold_classes, fold_normalisation
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import MEAN, normalise

PRUNED = (8, 8, 16, 16, 24, 24, 24, 32, 32, 32, 32, 32, 32)


@pytest.fixture(scope="module", params=[None, PRUNED], ids=["VGG-16's widths", "pruned"])
def network(request) -> FCN8s:
    """Random, with an answer that differs from pixel to pixel and from class to class."""
    torch.manual_seed(0)
    network = FCN8s(fc_width=16, std_init=1.0, **({"conv_widths": request.param} if request.param else {})).eval()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        scores = network(normalise(frame().permute(0, 3, 1, 2)))
        network.head.upscore8.weight /= scores.std()
    return network


def frame(height: int = 64, width: int = 96) -> torch.Tensor:
    values = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(values)


@pytest.mark.parametrize("folded_normalisation", [False, True])
@pytest.mark.parametrize("folded_classes", [False, True])
@torch.inference_mode()
def test_every_fold_is_exact(network, folded_normalisation, folded_classes):
    expected = torch.softmax(network(normalise(frame().permute(0, 3, 1, 2))), 1)[:, 1]
    assert expected.std() > 0.1
    inference = InferenceNetwork(network, folded_normalisation, folded_classes).eval()
    road = inference(frame())
    assert road.dtype == torch.float32 and road.shape == (2, 64, 96)
    torch.testing.assert_close(road, expected, atol=2e-5, rtol=0)
    assert network.conv1_1.padding == (1, 1) and network.head.upscore8.out_channels == 2  # the original is unchanged


@torch.inference_mode()
def test_a_border_of_zeros_would_be_wrong(network):
    """A fold of the mean that ignores the border shows at the frame's edge."""
    inference = InferenceNetwork(network, folded_normalisation=True).eval()
    right = inference(frame())
    inference.network.conv1_1.padding = (1, 1)
    wrong = torch.sigmoid(
        inference.network.head(*inference.network.features(frame().permute(0, 3, 1, 2).float()))[:, 0]
    )
    assert (right - wrong).abs().max() > 1e-3


@torch.inference_mode()
def test_the_folded_layers_have_the_right_shapes(network):
    inference = InferenceNetwork(network, folded_normalisation=False, folded_classes=False).network
    mean = torch.tensor(MEAN).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    fold_normalisation(inference.conv1_1)
    of_mean = inference.conv1_1(mean)
    torch.testing.assert_close(of_mean, network.conv1_1.bias.view(1, -1, 1, 1).expand_as(of_mean), atol=1e-3, rtol=0)
    fold_classes(inference.head.upscore8)
    scores = torch.randn(1, 2, 4, 4)
    both = network.head.upscore8(scores)
    torch.testing.assert_close(inference.head.upscore8(scores), both[:, 1:] - both[:, :1])
