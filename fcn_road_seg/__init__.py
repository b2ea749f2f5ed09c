"""Road segmentation with an FCN-8s; the names in `__all__` are the public API.

They load what they need when they are first used: importing this package loads neither torch nor ROS.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcn_road_seg.inference.options import SegmenterOptions
    from fcn_road_seg.inference.segmenter import RoadSegmenter
    from fcn_road_seg.postprocess.overlay import overlay

__version__ = "0.3.0"
__all__ = ["RoadSegmenter", "SegmenterOptions", "__version__", "overlay"]

_MODULES = {
    "RoadSegmenter": "fcn_road_seg.inference.segmenter",
    "SegmenterOptions": "fcn_road_seg.inference.options",
    "overlay": "fcn_road_seg.postprocess.overlay",
}


def __getattr__(name: str) -> Any:
    """Import a public name at its first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
