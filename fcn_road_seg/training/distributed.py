"""Data-parallel training under torchrun: one process per GPU, or several on CPUs, on one or more machines.

Each process has the complete network and takes its part of every global batch (`mixture.MicroBatches`); all make the
same step (Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020). Only rank 0
validates, logs and writes files.
"""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from fcn_road_seg.errors import UserError, first_line
from fcn_road_seg.inference.backends.hardware import torch_device

TIMEOUT = timedelta(minutes=30)  # longer than reading all frames once, and than rank 0's validation

ENDS = signal.SIGINT, signal.SIGTERM


class ProcessLostError(UserError):
    """Another process of the training has ended, hangs or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """This process and the number of processes; one that trains alone is rank 0 of 1.

    Attributes:
        rank: 0 .. world_size - 1, over all machines.
        device: the process's own, such as cpu or cuda:3.
    """

    rank: int
    world_size: int
    device: str

    @property
    def main(self) -> bool:
        """Whether this process validates, logs and writes files."""
        return self.rank == 0

    def data_parallel(self, model: nn.Module, unused_parameters: bool) -> nn.Module:
        """The model with rank 0's weights; after `backward` its gradients are the mean over all processes.

        Args:
            unused_parameters: whether some batches do not use all parameters.
        """
        if self.world_size == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=unused_parameters)

    def accumulating(self, model: nn.Module, more: bool) -> AbstractContextManager:
        """Keep gradients in this process while `more` micro-batches of the step follow."""
        return model.no_sync() if more and isinstance(model, DistributedDataParallel) else nullcontext()

    def start(self, loader: DataLoader) -> Iterator:
        """`iter(loader)`; signals wait until the loader's processes have started, and do not reach them."""
        if self.world_size == 1:
            return iter(loader)
        loader.worker_init_fn = _out_of_reach
        caught: list[int] = []
        before = {number: signal.signal(number, lambda signum, _: caught.append(signum)) for number in ENDS}
        try:
            return iter(loader)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for signum in caught:
                signal.raise_signal(signum)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor, on the CPU, over all processes."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def from_main(self, value: Any) -> Any:
        """The value that rank 0 passes; the others wait for it."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def check_same(self, facts: dict[str, Any]) -> None:
        """Compare facts, by name, with those of the other processes.

        Raises:
            UserError: a process differs from rank 0; the message has its rank and the fact's name.
        """
        if self.world_size == 1:
            return
        everyones: list[Any] = [None] * self.world_size
        dist.all_gather_object(everyones, facts)
        for rank, theirs in enumerate(everyones):
            for name in facts:
                if theirs[name] != everyones[0][name]:
                    raise UserError(f"process {rank} of this training run has a different {name} from process 0")

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """Raise failed exchanges within this block as ProcessLostError."""
        try:
            yield
        except RuntimeError as error:
            if self.world_size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            why = re.sub(r"^\[.*?\] ", "", first_line(error)).partition(". ")[0]  # without gloo's source line
            raise ProcessLostError(
                f"process {self.rank} lost contact with another process of this training run ({why})"
            ) from None


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Join the other processes that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT).

    Without torchrun, or as its only process, nothing happens. With CUDA each process takes the GPU of its LOCAL_RANK.
    Ctrl-C, and SIGTERM, which torchrun sends after a process has failed, raise KeyboardInterrupt on rank 0 and end the
    others at once.

    Args:
        device: cpu or cuda.

    Raises:
        ProcessLostError: the other processes do not join, or are lost later.
        DeviceError: this machine has fewer GPUs than processes.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1
    if world_size == 1:
        yield Processes(0, 1, device)
        return
    cuda = torch.device(device).type == "cuda"
    if cuda:
        device = str(torch_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}"))
        torch.cuda.set_device(device)
    processes = Processes(int(os.environ["RANK"]), world_size, device)
    with processes.errors_named(), _ended_by_signals(processes):
        joined_here = not dist.is_initialized()
        if joined_here:
            dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=TIMEOUT)
        yield processes
        if joined_here:
            dist.destroy_process_group()


@contextmanager
def _ended_by_signals(processes: Processes) -> Iterator[None]:
    handler = signal.default_int_handler if processes.main else signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number in ENDS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def _out_of_reach(_: int) -> None:
    """Keep signals to the trainer's process group from a loader's process; the trainer ends its loader itself."""
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
