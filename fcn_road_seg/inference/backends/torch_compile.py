"""The network through torch.compile, on the CPU or on CUDA."""

import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

import torch
from torch._dynamo.exc import TorchDynamoException

from fcn_road_seg.errors import DeviceError, first_line
from fcn_road_seg.inference.backends.torch_eager import TorchEager
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import resize, resize_probability

logger = logging.getLogger(__name__)


class TorchCompile(TorchEager):
    """TorchEager with an InferenceNetwork that is compiled for each size when a frame first needs it.

    That may take a minute and is logged. What was built is kept in $XDG_CACHE_HOME/fcn_road_seg/inductor
    (~/.cache/fcn_road_seg/inductor; TORCHINDUCTOR_CACHE_DIR names another place), where the next start finds it.
    After 8 sizes in a process torch runs further ones without compiling.

    Raises:
        DeviceError: there is no C++ compiler, which torch.compile needs on the CPU.
    """

    name = "compile"

    def __init__(self, network: FCN8s, device: torch.device, precision: str, dtype: torch.dtype):
        compiler = os.environ.get("CXX", "g++")
        if device.type == "cpu" and not shutil.which(compiler):
            raise DeviceError(f"the backend compile needs a C++ compiler, and there is no {compiler}: install it")
        if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
            keep_in(cache_folder() / "inductor")
        super().__init__(InferenceNetwork(network, folded_normalisation=False), device, precision, dtype)
        self._compiled = torch.compile(self._network, dynamic=False)
        self._network = self._run
        self._sizes: set[tuple[int, ...]] = set()

    def _preprocess(self, frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if frame.is_cuda:  # which has no uint8 resize
            frame = resize(frame.to(torch.float16), size).round_().to(torch.uint8)
        return resize(frame, size).permute(0, 2, 3, 1).contiguous()

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        size = "{2}x{1}".format(*batch.shape)
        new = batch.shape not in self._sizes
        if new:
            logger.info("Compiling the network for %s; this may take a minute", size)
        began = time.perf_counter()
        try:
            answer = self._compiled(batch)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            raise RuntimeError(f"torch.compile cannot build it: {first_line(cause)}") from None
        if new:
            self._sizes.add(batch.shape)
            logger.info("Compiled the network for %s in %.1f s", size, time.perf_counter() - began)
        return answer

    def _postprocess(self, answer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return resize_probability(answer, size)


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/fcn_road_seg (XDG Base Directory Specification); it need not exist."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path("~/.cache").expanduser()) / "fcn_road_seg"


def keep_in(folder: Path) -> None:
    """Let torch keep what it builds in a folder; in the system's temporary one, with a warning, if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    except OSError as error:
        logger.warning("Compiled networks are not kept: cannot write %s (%s)", folder, error.strerror)
