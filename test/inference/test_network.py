"""FCN-8s: shapes, size, and pinned logits, which change only with the architecture."""

import pytest
import torch
from torch.nn import functional as F

from fcn_road_seg.inference.network import FCN8s, SkipHead, bilinear_, torchvision_names


def seeded(fc: str, fc_width: int) -> FCN8s:
    torch.manual_seed(0)
    return FCN8s(fc, fc_width).eval()


def photo(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 255 - 118


@pytest.mark.parametrize(
    ("fc", "fc_width", "mean", "std", "pixel"),
    [
        ("atrous", 64, 0.031867, 0.048769, [0.085383, -0.010848]),
        ("full", 32, -0.010614, 0.021792, [-0.003565, -0.037303]),
    ],
)
def test_logits_are_pinned(fc, fc_width, mean, std, pixel):
    with torch.inference_mode():
        logits = seeded(fc, fc_width)(photo(64, 96))
    assert logits.shape == (1, 2, 64, 96)
    assert logits.mean().item() == pytest.approx(mean, abs=2e-5)
    assert logits.std().item() == pytest.approx(std, abs=2e-5)
    assert logits[0, :, 20, 30].tolist() == pytest.approx(pixel, abs=2e-5)


@pytest.mark.parametrize(
    ("fc", "fc_width", "parameters"), [("full", 0, 134_271_430), ("atrous", 0, 20_488_646), ("atrous", 512, 17_340_870)]
)
def test_parameter_count(fc, fc_width, parameters):
    with torch.device("meta"):
        network = FCN8s(fc, fc_width)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(32, 32), (160, 576), (320, 576), (64, 32)])
def test_output_has_the_inputs_size(size):
    with torch.device("meta"):
        assert FCN8s()(torch.empty(2, 3, *size)).shape == (2, 2, *size)


def test_a_size_that_is_not_a_multiple_of_32_is_refused():
    with pytest.raises(ValueError, match="multiples of 32"):
        seeded("atrous", 16)(photo(64, 90))


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="full, atrous"):
        FCN8s("dense")


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (16, 8)])
def test_transposed_convolutions_start_bilinear(kernel, stride):
    layer = torch.nn.ConvTranspose2d(2, 2, kernel, stride, (kernel - stride) // 2, bias=False)
    bilinear_(layer.weight)
    x = torch.rand(1, 2, 6, 7)
    expected = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    inner = (..., slice(stride, -stride), slice(stride, -stride))  # the border sees zero padding
    torch.testing.assert_close(layer(x)[inner], expected[inner])


def test_skips_are_aligned():
    """One bright pixel in each feature map must light up the matching pixels of the answer, not their neighbours."""
    head = SkipHead((256, 512, 8), classes=2)
    for layer in (head.score_fr, head.score_pool4, head.score_pool3):
        torch.nn.init.ones_(layer.weight)
    for which, stride in enumerate((8, 16, 32)):
        maps = [torch.zeros(1, c, 96 // s, 96 // s) for c, s in ((256, 8), (512, 16), (8, 32))]
        maps[which][0, 0, 1, 1] = 1.0
        answer = head(*maps)[0, 0].detach()
        rows, columns = torch.meshgrid(torch.arange(96.0) + 0.5, torch.arange(96.0) + 0.5, indexing="ij")
        centre = 1.5 * stride
        assert ((answer * rows).sum() / answer.sum()).item() == pytest.approx(centre, abs=1e-3)
        assert ((answer * columns).sum() / answer.sum()).item() == pytest.approx(centre, abs=1e-3)


def test_encoder_names_match_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        theirs = torchvision.models.vgg16().features.state_dict()
        ours = FCN8s().state_dict()
    names = torchvision_names()
    assert names.keys() == {f"features.{name}" for name in theirs}
    for name, tensor in theirs.items():
        assert ours[names[f"features.{name}"]].shape == tensor.shape


def test_encoder_computes_the_same_as_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    vgg = torchvision.models.vgg16(weights=None).features.eval()
    network = seeded("atrous", 16)
    names = torchvision_names()
    network.load_state_dict({names[f"features.{k}"]: v for k, v in vgg.state_dict().items()}, strict=False)
    x = photo(64, 64)
    with torch.inference_mode():
        pool3, pool4, _ = network.features(x)
        torch.testing.assert_close(pool3, vgg[:17](x))
        torch.testing.assert_close(pool4, vgg[:24](x))
