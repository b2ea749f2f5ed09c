"""FCN-8s on VGG-16: the network and nothing else.

Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation", CVPR 2015; the
layer names are the paper's. Simonyan, Zisserman, "Very Deep Convolutional Networks", 2014, for the
encoder. The atrous form of fc6/fc7 is DeepLab-LargeFOV's (Chen et al., 2015).
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

# Width and number of 3x3 convolutions of each VGG-16 stage; a 2x2 max pooling ends every stage.
VGG16_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
VGG16_WIDTHS = tuple(width for width, convolutions in VGG16_STAGES for _ in range(convolutions))
CONV_NAMES = tuple(f"conv{s}_{i}" for s, (_, n) in enumerate(VGG16_STAGES, start=1) for i in range(1, n + 1))
STRIDE = 32  # pixels of the input per pixel of the deepest feature map
FC_FORMS = ("full", "atrous")


class FCN8s(nn.Module):
    """FCN-8s: scores of pool3, pool4 and fc7, joined by transposed convolutions x2, x2, x8.

    SAME padding throughout, so a score map has its input's size and the skips meet without crops;
    height and width of the input must be multiples of 32.

    Args:
        fc: "full" is the paper's fc6/fc7 (7x7 and 1x1, 4096 wide; 134 M parameters in all);
            "atrous" is fc6 as 3x3 with dilation 6, `fc_width` wide: nearly the same field of view
            from a seventh of the parameters.
        fc_width: channels of fc6 and fc7; 0 takes 4096 for "full" and 1024 for "atrous".
        classes: channels of the answer. Class 1 is road, class 0 is everything else.
        keep_prob: share of fc6/fc7 activations that dropout keeps while training.
        std_init: standard deviation of the score layers' initial weights.
        conv_widths: channels of conv1_1 ... conv5_3; VGG-16's, or fewer in a pruned network.
    """

    conv1_1: nn.Conv2d  # added by name, like its successors

    def __init__(
        self,
        fc: str = "atrous",
        fc_width: int = 0,
        classes: int = 2,
        keep_prob: float = 0.25,
        std_init: float = 0.01,
        conv_widths: Sequence[int] = VGG16_WIDTHS,
    ):
        super().__init__()
        if fc not in FC_FORMS:
            raise ValueError(f"fc is {fc!r}, but must be one of {', '.join(FC_FORMS)}")
        self.fc = fc
        self.fc_width = fc_width or (4096 if fc == "full" else 1024)
        self.classes = classes
        self.conv_widths = tuple(conv_widths)

        channels = 3
        for name, width in zip(CONV_NAMES, conv_widths, strict=True):
            self.add_module(name, nn.Conv2d(channels, width, 3, padding=1))
            channels = width
        if fc == "full":
            self.fc6 = nn.Conv2d(channels, self.fc_width, 7, padding=3)
        else:
            self.fc6 = nn.Conv2d(channels, self.fc_width, 3, padding=6, dilation=6)
        self.fc7 = nn.Conv2d(self.fc_width, self.fc_width, 1)
        self.dropout = nn.Dropout(1 - keep_prob)
        self.head = SkipHead(self.feature_widths, classes, std_init)
        if self.fc6.weight.is_meta:  # only shapes, see `checkpoint.empty_network`
            return
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    @property
    def feature_widths(self) -> tuple[int, int, int]:
        """Channels of pool3, pool4 and fc7."""
        conv3_3, conv4_3 = CONV_NAMES.index("conv3_3"), CONV_NAMES.index("conv4_3")
        return self.conv_widths[conv3_3], self.conv_widths[conv4_3], self.fc_width

    def features(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """pool3, pool4 and fc7 (VGG-16's layers 3, 4 and 7) at 1/8, 1/16 and 1/32 of the input."""
        pools = []
        for stage, (_, convolutions) in enumerate(VGG16_STAGES, start=1):
            for i in range(1, convolutions + 1):
                x = F.relu(getattr(self, f"conv{stage}_{i}")(x), inplace=True)
            x = F.max_pool2d(x, 2)
            pools.append(x)
        x = self.dropout(F.relu(self.fc6(x), inplace=True))
        x = self.dropout(F.relu(self.fc7(x), inplace=True))
        return pools[2], pools[3], x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, N x classes x H x W, of RGB images 0..255 minus the mean, N x 3 x H x W."""
        if x.shape[-2] % STRIDE or x.shape[-1] % STRIDE:
            raise ValueError(
                f"the input is {x.shape[-1]}x{x.shape[-2]}; width and height must be multiples of {STRIDE}"
            )
        return self.head(*self.features(x))


class SkipHead(nn.Module):
    """The paper's decoder: a 1x1 score per feature map, summed on the way up."""

    def __init__(self, feature_widths: Sequence[int], classes: int, std_init: float = 0.01):
        super().__init__()
        pool3, pool4, fc7 = feature_widths
        self.score_fr = nn.Conv2d(fc7, classes, 1)
        self.score_pool4 = nn.Conv2d(pool4, classes, 1)
        self.score_pool3 = nn.Conv2d(pool3, classes, 1)
        self.upscore2 = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False)
        self.upscore_pool4 = nn.ConvTranspose2d(classes, classes, 4, stride=2, padding=1, bias=False)
        self.upscore8 = nn.ConvTranspose2d(classes, classes, 16, stride=8, padding=4, bias=False)
        if self.score_fr.weight.is_meta:
            return
        for score in (self.score_fr, self.score_pool4, self.score_pool3):
            nn.init.normal_(score.weight, std=std_init)
            assert score.bias is not None
            nn.init.zeros_(score.bias)
        for upscore in (self.upscore2, self.upscore_pool4, self.upscore8):
            bilinear_(upscore.weight)

    def forward(self, pool3: torch.Tensor, pool4: torch.Tensor, fc7: torch.Tensor) -> torch.Tensor:
        x = self.upscore2(self.score_fr(fc7)) + self.score_pool4(pool4)
        x = self.upscore_pool4(x) + self.score_pool3(pool3)
        return self.upscore8(x)


@torch.no_grad()
def bilinear_(weight: torch.Tensor) -> torch.Tensor:
    """Fill a transposed convolution's weight so that it interpolates each channel bilinearly."""
    size = weight.shape[-1]
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    tent = 1 - (torch.arange(size) - centre).abs() / factor
    weight.zero_()
    for channel in range(weight.shape[0]):
        weight[channel, channel] = tent[:, None] * tent[None, :]
    return weight


def torchvision_names() -> dict[str, str]:
    """Names of the encoder's tensors in torchvision's VGG-16 (`features.N.*`) -> names here."""
    names, index = {}, 0
    for stage, (_, convolutions) in enumerate(VGG16_STAGES, start=1):
        for i in range(1, convolutions + 1):
            for kind in ("weight", "bias"):
                names[f"features.{index}.{kind}"] = f"conv{stage}_{i}.{kind}"
            index += 2  # a ReLU follows every convolution
        index += 1  # the pooling layer
    return names
