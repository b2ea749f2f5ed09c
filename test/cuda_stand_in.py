"""torch.cuda without a GPU: a graph that records operations during capture and replays them on the same memory."""

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Recorder(TorchDispatchMode):
    active = None

    def __init__(self):
        super().__init__()
        self.operations = []

    def __enter__(self):
        Recorder.active = self
        return super().__enter__()

    def __exit__(self, *error):
        Recorder.active = None
        return super().__exit__(*error)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result


class Graph:
    """Replays by running the recorded operations again and writing each result over the first one."""

    def __init__(self):
        self.recorder = Recorder()

    def replay(self) -> None:
        assert not self.recorder.active
        for function, args, kwargs, result in self.recorder.operations:
            again = function(*args, **kwargs)
            if isinstance(result, torch.Tensor) and again.data_ptr() != result.data_ptr():
                result.copy_(again)


class Stream:
    cuda_stream = 7

    def __init__(self, device=None):
        self.waits = 0

    def synchronize(self) -> None:
        self.waits += 1


class Properties:
    name, major, minor, multi_processor_count = "stand-in", 9, 0, 132


class Event:
    """A clock that advances a millisecond per record; during a capture it becomes part of the graph."""

    now = 0.0

    def __init__(self, enable_timing=False, external=False):
        self.external = external

    def record(self, stream) -> None:
        if Recorder.active:
            assert self.external
            Recorder.active.operations.append((self._record, (), {}, None))
        else:
            self._record()

    def _record(self) -> None:
        Event.now += 1.0
        self.time = Event.now

    def elapsed_time(self, end) -> float:
        return end.time - self.time


def enqueue(call) -> None:
    """Run what a library put into a stream; during a capture it becomes part of the graph."""
    if Recorder.active:
        Recorder.active.operations.append((call, (), {}, None))
    else:
        call()


@contextlib.contextmanager
def capture(graph, stream, capture_error_mode):
    assert capture_error_mode == "thread_local"
    with graph.recorder:
        yield


def install(monkeypatch) -> None:
    """Put the stand-ins into torch.cuda for one test; the device stays the CPU."""
    for name, stand_in in {
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": capture,
        "stream": lambda stream: contextlib.nullcontext(),
        "device": lambda device: contextlib.nullcontext(),
        "current_stream": Stream,
        "get_device_name": lambda device: "stand-in",
        "get_device_properties": lambda device: Properties,
        "memory_reserved": lambda device: 0,
        "empty_cache": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
