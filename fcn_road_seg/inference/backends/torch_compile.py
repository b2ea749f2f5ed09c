"""The network through torch.compile, on the CPU or on CUDA."""

import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch._dynamo.exc import TorchDynamoException

from fcn_road_seg.errors import DeviceError, first_line
from fcn_road_seg.inference.backends.cache import cache_folder
from fcn_road_seg.inference.backends.torch_eager import TorchEager
from fcn_road_seg.inference.inference_network import InferenceNetwork
from fcn_road_seg.inference.network import FCN8s
from fcn_road_seg.inference.preprocess import resize, resize_probability

logger = logging.getLogger(__name__)

COMPILED_DIFFERENCE = 0.02
"""Greatest mean |difference of P(road)| between the compiled network and the network itself, on noise."""


class TorchCompile(TorchEager):
    """A `Backend`: TorchEager with an InferenceNetwork that is compiled for each size when a frame first needs it.

    Compiling may take a minute and is logged. The result is cached in $XDG_CACHE_HOME/fcn_road_seg/inductor (by default
    ~/.cache/fcn_road_seg/inductor; TORCHINDUCTOR_CACHE_DIR overrides it) for the next start. After 8 sizes in a
    process, torch runs further ones without compiling. What is cached is not trusted: for each size its answer is
    compared with that of the network itself.

    Raises:
        DeviceError: the C++ compiler that torch.compile needs on the CPU is not installed.
    """

    name = "compile"

    def __init__(self, network: FCN8s, device: torch.device, precision: str, dtype: torch.dtype):
        compiler = os.environ.get("CXX", "g++")
        if device.type == "cpu" and not shutil.which(compiler):
            raise DeviceError(f"the backend compile needs a C++ compiler, but {compiler} was not found: install it")
        if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
            set_cache(cache_folder() / "inductor")
        super().__init__(InferenceNetwork(network, folded_normalisation=False), device, precision, dtype)
        self._compiled = torch.compile(self._module, dynamic=False)
        self._network = self._run
        self._sizes: set[tuple[int, int]] = set()

    def _preprocess(self, frame: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if frame.is_cuda:  # CUDA cannot resize uint8
            frame = resize(frame.to(torch.float16), size).round_().to(torch.uint8)
        return resize(frame, size).permute(0, 2, 3, 1).contiguous()

    @torch.inference_mode()
    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """P(road) x 255, uint8 H x W, of a frame; see `Backend`."""
        began = time.perf_counter()
        prepare: dict[str, float] = {}
        if size not in self._sizes:
            self._compile(*size)
            prepare = {"prepare": time.perf_counter() - began}
        answer = super().__call__(frame, size)
        self.seconds = prepare | self.seconds
        return answer

    def _compile(self, width: int, height: int) -> None:
        """Compile the network for a size, and compare its answer with the network's own.

        Raises:
            RuntimeError: compiling failed, or the answers differ.
        """
        logger.info("Compiling the network for %dx%d; this may take a minute", width, height)
        random = torch.Generator(self._device).manual_seed(0)
        noise = torch.randint(
            256, (1, height, width, 3), generator=random, dtype=torch.uint8, device=self._device
        )  # P(road) is far from 0 and 1
        difference = (self._run(noise) - self._module(noise)).abs().mean()
        if not difference <= COMPILED_DIFFERENCE:
            raise RuntimeError(
                f"the compiled network's P(road) differs from the network's by {difference:.3f} on average: delete "
                f"{os.environ.get('TORCHINDUCTOR_CACHE_DIR', 'its cache')} and start again"
            )
        self._sizes.add((width, height))

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        try:
            return self._compiled(batch)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            raise RuntimeError(f"torch.compile failed: {first_line(cause)}") from None

    def _postprocess(self, answer: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return resize_probability(answer, size)


def set_cache(folder: Path) -> None:
    """Let torch cache its builds in a folder; if that is not writable, warn and leave torch's temporary folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    except OSError as error:
        logger.warning("Compiled networks are not cached: cannot write %s (%s)", folder, error.strerror)
