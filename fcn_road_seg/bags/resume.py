"""What an interrupted run leaves behind, so that the next one need not compute it again."""

import json
import struct
import sys
from binascii import crc32
from pathlib import Path

import numpy as np

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_RECORD = struct.Struct("<IIIqIII")  # CRC of the rest, topic, frame, time, height, width, size


class ProbabilityLog:
    """Road probabilities of frames, in a file to which each is appended as soon as it is there; a context manager.

    The first line says what they were computed from, as JSON. A record that the end of the last run cut off, and all
    after it, is forgotten. When the block ends well, or nothing was put into the file, the file goes.

    Args:
        path: of the file.
        source: what the probabilities depend on.
        resume: keep what a file with the same source has; else begin anew.

    Attributes:
        found: number of frames that were kept.
    """

    def __init__(self, path: Path, source: dict, resume: bool):
        self.path = path
        self._places: dict[tuple[int, int, int], tuple[int, int, int, int]] = {}
        head = (json.dumps(source, sort_keys=True) + "\n").encode()
        end = 0
        if resume and path.is_file():
            with path.open("rb") as file:
                end = self._index(file) if file.readline() == head else 0
        self.found = len(self._places)
        self._empty = not self._places
        self._file = path.open("r+b" if end else "w+b")
        if end:
            self._file.truncate(end)
        else:
            self._file.write(head)

    def _index(self, file) -> int:
        """Find the records after the first line; the position after the last good one."""
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
        """P(road) x 255, uint8 H x W, of a topic's frame, both counted from 0; None if it is not there."""
        if (topic, frame, time) not in self._places:
            return None
        at, size, height, width = self._places[topic, frame, time]
        self._file.seek(at)
        return np.frombuffer(zstd.decompress(self._file.read(size)), np.uint8).reshape(height, width)

    def put(self, topic: int, frame: int, time: int, probability: np.ndarray) -> None:
        """Keep a frame's P(road) x 255, uint8 H x W."""
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
