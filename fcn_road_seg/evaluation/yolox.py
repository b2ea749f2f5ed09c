"""YOLOX (Ge et al., 2021) trained on COCO, as a yardstick for our instance network's boxes."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision.ops import batched_nms

from fcn_road_seg.errors import DeviceError, UserError, first_line
from fcn_road_seg.frames.instance_sample import INSTANCE_CLASSES
from fcn_road_seg.inference.backends.choice import installed
from fcn_road_seg.instances.detector import Instances

COCO = {0: "person", 1: "bicycle", 2: "car", 3: "motorcycle", 5: "bus", 6: "train", 7: "truck"}
"""COCO's contiguous ids of the classes that we know; it calls riders persons."""
STRIDES = 8, 16, 32
PAD = 114
NMS_IOU = 0.5


class YoloX:
    """An ONNX file of YOLOX's own export, without decoding, in OpenVINO on the CPU.

    Args:
        path: the file. Its input is 1 x 3 x H x W, BGR, 0..255; its output 1 x anchors x 85: centre and logarithm of
            the size in strides, P(object), P(class).
        tiles: two overlapping squares of a frame's height, at its left and right, besides the whole frame.

    Raises:
        UserError: the file cannot be read, or is not such a network.
        DeviceError: OpenVINO is not installed.
    """

    def __init__(self, path: str | Path, tiles: bool = False, least_score: float = 0.05):
        if not installed("openvino"):
            raise DeviceError("--peer needs OpenVINO, which is not installed: pip install openvino")
        from fcn_road_seg.inference.backends.openvino import plain_errors
        from fcn_road_seg.inference.backends.openvino_model import core

        self.name = Path(path).stem + " in tiles" * tiles
        self.tiles, self.least_score = tiles, least_score
        try:
            with plain_errors():
                self._model = core().compile_model(Path(path), "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        except RuntimeError as error:
            raise UserError(f"{path} cannot be read as an ONNX model: {first_line(error)}") from None
        shapes = [self._model.inputs[0].partial_shape, self._model.outputs[0].partial_shape]
        if not all(shape.is_static for shape in shapes) or shapes[0].to_shape()[:2] != [1, 3]:
            raise UserError(f"{path} is not YOLOX: its input must be 1 x 3 x height x width")
        _, _, height, width = self._model.inputs[0].shape
        self._size = width, height
        rows, columns, sides = [], [], []
        for stride in STRIDES:
            row, column = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
            rows.append(row)
            columns.append(column)
            sides.append(np.full(len(row), stride))
        self._cells, self._strides = np.stack([np.hstack(columns), np.hstack(rows)], 1), np.hstack(sides)[:, None]
        if tuple(self._model.outputs[0].shape) != (1, len(self._cells), 85):
            raise UserError(f"{path} is not YOLOX on COCO: its output must be 1 x {len(self._cells)} x 85")

    def detect(self, image: np.ndarray) -> Instances:
        """The instances in an image, uint8 H x W x 3 RGB; a mask is the whole box."""
        height, width = image.shape[:2]
        starts = sorted({0, max(width - height, 0)}) if self.tiles else []
        parts = [self._boxes(image, 0), *(self._boxes(image[:, left : left + height], left) for left in starts)]
        boxes, scores, labels = (np.concatenate(found) for found in zip(*parts, strict=True))
        kept = batched_nms(*map(torch.from_numpy, (boxes, scores, labels)), NMS_IOU).numpy()
        boxes = np.clip(boxes[kept], 0, (width, height, width, height)).astype(np.float32)
        masks = np.zeros((len(boxes), height, width), bool)
        for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int).tolist(), strict=True):
            mask[top:bottom, left:right] = True
        return Instances(boxes, labels[kept], scores[kept], masks)

    def _boxes(self, image: np.ndarray, left: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (N x 4), scores and labels in a part of a frame that begins `left` pixels from its edge."""
        width, height = self._size
        scale = min(width / image.shape[1], height / image.shape[0])
        inside = round(image.shape[1] * scale), round(image.shape[0] * scale)
        frame = np.full((height, width, 3), PAD, np.uint8)
        frame[: inside[1], : inside[0]] = cv2.resize(image, inside, interpolation=cv2.INTER_LINEAR)
        answer = self._model(frame[None, :, :, ::-1].transpose(0, 3, 1, 2).astype(np.float32))[0][0]
        chances = answer[:, 4:5] * answer[:, 5:]
        anchors, classes = np.nonzero(chances[:, list(COCO)] >= self.least_score)
        centres = (answer[anchors, :2] + self._cells[anchors]) * self._strides[anchors]
        sizes = np.exp(answer[anchors, 2:4]) * self._strides[anchors]
        boxes = np.hstack([centres - sizes / 2, centres + sizes / 2]) / scale + (left, 0, left, 0)
        labels = np.array([INSTANCE_CLASSES.index(name) for name in COCO.values()])[classes]
        return boxes.astype(np.float32), chances[anchors, np.array(list(COCO))[classes]], labels
