"""Handles a camera image: decode, segment, threshold, publish the mask, then the other outputs."""

import time
from typing import TYPE_CHECKING, Protocol

import numpy as np
from rclpy.clock import ROSClock
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CompressedImage, Image

from fcn_road_seg.errors import DeviceLostError, FrameError, first_line
from fcn_road_seg.frames.bit_depth import BitDepth
from fcn_road_seg.frames.image_message import compressed_to_rgb, fill_image, image_to_rgb
from fcn_road_seg.frames.own_vehicle import OwnVehicle
from fcn_road_seg.postprocess.out_of_domain import alarm, look
from fcn_road_seg.postprocess.small_regions import without_small_regions
from fcn_road_seg.postprocess.temporal_filter import TemporalFilter
from fcn_road_seg.postprocess.threshold import threshold_mask
from fcn_road_seg.ros.demand import Demand
from fcn_road_seg.ros.fault_log import FaultLog
from fcn_road_seg.ros.frame_statistics import RESTS, FrameStatistics
from fcn_road_seg.ros.instance_detection import InstanceDetection
from fcn_road_seg.ros.parameters import NodeParameters
from fcn_road_seg.ros.scope import logger_of
from fcn_road_seg.ros.segmented_frame import SegmentedFrame, age, nanoseconds
from fcn_road_seg.ros.steady_clock import STEADY

if TYPE_CHECKING:
    from fcn_road_seg.inference.segmenter import RoadSegmenter

TRANSPORTS = {"raw": (Image, image_to_rgb), "compressed": (CompressedImage, compressed_to_rgb)}
"""By the parameter image_transport: the type of the topic image, and the function that decodes it."""


def road_threshold(parameters: NodeParameters, segmenter: "RoadSegmenter") -> float:
    """P(road), 0..1, from which a pixel is road: the parameter, or the checkpoint's threshold if that is 0."""
    return parameters.threshold or segmenter.threshold


class Outputs(Protocol):
    """Outputs besides the mask."""

    def publish(self, frame: SegmentedFrame) -> None:
        """Publish those that are subscribed to."""

    def stop(self) -> None:
        """Release what they need only while frames are segmented."""


class FrameHandler:
    """Publishes a mask for each image; a frame gets its own mask or none.

    Args:
        mask_publisher: of ~/mask.
        outputs: published after the mask.
        detection: finds the instances that are cut out of the road, if they are.
        demand: decides which frames are segmented.
        statistics: counts the frames.
        faults: records unexpected exceptions.
        camera: the camera's name, if there are several.
    """

    def __init__(
        self,
        node: Node,
        mask_publisher: Publisher,
        outputs: tuple[Outputs, ...],
        detection: InstanceDetection,
        demand: Demand,
        statistics: FrameStatistics,
        faults: FaultLog,
        camera: str = "",
    ):
        self._node = node
        self._logger = logger_of(node, camera)
        self._mask_publisher = mask_publisher
        self._outputs = outputs
        self._detection = detection
        self._demand = demand
        self._statistics = statistics
        self._faults = faults
        self._temporal_filter = TemporalFilter()
        self._bit_depth = BitDepth(self._logger.info)

    def restart(self) -> None:
        """Forget past frames."""
        self._bit_depth = BitDepth(self._logger.info)
        self._demand.restart()
        self._statistics.restart()
        self._temporal_filter.reset()

    def handle(
        self,
        message: Image | CompressedImage,
        info: dict,
        segmenter: "RoadSegmenter",
        parameters: NodeParameters,
        own_vehicle: OwnVehicle | None = None,
    ) -> None:
        """Publish the mask of an image and the other outputs, or pass the image over or drop it, and count it.

        Args:
            info: rclpy's MessageInfo; empty in ROS 2 Humble.
            segmenter: without an own-vehicle mask.
            own_vehicle: where the image shows the vehicle itself, which is never road.

        Raises:
            DeviceLostError: the device no longer answers.
        """
        try:
            self._answer(message, info, segmenter, parameters, own_vehicle)
        except DeviceLostError:
            raise
        except FrameError as error:
            if isinstance(error.__cause__, Exception):
                self._faults.record("A frame failed", error.__cause__)
            self._drop(error.reason, str(error))
        except MemoryError:
            self._drop("memory", "there is not enough memory for it")
        except Exception as error:  # a fault of this program or a library must not end the drive
            self._faults.record("A frame failed", error)
            self._drop("fault", f"{type(error).__name__}: {first_line(error)}")

    def _answer(
        self,
        message: Image | CompressedImage,
        info: dict,
        segmenter: "RoadSegmenter",
        parameters: NodeParameters,
        own_vehicle: OwnVehicle | None,
    ) -> None:
        began = time.perf_counter()
        header = message.header
        stamp = nanoseconds(header.stamp)
        self._count(stamp, info)
        if reason := self._demand.refusal(parameters):
            return self._pass_over(reason)
        clock = self._node.get_clock()
        age_at_arrival = age(clock, stamp)
        limit = parameters.max_age_ms
        if limit and age_at_arrival is not None and 1000 * age_at_arrival > limit:
            raise FrameError("age", f"it is {1000 * age_at_arrival:.0f} ms old, but max_age_ms is {limit:g}")
        _, decode = TRANSPORTS[parameters.image_transport]
        frame = decode(message, parameters.max_pixels, self._bit_depth)
        hidden = None if own_vehicle is None else own_vehicle.hidden(*frame.shape[:2])
        decoded = time.perf_counter()
        probability = segmenter(frame)
        segmented = time.perf_counter()
        instances = self._detection.find(frame, hidden, parameters)
        found = time.perf_counter()
        probability = self._temporal_filter(probability, frame, parameters.smoothing, stamp, header.frame_id, hidden)
        threshold = road_threshold(parameters, segmenter)
        probability = without_small_regions(probability, threshold, parameters.min_region, hidden)
        if instances is not None:
            probability = instances.cut_out(probability)
        mask = threshold_mask(probability, threshold)
        thresholded = time.perf_counter()
        self._mask_publisher.publish(fill_image(Image(header=header), mask, "mono8"))
        published, mask_age = time.perf_counter(), age(clock, stamp)
        if mask_age is not None and isinstance(clock, ROSClock) and clock.ros_time_is_active:
            mask_age += published - began  # /clock is received only between two frames
        segmented_frame = SegmentedFrame(header, frame, probability, mask, threshold, parameters, hidden, instances)
        for outputs in self._outputs:
            with self._faults.survived("Only the mask is published"):
                outputs.publish(segmented_frame)
        seconds = {
            "decode": decoded - began,
            **segmenter.seconds,
            **({} if instances is None else {"instances": found - segmented}),
            "threshold": thresholded - found,
            "publish": published - thresholded,
            "outputs": time.perf_counter() - published,
        }
        road_fraction = np.count_nonzero(mask) / mask.size
        with self._faults.survived("A frame has its mask, but is not in the statistics"):
            self._statistics.answered(seconds, age_at_arrival, mask_age, road_fraction, alarm(look(frame, probability)))

    def _count(self, stamp: int, info: dict) -> None:
        publisher = info.get("publisher_gid")
        # Without the publisher's id (before ROS 2 Kilted) the sequence numbers of two cameras would be mixed up.
        sequence = None if publisher is None else info.get("publication_sequence_number")
        self._statistics.arrived(stamp, repr(publisher), sequence)

    def _pass_over(self, reason: str) -> None:
        self._statistics.pass_over(reason)
        if reason in RESTS:
            for outputs in self._outputs:
                outputs.stop()

    def _drop(self, reason: str, why: str) -> None:
        count = self._statistics.drop(reason, why)
        self._logger.warning(
            f"Frame dropped ({count} so far): {why}", throttle_duration_sec=1.0, throttle_time_source_type=STEADY
        )
