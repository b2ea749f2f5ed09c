"""Loads the networks that the node's parameters describe; only here does the node load torch."""

import os
from typing import TYPE_CHECKING

from fcn_road_seg.inference.options import SegmenterOptions
from fcn_road_seg.ros.parameter import ParameterError
from fcn_road_seg.ros.parameters import NodeParameters

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter
    from fcn_road_seg.instances.detector import InstanceDetector


def check_together(values: NodeParameters) -> None:
    """Check parameters that depend on each other, before the weights are loaded.

    Raises:
        ParameterError: a frame of the warm-up's size has more than max_pixels, so that it would not be segmented, or
            subtract_instances is true, but instances is false.
    """
    if values.subtract_instances and not values.instances:
        raise ParameterError("subtract_instances is true, but instances is false: set instances to true as well")
    if values.warm_up_width * values.warm_up_height > values.max_pixels:
        raise ParameterError(
            f"warm_up_width x warm_up_height is {values.warm_up_width}x{values.warm_up_height}, but frames with more "
            f"than max_pixels ({values.max_pixels}) are dropped: raise max_pixels or lower the warm-up"
        )


def load_segmenter(values: NodeParameters) -> "RoadSegmenter":
    """Load the weights onto the device, without an own-vehicle mask, which is a camera's.

    Raises:
        ParameterError: CUDA is required, but the device is another one.
        Exception: those of `RoadSegmenter.load`.
    """
    # Importing torch takes seconds; here Ctrl-C ends the node cleanly meanwhile, because rclpy is initialised.
    from fcn_road_seg.inference.segmenter import RoadSegmenter

    device = values.device
    if values.require_cuda:
        device = "cuda" if device == "auto" else device
        if not device.startswith("cuda"):
            raise ParameterError(f"require_cuda is true, but device is '{device}'")
    options = SegmenterOptions(
        weights=values.weights,
        device=device,
        precision=values.precision,
        backend=values.backend,
        network_width=values.network_width,
        threads=values.threads,
    )
    return RoadSegmenter.load(options)


def load_detector(values: NodeParameters, segmenter: "RoadSegmenter") -> "InstanceDetector | None":
    """Load the network for instances onto the segmenter's device; None if the parameter instances is false.

    Raises:
        CheckpointError: the weights file is missing or invalid.
        ModuleNotFoundError: torchvision is not installed.
    """
    if not values.instances:
        return None
    from fcn_road_seg.instances.detector import InstanceDetector, instance_weights

    path = instance_weights(os.path.expanduser(values.instances_weights))
    # Beside the masks OpenVINO runs in one thread: that in which the node calls it, which yields to all others.
    threads = values.threads if values.subtract_instances else 1
    backend, device, precision = segmenter.backend, segmenter.device, segmenter.precision
    options = SegmenterOptions(backend=backend, device=device, precision=precision, threads=threads)
    return InstanceDetector.load(path, values.instances_min_score, options)
