"""The node's parameters: one class, which is their table and, as an instance, their values.

``python -m fcn_road_seg.ros.parameters`` prints the table in Markdown.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Final

from fcn_road_seg.frames.image_message import MAX_PIXELS
from fcn_road_seg.ground.lookup import MapOptions
from fcn_road_seg.inference.options import BACKENDS, PRECISIONS
from fcn_road_seg.postprocess.overlay import ALPHA
from fcn_road_seg.ros.parameter import ParameterError, parameter, table

RUNNING: Final = "while running"
AT_START: Final = "at start"


@dataclass(frozen=True)
class NodeParameters:
    """The values of the node's parameters at one moment; the fields are the table of parameters.

    Those of one of several cameras have the values that were given for it alone, such as front.camera_height.
    """

    cameras: tuple[str, ...] = parameter(
        ("",),
        "Names of several cameras, such as [front, left]: each has its own front/image, front/camera_info and outputs "
        "~/front/mask ..., and front.threshold sets that camera's threshold. Empty: one camera without a name.",
        changes=AT_START,
    )
    weights: str = parameter(
        "",
        "Weights file (.safetensors); ~ is your home. Empty or road: the full network that ships with the package; "
        "lite: the smaller one; permissive: one of lite's size, trained only on data whose licences allow commercial "
        "use.",
    )
    device: str = parameter(
        "auto",
        "Where the network runs: auto (CUDA if available, else the CPU), cpu, cuda or cuda:N; with OpenVINO also gpu, "
        "gpu.N, npu, or a choice such as auto:npu,cpu.",
    )
    precision: str = parameter(
        "auto",
        "Arithmetic of the network. auto: FP16 on CUDA and on OpenVINO's gpu and npu; on a CPU the first that the "
        "hardware supports of INT8 (needs OpenVINO and weights that have an INT8 form), BF16 and FP32. int8 needs "
        "openvino, onnxruntime on the CPU, or TensorRT.",
        choices=("auto", *PRECISIONS),
    )
    backend: str = parameter(
        "auto",
        "What runs the network. auto: a CUDA graph on CUDA; OpenVINO on an x86-64 CPU if it is installed; else torch. "
        "onnxruntime_tensorrt is ONNX Runtime with its TensorRT provider. None is ever replaced by another.",
        choices=("auto", *BACKENDS),
    )
    threads: int = parameter(0, "CPU threads of the network. 0: the backend chooses.", minimum=0, maximum=1024)
    require_cuda: bool = parameter(False, "Refuse to configure without CUDA instead of running on the CPU.")
    network_width: int = parameter(
        0,
        "Width in pixels to which frames of KITTI's shape (1242x375), and wider ones, are scaled for the network; the "
        "height follows. Narrower frames get as many pixels. 0: the checkpoint's.",
        minimum=0,
        maximum=4096,
        multiple_of=32,
    )
    warm_up_width: int = parameter(
        1242,
        "Expected width of the frames in pixels: configuring runs the network once at this size. 0: no warm-up.",
        minimum=0,
        maximum=16384,
    )
    warm_up_height: int = parameter(
        375,
        "Expected height of the frames in pixels. 0: no warm-up.",
        minimum=0,
        maximum=16384,
    )
    own_vehicle_mask: str = parameter(
        "",
        "Image (not black = own vehicle) or polygons (YAML) of the bonnet and all else of the vehicle that the camera "
        "sees: never road, and unknown in labels and metres. Empty: none.",
    )
    threshold: float = parameter(
        0.0,
        "Lowest probability at which a pixel counts as road. 0.0: the checkpoint's threshold.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1.0,
    )
    smoothing: float = parameter(
        0.0,
        "Reduces flicker: weight of P(road) from 0.1 s earlier, moved along with the image. 0.0: each frame "
        "on its own.",
        changes=RUNNING,
        minimum=0.0,
        maximum=0.95,
    )
    min_region: float = parameter(
        0.0,
        "Islands of road that are smaller than this share of the image are dropped, and holes in the road that are "
        "smaller are filled. 0.0: none.",
        changes=RUNNING,
        minimum=0.0,
        maximum=0.1,
    )
    overlay_alpha: float = parameter(
        ALPHA,
        "Opacity of the road's tint in ~/overlay; its outline is twice as opaque. 0.0: the frame is unchanged.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1.0,
    )
    jpeg_quality: int = parameter(
        80,
        "Quality of ~/overlay/compressed.",
        changes=RUNNING,
        minimum=1,
        maximum=100,
    )
    image_transport: str = parameter(
        "raw",
        "Type of the image topic: raw is sensor_msgs/Image, compressed is sensor_msgs/CompressedImage (JPEG, PNG).",
        choices=("raw", "compressed"),
    )
    max_age_ms: float = parameter(
        0.0,
        "Frames older than this, in milliseconds, when the node gets to them are dropped and counted. 0.0: no limit.",
        changes=RUNNING,
        minimum=0.0,
        maximum=600000.0,
    )
    max_pixels: int = parameter(
        16_000_000,
        "Frames with more pixels than this are dropped and counted, because a huge frame blocks the node for seconds.",
        changes=RUNNING,
        minimum=1,
        maximum=MAX_PIXELS,
    )
    always_on: bool = parameter(
        False,
        "Segment every frame, even while no output has a subscriber. false: such frames are only counted.",
        changes=RUNNING,
    )
    max_fps: float = parameter(
        0.0,
        "Frames to segment per second at most, evenly spaced; the others are only counted. 0.0: no limit.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1000.0,
    )
    min_confidence: float = parameter(
        0.0,
        "~/labels is 255 (unknown) where the larger of P(road) and 1 - P(road) is below this.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1.0,
    )
    camera_height: float = parameter(
        0.0,
        "Height of the camera above the road in metres, for all ground outputs. 0.0: taken from TF.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1000.0,
    )
    camera_pitch: float = parameter(
        0.0,
        "With camera_height: downward tilt of the camera in radians.",
        changes=RUNNING,
        minimum=-1.5,
        maximum=1.5,
    )
    camera_roll: float = parameter(
        0.0,
        "With camera_height: tilt of the camera to the right in radians.",
        changes=RUNNING,
        minimum=-1.5,
        maximum=1.5,
    )
    ground_frame: str = parameter(
        "base_link",
        "Frame of ~/grid, ~/scan and ~/boundary. Taken from TF; with camera_height, the name of the point on "
        "the road below the camera.",
        changes=RUNNING,
        frame=True,
    )
    ground_z: float = parameter(
        0.0,
        "Without camera_height: height of the road in ground_frame in metres, negative for a frame above the road.",
        changes=RUNNING,
        minimum=-1000.0,
        maximum=1000.0,
    )
    max_camera_height: float = parameter(
        10.0,
        "Largest plausible height of the camera above the road in metres; above it, as below 0.05 m, the ground "
        "outputs are not published.",
        changes=RUNNING,
        minimum=0.05,
        maximum=1000.0,
    )
    attitude: str = parameter(
        "none",
        "Corrects the camera's pitch and roll in the ground outputs, frame by frame, by the direction of gravity: imu "
        "(topic imu), odom (topic odom) or none.",
        changes=RUNNING,
        choices=("none", "imu", "odom"),
    )
    attitude_window: float = parameter(
        3.0,
        "With attitude: seconds over which it is averaged to learn how the road slopes and the sensor is mounted; the "
        "correction is the difference to that average. 0.0: the difference to the horizontal, for level ground.",
        changes=RUNNING,
        minimum=0.0,
        maximum=600.0,
    )
    rectified: bool = parameter(
        True,
        "true: the images are rectified, and P of camera_info applies; false: they are raw, and K, D and R apply.",
        changes=RUNNING,
    )
    max_range: float = parameter(
        50.0,
        "Largest distance from the camera in metres that the ground outputs cover.",
        changes=RUNNING,
        minimum=0.1,
        maximum=1000.0,
    )
    bottom_margin: float = parameter(
        0.03,
        "Share of the image's height, at its lower edge, that the ground outputs leave out.",
        changes=RUNNING,
        minimum=0.0,
        maximum=0.5,
    )
    grid_resolution: float = parameter(
        0.1,
        "Side of a cell of ~/grid in metres.",
        changes=RUNNING,
        minimum=0.01,
        maximum=10.0,
    )
    grid_length: float = parameter(
        40.0,
        "Length of ~/grid ahead of ground_frame in metres.",
        changes=RUNNING,
        minimum=0.1,
        maximum=1000.0,
    )
    grid_width: float = parameter(
        20.0,
        "Width of ~/grid in metres, half of it on each side.",
        changes=RUNNING,
        minimum=0.1,
        maximum=1000.0,
    )
    grid_mode: str = parameter(
        "binary",
        "binary: a cell of ~/grid is 0 (road) or 100 (not road); probability: 100 x P(not road). In both, -1 "
        "is unseen.",
        changes=RUNNING,
        choices=("binary", "probability"),
    )
    scan_angle_increment: float = parameter(
        0.0087,
        "Angle between the rays of ~/scan in radians; at most a million samples of all rays together.",
        changes=RUNNING,
        minimum=0.0001,
        maximum=1.0,
    )
    scan_min_obstacle: float = parameter(
        0.3,
        "Length in metres along a ray of ~/scan below which an interruption of the road is ignored.",
        changes=RUNNING,
        minimum=0.0,
        maximum=100.0,
    )
    instances: bool = parameter(
        False,
        "Find vehicles and people one by one too, with a second network, while one of ~/instances, ~/instance_ids, "
        "~/obstacles and the overlays is subscribed to. It needs torchvision.",
    )
    instances_weights: str = parameter(
        "",
        "Weights file of the instances (.safetensors, of road_seg train-instances); ~ is your home. Empty: the one "
        "that ships with the package.",
    )
    instances_min_score: float = parameter(
        0.5,
        "Instances with a lower score are left out.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1.0,
    )
    instances_max_fps: float = parameter(
        5.0,
        "Frames per second in which instances are looked for, at most. 0.0: no limit. It does not apply with "
        "subtract_instances.",
        changes=RUNNING,
        minimum=0.0,
        maximum=1000.0,
    )
    subtract_instances: bool = parameter(
        False,
        "With instances: cut them out of the road, in every output. Each mask then waits for the instances of its "
        "frame.",
    )
    bond: str = parameter(
        "auto",
        "Heartbeats for a lifecycle manager such as Nav2's while the node is active. auto: if the ROS 2 package bond "
        "is installed; required: the node does not activate without it; none.",
        choices=("auto", "required", "none"),
    )
    autostart: bool = parameter(True, "Configure and activate at start, without a lifecycle manager.", changes=AT_START)

    @cached_property
    def map_options(self) -> MapOptions:
        """The parameters of the ground maps."""
        return MapOptions(**{field.name: getattr(self, field.name) for field in fields(MapOptions)})


PARAMETERS = table(NodeParameters)
BY_NAME = {row.name: row for row in PARAMETERS}
SHARED = {"cameras", "weights", "device", "precision", "backend", "threads", "require_cuda", "network_width"}
SHARED |= {"instances", "instances_weights", "subtract_instances", "bond", "autostart"}
"""Parameters of the whole node; each camera can have its own value of the others."""
OF_CAMERA = [row for row in PARAMETERS if row.name not in SHARED]
CAMERA_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


def camera_names(cameras: Iterable[str]) -> tuple[str, ...]:
    """The names in the parameter cameras; ("",) for one camera without a name.

    Raises:
        ParameterError: one cannot be a name, or two are the same.
    """
    names = tuple(cameras)
    if names in ((), ("",)):
        return ("",)
    for name in names:
        if not CAMERA_NAME.fullmatch(name) or name.endswith("_") or "__" in name:
            raise ParameterError(
                f"'cameras' has the name '{name}', but a name is letters, digits and single underscores, and begins "
                "with a letter"
            )
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ParameterError(f"'cameras' has the name '{twice}' twice")
    return names


def check_change(name: str, value: Any, configured: bool) -> None:
    """Raise ParameterError, in one sentence, if parameter ``name`` cannot be set to ``value`` now.

    Args:
        name: a parameter, or one of a camera such as front.threshold; those that are not in the table (use_sim_time,
            QoS overrides) are not checked.
        value: its new value.
        configured: whether the node has loaded its weights.
    """
    if not name:
        raise ParameterError("a parameter needs a name")
    row = BY_NAME.get(name.rpartition(".")[2])
    if row is None:
        return
    replace(row, name=name).check(value)
    if row.changes == "while unconfigured" and configured:
        raise ParameterError(f"'{name}' is read when the node configures: clean the node up, set it, configure again")


def markdown_table() -> str:
    """The parameters as a Markdown table."""
    lines = ["| parameter | type | default | range | changes | meaning |", "|---|---|---|---|---|---|"]
    for row in PARAMETERS:
        cells = [
            f"`{row.name}`",
            row.type_name,
            f"`{json.dumps(row.default)}`",
            row.range_text,
            row.changes,
            row.text,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown_table())
