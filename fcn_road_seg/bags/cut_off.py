"""What readers of truncated and damaged bag files share. rosbags refuses such files; these read all that can be read.

Each class, in `cut_off_mcap`, `cut_off_ros1` and `cut_off_sqlite`, has the interface of rosbags' readers: `path`,
`connections`, `message_count`, `start_time`, `end_time` (one past the last message), `messages()`; also `cut_off`, one
sentence, or "" if the file turns out to be complete, and `lost_parts`, the number of damaged chunks and rows, which are
skipped. Counts of messages include those that the file's own indexes promise.
"""

import bz2
import struct
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from lz4.frame import LZ4FrameDecompressor
from rosbags.interfaces import Connection, MessageDefinitionFormat

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

MAX_RECORD = 2**30
"""Bytes; a longer record counts as damage."""
FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
_DECOMPRESSORS = {"lz4": LZ4FrameDecompressor, "bz2": bz2.BZ2Decompressor, "zstd": ZstdDecompressor}


class CutOffFile(ABC):
    """Scans the file once for its properties, and once for each call of `messages`."""

    def __init__(self, path: Path):
        self.path = path
        self.cut_off = ""
        self.lost_parts = 0
        self._promised: Counter[int] = Counter()
        self._found: dict[int, Connection] = {}

    def __enter__(self) -> "CutOffFile":
        """Scan the file.

        Raises:
            ValueError: it contains nothing readable.
        """
        counts: Counter[int] = Counter()
        self.start_time, self.end_time = 2**63 - 1, 0
        for at, time, _ in self._scan():
            counts[at] += 1
            self.start_time, self.end_time = min(self.start_time, time), max(self.end_time, time + 1)
        if not self._found:
            raise ValueError("it ends before its first message")
        counts |= self._promised
        self.message_count = counts.total()
        self.connections = [c._replace(msgcount=counts[c.id]) for c in self._found.values()]
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027 (most kinds have nothing to close)
        """Close files; by default none stays open."""

    def messages(
        self, connections: Collection[Connection], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, time (ns) and bytes of the messages, in the order of recording."""
        wanted = {connection.id: connection for connection in connections}
        self.lost_parts = 0
        for at, time, data in self._scan():
            if at in wanted and (start is None or time >= start) and (stop is None or time < stop):
                yield wanted[at], time, data

    @abstractmethod
    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        """Connection id, time and bytes of every message; also fills all attributes but the counts and times."""

    def _stop(self, what: str = "ends in the middle of a record") -> None:
        self.cut_off = f"{self.path} {what}: the recorder was interrupted, or the file is damaged"

    def _skip_part(self) -> None:
        self.lost_parts += 1
        self.cut_off = f"{self.path} is damaged"


def unpack(form: str, stream: BinaryIO) -> tuple[int, ...]:
    """The next values of a stream in a format of `struct`, which raises struct.error if the stream ends before."""
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def unpacked(compression: str, data: bytes) -> bytes:
    """Decompress as much as possible of data whose end may be missing."""
    if compression in ("", "none"):
        return data
    try:
        return _DECOMPRESSORS[compression]().decompress(data)
    except (ZstdError, RuntimeError, OSError) as fault:  # from zstd, lz4, bz2
        raise EOFError(str(fault)) from None
