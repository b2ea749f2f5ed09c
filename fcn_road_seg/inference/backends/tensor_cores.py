"""FCN-8s rewritten, exactly, into convolutions that a GPU's tensor cores run fast.

VGG-16's middle already consists of them. Its ends do not: three input channels do not fill a tensor-core tile, and
transposed convolutions of one or two channels have no fast kernels.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import MEAN

INPUT_CHANNELS = 8  # 16 bytes a pixel in FP16
ONES = slice(3, 5)  # the channels after red, green and blue that are 1 everywhere


def for_tensor_cores(network: FCN8s, dtype: torch.dtype) -> FCN8s:
    """A copy of a float32 network that maps `canvas`es to one logit difference, N x 1 x h x w, of `dtype`."""
    network = InferenceNetwork(network).network
    network.conv1_1 = mean_in_channels(network.conv1_1, dtype)
    for name in ("upscore2", "upscore_pool4", "upscore8"):
        setattr(network.head, name, SubpixelConvolution(getattr(network.head, name)))
    return network.to(dtype).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def canvas(height: int, width: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The input, 1 x 8 x height x width, channels-last: three channels for RGB 0..255, two of ones, three of zeros."""
    x = torch.zeros((1, INPUT_CHANNELS, height, width), dtype=dtype, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    x[:, ONES] = 1
    return x


@torch.no_grad()
def mean_in_channels(conv1_1: nn.Conv2d, dtype: torch.dtype) -> nn.Conv2d:
    """The first convolution, of a `canvas` instead of RGB minus the mean.

    conv(x - mean) = conv(x) - conv(mean), and conv(mean) is a convolution of ones. The ones end where the frame does,
    so the border stays exact with the trained zero padding. The weight of the ones is about 120 times the sum of its
    neighbours, too large to be as precise as they are in 16 bits, so a second channel of ones holds the remainder.
    """
    weight = conv1_1.weight.to(dtype).double()
    mean = torch.tensor(MEAN, dtype=torch.float64)
    ones = -torch.einsum("oikl,i->okl", weight, mean).unsqueeze(1)
    coarse = ones.to(dtype).double()
    rest = weight.new_zeros((weight.shape[0], INPUT_CHANNELS - ONES.stop, *weight.shape[2:]))
    new = nn.Conv2d(INPUT_CHANNELS, conv1_1.out_channels, 3, padding=1)
    new.weight.copy_(torch.cat((weight, coarse, ones - coarse, rest), dim=1))
    assert new.bias is not None and conv1_1.bias is not None
    new.bias.copy_(conv1_1.bias)
    return new


class SubpixelConvolution(nn.Module):
    """A transposed convolution of stride s, kernel 2s and padding s/2 as a 3 x 3 convolution and a pixel shuffle.

    Shi et al., "Is the deconvolution layer the same as a convolutional layer?", 2016: each of the s x s phases of
    the output is its own convolution of the input, so together they are s x s channels of one convolution.
    """

    @torch.no_grad()
    def __init__(self, transposed: nn.ConvTranspose2d):
        super().__init__()
        self.stride = s = transposed.stride[0]
        if transposed.kernel_size != (2 * s, 2 * s) or transposed.padding != (s // 2, s // 2):
            raise ValueError(f"the transposed convolution must have kernel 2s and padding s/2: {transposed}")
        tap, phase = torch.meshgrid(torch.arange(3), torch.arange(s), indexing="ij")
        position = s * (1 - tap) + phase + s // 2  # in the transposed kernel
        pick = (position.unsqueeze(-1) == torch.arange(2 * s)).to(transposed.weight)
        weight = torch.einsum("ioyx,tpy,uqx->opqitu", transposed.weight, pick, pick)
        self.weight = nn.Parameter(weight.flatten(0, 2), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(F.conv2d(x, self.weight, padding=1), self.stride)
