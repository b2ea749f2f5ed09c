"""Other projects' networks in miniature, for tests: their road channel is the green channel of the frame."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fcn_road_seg.inference.backends.openvino_model import openvino, ops

CONVENTIONS = {"size": [192, 64], "colour": "rgb", "scale": 255, "fit": "letterbox", "road": [1], "activation": "none"}


def green_network(
    path: Path,
    shape: Sequence[int] = (1, 3, 64, 192),
    weights: np.ndarray | None = None,
    stride: int = 1,
) -> Path:
    """Write an OpenVINO network with outputs "image", its input as it is, and "mixed", a 1x1 convolution of it.

    Args:
        shape: of the input, -1 where it is open; 1 x h x w x 3 or 1 x 3 x h x w.
        weights: C x 3, of the convolution; by default the identity.
        stride: of the convolution.
    """
    weights = np.eye(3) if weights is None else weights
    frame = ops.parameter(openvino.PartialShape(list(shape)), openvino.Type.f32, name="frame")
    channels_last = shape[3] == 3
    x = ops.transpose(frame, np.array([0, 3, 1, 2])) if channels_last else frame
    kernel = ops.constant(np.asarray(weights, np.float32)[:, :, None, None])
    y = ops.convolution(x, kernel, [stride, stride], [0, 0], [0, 0], [1, 1])
    if channels_last:
        y = ops.transpose(y, np.array([0, 2, 3, 1]))
    results = []
    for node, name in ((frame, "image"), (y, "mixed")):
        node.output(0).tensor.set_names({name})
        results.append(ops.result(node))
    openvino.save_model(openvino.Model(results, [frame], "green"), path, compress_to_fp16=False)
    return path
