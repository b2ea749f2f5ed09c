"""Peak memory of a way to run the network, measured in a fresh process."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from fcn_road_seg.inference.options import SegmenterOptions

STATUS = Path("/proc/self/status")


def peak_memory(options: SegmenterOptions, frame_size: tuple[int, int]) -> int | None:
    """Peak bytes from before the weights are loaded until after the third frame.

    On the CPU this is the growth of the process's resident memory after importing PyTorch; on CUDA PyTorch's peak
    allocation, or what the backend holds at the end if that is more, because other libraries allocate for themselves.

    Args:
        frame_size: width and height in pixels.

    Returns:
        None if it cannot be measured.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, options, frame_size).result()
        except (BrokenProcessPool, ValueError, OSError, RuntimeError):
            return None


def _measure(options: SegmenterOptions, frame_size: tuple[int, int]) -> int | None:
    import torch

    from fcn_road_seg.inference.segmenter import RoadSegmenter

    before = _resident("VmRSS")
    segmenter = RoadSegmenter.load(options)
    for _ in range(3):
        segmenter.warm_up(frame_size[1], frame_size[0])
    if segmenter.device.startswith("cuda"):
        return max(torch.cuda.max_memory_allocated(segmenter.device), segmenter.memory() or 0)
    after = _resident("VmHWM")
    return None if before is None or after is None else after - before


def _resident(field: str) -> int | None:
    """Bytes of VmRSS (current) or VmHWM (peak), see proc(5)."""
    try:
        fields = STATUS.read_text().split()
    except OSError:
        return None
    return 1024 * int(fields[fields.index(f"{field}:") + 1]) if f"{field}:" in fields else None
