"""Draw the diagrams of docs/network.md, network.svg and transposed_convolution.svg, into a folder.

python tools/network_diagrams.py docs

All sizes are those of the network itself, all numbers those that PyTorch computes.
"""

import sys
from fractions import Fraction
from html import escape
from math import log2
from pathlib import Path

import torch
from torch import nn

from fcn_road_seg.inference.network import VGG16_STAGES, FCN8s, bilinear_
from fcn_road_seg.inference.preprocess import network_size

FRAME_SIZE = 1242, 375  # KITTI's
NETWORK_WIDTH = 576
SKIPS = [
    ("score_fr", "fc7", "upscore2"),
    ("score_pool4", "pool4", "upscore_pool4"),
    ("score_pool3", "pool3", "upscore8"),
]
"""The decoder from below: the score layer, what it scores, and the transposed convolution of the sum."""
WIDTH = 680  # of a drawing
STYLE = """
  .card { fill: #ffffff; stroke: #cbd5e0 }
  text { fill: #1a202c; font: 14px sans-serif; text-anchor: middle; dominant-baseline: central }
  .small { font-size: 12.5px }
  .title { font-weight: bold }
  .left { text-anchor: start }
  .encoder { fill: #dbe8f4; stroke: #2b6299 }
  .pool { fill: #b5cfe6; stroke: #2b6299 }
  .skip { fill: #fbe4bf; stroke: #a5630b }
  .decoder { fill: #d3ecd9; stroke: #23703f }
  .cell { fill: none; stroke: #a0aec0 }
  .first { fill: #cfe2f5; stroke: #a0aec0 }
  .second { fill: #fbe4bf; stroke: #a0aec0 }
  .twice { fill: #cbe8d2; stroke: #a0aec0 }
  .often { fill: #8fcf9f; stroke: #a0aec0 }
  .frame { fill: none; stroke: #b4232a; stroke-width: 3; stroke-dasharray: 8 5 }
  .arrow { fill: none; stroke: #4a5568; stroke-width: 1.5; marker-end: url(#head) }
  #head path { fill: #4a5568 }
  @media (prefers-color-scheme: dark) {
    .card { fill: #1e2129; stroke: #4a5568 }
    text { fill: #e8ebf0 }
    .encoder { fill: #22394f; stroke: #7fb3df }
    .pool { fill: #2f5273; stroke: #7fb3df }
    .skip { fill: #57400f; stroke: #e2b35a }
    .decoder { fill: #1f4a30; stroke: #74c78f }
    .cell, .first, .second, .twice, .often { stroke: #718096 }
    .first { fill: #274866 }
    .second { fill: #66490f }
    .twice { fill: #1f4a30 }
    .often { fill: #2f7a4b }
    .frame { stroke: #ff7b81 }
    .arrow { stroke: #a0aec0 }
    #head path { fill: #a0aec0 }
  }
"""


class Drawing:
    """An SVG picture that follows the reader's light or dark mode."""

    def __init__(self, title: str):
        self.title = title
        self.parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, kind: str, radius: float = 4) -> None:
        """A rectangle around its centre."""
        self.parts.append(
            f'<rect class="{kind}" x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" '
            f'rx="{radius:g}"/>'
        )

    def text(self, x: float, y: float, words: str, kind: str = "") -> None:
        """A line of text around its centre, or from x on if it is `left`."""
        attribute = f' class="{kind}"' if kind else ""
        self.parts.append(f'<text{attribute} x="{x:g}" y="{y:g}">{escape(words)}</text>')

    def arrow(self, *points: tuple[float, float]) -> None:
        """A line through points with a head at its end."""
        path = " L ".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(f'<path class="arrow" d="M {path}"/>')

    def svg(self, height: float) -> str:
        """The file's text."""
        head = '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" '
                f'height="{height:g}" role="img">',
                f"<title>{escape(self.title)}</title>",
                f"<style>{STYLE}</style>",
                f'<defs>{head}<path d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>',
                f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:g}" rx="8"/>',
                *self.parts,
                "</svg>\n",
            ]
        )


def sizes(network: nn.Module, width: int, height: int) -> tuple[dict[str, str], dict[str, str]]:
    """Sizes of what enters and what leaves each layer for an input of this size, such as 72x20x256."""
    entering: dict[str, str] = {}
    leaving: dict[str, str] = {}

    def size(tensor: torch.Tensor) -> str:
        _, channels, rows, columns = tensor.shape
        return f"{columns}x{rows}x{channels}"

    def record(name: str):
        def hook(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            entering[name], leaving[name] = size(inputs[0]), size(output)

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(record(name.removeprefix("head.")))
    with torch.no_grad():
        network(torch.zeros(1, 3, height, width))
    return entering, leaving


def network_diagram() -> str:
    """The network: the encoder on the left, downwards; the decoder on the right, upwards; the skips between them."""
    network = FCN8s().eval()
    entering, leaving = sizes(network, *network_size(*FRAME_SIZE, NETWORK_WIDTH))
    drawing = Drawing("FCN-8s on VGG-16: encoder, skips of layers 3, 4 and 7, decoder")
    left, middle, right = 150, 365, 545
    column = [("image", entering["conv1_1"], "encoder")]
    for stage, (_, convolutions) in enumerate(VGG16_STAGES, start=1):
        kernel = kernel_of(network.get_submodule(f"conv{stage}_1"))
        column.append((f"conv{stage}: {convolutions} x {kernel}", leaving[f"conv{stage}_{convolutions}"], "encoder"))
        after = f"conv{stage + 1}_1" if stage < len(VGG16_STAGES) else "fc6"
        column.append((f"pool{stage}", entering[after], "pool"))
    column += [
        (f"fc6: {kernel_of(network.fc6)}, dilation {network.fc6.dilation[0]}", leaving["fc6"], "encoder"),
        (f"fc7: {kernel_of(network.fc7)}", leaving["fc7"], "encoder"),
    ]
    step, tall, at = 56, 40, {}
    scored = {source for _, source, _ in SKIPS}
    drawing.text(left, 24, "Encoder: VGG-16", "title")
    drawing.text(middle, 24, "Skips", "title")
    drawing.text(right, 24, "Decoder", "title")
    for row, (name, size, kind) in enumerate(column):
        y = 66 + row * step
        at[name.partition(":")[0]] = y
        drawing.box(left, y, 150 + 16 * log2(int(size.split("x")[0]) / 18), tall, kind)
        layer = f" (layer {name[len(short) - 1]})" if (short := name.partition(":")[0]) in scored else ""
        drawing.text(left, y - 9, name)
        drawing.text(left, y + 9, size + layer, "small")
        if row:
            drawing.arrow((left, y - step + tall / 2), (left, y - tall / 2))

    below = None
    for score, source, upscore in SKIPS:
        y = at[source]
        drawing.box(middle, y, 128, tall, "skip")
        drawing.text(middle, y - 9, score)
        drawing.text(middle, y + 9, f"{kernel_of(network.head.get_submodule(score))} convolution", "small")
        drawing.box(right, y, 128, tall, "decoder")
        drawing.text(right, y - 9, "sum" if below else "scores")
        drawing.text(right, y + 9, leaving[score], "small")
        edge = left + 75 + 8 * log2(int(leaving[score].split("x")[0]) / 18)
        drawing.arrow((edge, y), (middle - 64, y))
        drawing.arrow((middle + 64, y), (right - 64, y))
        if below:
            upwards(drawing, network, right, below[0], y, below[1], tall)
        below = y, upscore
    top = at["image"]
    drawing.box(right, top, 210, tall, "decoder")
    drawing.text(right, top - 9, "road or not")
    drawing.text(right, top + 9, leaving["upscore8"], "small")
    upwards(drawing, network, right, below[0], top, below[1], tall)
    last = at["fc7"] + tall / 2
    drawing.text(WIDTH / 2, last + 26, "Sizes: width x height x channels, for a frame of KITTI's shape", "small")
    return drawing.svg(last + 46)


def upwards(drawing: Drawing, network: nn.Module, x: float, start: float, end: float, name: str, tall: float) -> None:
    """An arrow of the decoder with the transposed convolution that it stands for."""
    layer = network.head.get_submodule(name)
    y = (start + end) / 2
    drawing.arrow((x, start - tall / 2), (x, end + tall / 2))
    drawing.box(x, y, 206, tall, "card")
    drawing.text(x, y - 9, f"{name}: transposed")
    drawing.text(x, y + 9, f"{kernel_of(layer)}, stride {layer.stride[0]}", "small")


def kernel_of(layer: nn.Module) -> str:
    """The size of a convolution's kernel, such as 3x3."""
    return "x".join(map(str, layer.kernel_size))


def transposed_diagram() -> str:
    """A transposed convolution of upscore2's form on a patch of two by two pixels."""
    layer = nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1, bias=False)
    bilinear_(layer.weight)
    whole = nn.ConvTranspose2d(1, 1, 4, stride=2, bias=False)  # the same before its border is cut off
    whole.weight = layer.weight
    patch = torch.tensor([[16.0, 32.0], [48.0, 80.0]])
    with torch.no_grad():
        spread = [whole((patch * one)[None, None])[0, 0] for one in torch.eye(4).reshape(4, 2, 2)]
        covered = nn.functional.conv_transpose2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 4, 4), stride=2)[0, 0]
        total, answer = whole(patch[None, None])[0, 0], layer(patch[None, None])[0, 0]
    kernel, stride, padding = layer.weight.detach()[0, 0], layer.stride[0], layer.padding[0]
    assert torch.equal(answer, total[padding:-padding, padding:-padding]) and torch.equal(total, sum(spread))

    drawing = Drawing("A transposed convolution spreads each pixel of a patch over the output")
    cell, rows = 44, len(kernel)
    x, y = 40, 74
    drawing.text(x, 28, "1. A patch and a kernel", "title left")
    grid(drawing, x, y, cell, patch, [["first", "second"], ["cell", "cell"]])
    drawing.text(x + cell, y + 2 * cell + 20, "the patch", "small")
    drawing.text(x + 3 * cell, y + cell, "x")
    grid(drawing, x + 4 * cell, y, cell, kernel, [["cell"] * rows] * rows)
    beside = x + (4.6 + rows) * cell
    for line, words in enumerate(
        [
            f"{rows}x{rows}: upscore2 before training,",
            "bilinear interpolation. Training",
            "then changes its numbers.",
        ]
    ):
        drawing.text(beside, y + 68 + 20 * line, words, "small left")

    y += (rows + 1.1) * cell
    drawing.text(x, y, "2. Each pixel spreads the kernel, times its value", "title left")
    first, second = (str(int(value)) for value in patch[0])
    words = f"Here those of {first} and {second}; the next one lies {stride} further, which is the stride."
    drawing.text(x, y + 22, words, "small left")
    y += 46
    for number, (values, kind) in enumerate(zip(spread, ("first", "second"), strict=False)):
        kinds = [["cell"] * len(row) for row in values]
        for row in range(rows):
            for i in range(rows):
                kinds[row][stride * number + i] = kind
        grid(drawing, x + number * 7.5 * cell, y, cell, values, kinds)

    y += (len(total) + 1) * cell
    drawing.text(x, y, "3. Where they overlap, they are added up", "title left")
    words = f"The border of {padding} is cut off: {len(patch)}x{len(patch)} became {len(answer)}x{len(answer)}."
    drawing.text(x, y + 22, words, "small left")
    y += 46
    kinds = [[{1: "cell", 2: "twice"}.get(int(times), "often") for times in row] for row in covered]
    grid(drawing, x, y, cell, total, kinds)
    middle = len(total) / 2 * cell
    drawing.box(x + middle, y + middle, len(answer) * cell, len(answer) * cell, "frame", 0)
    legend = x + 7.5 * cell
    notes = [
        ("cell", "from one pixel"),
        ("twice", "the sum of 2"),
        ("often", f"the sum of {int(covered.max())}"),
        ("frame", "the output"),
    ]
    for line, (kind, words) in enumerate(notes):
        drawing.box(legend + 13, y + 30 + 36 * line, 26, 22, kind, 0)
        drawing.text(legend + 38, y + 30 + 36 * line, words, "left")
    return drawing.svg(y + len(total) * cell + 30)


def grid(drawing: Drawing, x: float, y: float, cell: float, values: torch.Tensor, kinds: list[list[str]]) -> None:
    """Numbers in cells, from an upper left corner; zeros stay empty."""
    for row, (numbers, names) in enumerate(zip(values.tolist(), kinds, strict=True)):
        for i, (number, kind) in enumerate(zip(numbers, names, strict=True)):
            centre = x + (i + 0.5) * cell, y + (row + 0.5) * cell
            drawing.box(*centre, cell, cell, kind, 0)
            if number:
                drawing.text(*centre, str(Fraction(number)))


def main() -> None:
    match sys.argv[1:]:
        case [folder]:
            Path(folder, "network.svg").write_text(network_diagram())
            Path(folder, "transposed_convolution.svg").write_text(transposed_diagram())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
