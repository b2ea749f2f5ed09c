"""The log of road probabilities from which an interrupted run resumes."""

import json
import struct
import sys
from binascii import crc32
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fcn_road_seg.bags.settings import differences

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_RECORD = struct.Struct("<IIIqIII")  # CRC of the rest of the record, topic, frame, time, height, width, size


class ProbabilityLog:
    """A file of road probabilities to which each frame is appended once computed; a context manager.

    The first line states as JSON what they were computed from. An incomplete record, and everything after it, is
    dropped. The file is deleted if the block ends without an exception or if it is empty.

    Args:
        path: of the file.
        source: everything that the probabilities depend on.
        resume: keep the records of a file with the same source; otherwise start with an empty file.

    Attributes:
        found: number of frames in the file at the start.
        other: what differs in the source of a file that is not resumed, by name.
    """

    def __init__(self, path: Path, source: dict[str, Any], resume: bool):
        self.path = path
        self._places: dict[tuple[int, int, int], tuple[int, int, int, int]] = {}
        head = (json.dumps(source, sort_keys=True) + "\n").encode()
        end = 0
        self.other: list[str] = []
        if resume and path.is_file():
            with path.open("rb") as file:
                line = file.readline()
                if line == head:
                    end = self._index(file)
                else:
                    self.other = differences(_source(line), source)
        self.found = len(self._places)
        self._empty = not self._places
        self._file = path.open("r+b" if end else "w+b")
        if end:
            self._file.truncate(end)
        else:
            self._file.write(head)

    def _index(self, file: BinaryIO) -> int:
        """Find the records after the first line; returns the end of the last valid one."""
        end = file.tell()
        while len(record := file.read(_RECORD.size)) == _RECORD.size:
            crc, topic, frame, time, height, width, size = _RECORD.unpack(record)
            data = file.read(size)
            if crc32(record[4:] + data) != crc:
                break
            self._places[topic, frame, time] = end + _RECORD.size, size, height, width
            end = file.tell()
        return end

    def get(self, topic: int, frame: int, time: int) -> np.ndarray | None:
        """P(road) x 255, uint8 H x W, of a topic's frame, both numbered from 0; None if it is not in the file."""
        if (topic, frame, time) not in self._places:
            return None
        at, size, height, width = self._places[topic, frame, time]
        self._file.seek(at)
        return np.frombuffer(zstd.decompress(self._file.read(size)), np.uint8).reshape(height, width)

    def put(self, topic: int, frame: int, time: int, probability: np.ndarray) -> None:
        """Append a frame's P(road) x 255, uint8 H x W."""
        data = zstd.compress(np.ascontiguousarray(probability).data.cast("B"), 1)
        record = _RECORD.pack(0, topic, frame, time, *probability.shape, len(data))[4:] + data
        self._file.seek(0, 2)
        self._file.write(struct.pack("<I", crc32(record)) + record)
        self._file.flush()
        self._empty = False

    def __enter__(self) -> "ProbabilityLog":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None or self._empty:
            self.path.unlink()


def _source(line: bytes) -> dict[str, Any]:
    """The source of a file from its first line; empty if it is damaged."""
    try:
        return dict(json.loads(line))
    except (TypeError, ValueError):
        return {}
