"""The processes that train together, as torchrun starts them: one per GPU, or several on CPUs, on one machine or more.

Each has the whole network and takes its part of every global batch (`mixture.MicroBatches`), and all make the same step
(Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020). Rank 0 alone
validates, logs and writes.
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

TIMEOUT = timedelta(minutes=30)  # longer than reading all frames once and than validating, which the others wait for

ENDS = signal.SIGINT, signal.SIGTERM


class ProcessLostError(UserError):
    """Another process of the training ended, hangs or cannot be reached."""


@dataclass(frozen=True)
class Processes:
    """This process and how many there are; one that trains alone is rank 0 of 1.

    Attributes:
        rank: 0 .. world_size - 1, over all machines.
        device: of this process, such as cpu or cuda:3.
    """

    rank: int
    world_size: int
    device: str

    @property
    def main(self) -> bool:
        """Whether it is the one that validates, logs and writes."""
        return self.rank == 0

    def data_parallel(self, model: nn.Module, unused_parameters: bool) -> nn.Module:
        """The model with rank 0's weights, whose gradients are the mean over all processes after `backward`.

        Args:
            unused_parameters: whether some batches leave parameters out.
        """
        if self.world_size == 1:
            return model
        return DistributedDataParallel(model, find_unused_parameters=unused_parameters)

    def accumulating(self, model: nn.Module, more: bool) -> AbstractContextManager:
        """Where `more` micro-batches of the step follow, gradients stay in this process."""
        return model.no_sync() if more and self.world_size > 1 else nullcontext()

    def start(self, loader: DataLoader) -> Iterator:
        """`iter(loader)`; a signal waits until the loader's processes are there, and does not reach them."""
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
            for number in caught:
                signal.raise_signal(number)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The tensor (on the CPU), summed over all processes."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def from_main(self, value: Any) -> Any:
        """What rank 0 passes; the others wait for it."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def check_same(self, facts: dict[str, Any]) -> None:
        """Compare facts, by name, with the other processes'.

        Raises:
            UserError: one process has another value than rank 0; the message has its rank and the fact's name.
        """
        if self.world_size == 1:
            return
        everyones: list[Any] = [None] * self.world_size
        dist.all_gather_object(everyones, facts)
        for rank, theirs in enumerate(everyones):
            for name in facts:
                if theirs[name] != everyones[0][name]:
                    raise UserError(f"process {rank} of this training has another {name} than process 0")

    @contextmanager
    def errors_named(self) -> Iterator[None]:
        """In this block an exchange that fails is a ProcessLostError."""
        try:
            yield
        except RuntimeError as error:
            if self.world_size == 1 or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise
            why = re.sub(r"^\[.*?\] ", "", first_line(error)).partition(". ")[0]  # without the line of gloo's source
            raise ProcessLostError(f"process {self.rank} lost another process of this training ({why})") from None


@contextmanager
def join(device: str) -> Iterator[Processes]:
    """Meet the other processes that torchrun started (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT).

    Without torchrun, or as its only process, nothing happens. On GPUs each process takes the one with its LOCAL_RANK.
    Ctrl-C and SIGTERM, which torchrun sends when a process failed, are a KeyboardInterrupt on rank 0 and end the
    others at once.

    Args:
        device: cpu or cuda.

    Raises:
        ProcessLostError: the others do not come, or are lost later.
        DeviceError: there are fewer GPUs than processes on this machine.
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
    """Of a loader's process: signals for all processes of a trainer are for the trainer, which ends its loader."""
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
