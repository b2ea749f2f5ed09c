"""FCN-8s as deployed: from a uint8 frame of network size to P(road), with everything folded that can be."""

import copy

import torch
from torch import nn

from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import MEAN, normalise


class InferenceNetwork(nn.Module):
    """The network with its input and output conventions inside, for backends and export.

    VGG-16 here has no batch normalisation, so there is none to fold; bias and ReLU are fused into the convolutions
    by every runtime. Two exact rewritings remain:

    Args:
        network: in evaluation mode; it is copied.
        folded_normalisation: fold the mean into conv1_1's bias instead of subtracting it from the frame.
        folded_classes: let the last layer compute one logit difference instead of two logits.
    """

    def __init__(self, network: FCN8s, folded_normalisation: bool = False, folded_classes: bool = True):
        super().__init__()
        self.network = copy.deepcopy(network)
        self.folded_normalisation = folded_normalisation
        if folded_normalisation:
            fold_normalisation(self.network.conv1_1)
        if folded_classes:
            fold_classes(self.network.head.upscore8)

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """P(road), float32 N x h x w, of RGB frames, uint8 N x h x w x 3; h and w are multiples of 32."""
        dtype = self.network.conv1_1.weight.dtype
        image = frame.permute(0, 3, 1, 2)
        x = bordered(image, dtype) if self.folded_normalisation else normalise(image, dtype)
        logits = self.network.head(*self.network.features(x)).to(torch.float32)
        difference = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
        return torch.sigmoid(difference)


@torch.no_grad()
def fold_normalisation(conv1_1: nn.Conv2d) -> None:
    """Make the first convolution take raw RGB 0..255 with a border that the caller adds, see `bordered`.

    conv(x - mean) = conv(x) - conv(mean). The network was trained with a border of zeros after the subtraction, which
    is a border of the mean colour before it; a border of zeros would be wrong.
    """
    mean = conv1_1.weight.new_tensor(MEAN, dtype=torch.float64)
    shift = torch.einsum("oikl,i->o", conv1_1.weight.double(), mean)
    assert conv1_1.bias is not None
    conv1_1.bias.copy_(conv1_1.bias.double() - shift)
    conv1_1.padding = (0, 0)


def bordered(image: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """N x 3 x h x w, 0..255 -> N x 3 x (h+2) x (w+2) of `dtype`, channels-last, in a border of the mean colour."""
    n, _, height, width = image.shape
    x = torch.empty((n, 3, height + 2, width + 2), dtype=dtype, device=image.device, memory_format=torch.channels_last)
    for channel, mean in enumerate(MEAN):
        x[:, channel, :: height + 1] = mean
        x[:, channel, :, :: width + 1] = mean
    x[:, :, 1:-1, 1:-1] = image
    return x


@torch.no_grad()
def fold_classes(upscore8: nn.ConvTranspose2d) -> None:
    """Make the last layer compute logit(road) - logit(not road) directly, with half the work.

    The layers before it mix both classes' scores in 2 x 2 kernels, so they keep two channels.
    """
    upscore8.weight = nn.Parameter(upscore8.weight[:, 1:2] - upscore8.weight[:, 0:1], requires_grad=False)
    upscore8.out_channels = 1
