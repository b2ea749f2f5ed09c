"""Readers for truncated and damaged bag files, which rosbags refuses; they read all that can be read.

Each class has the interface of rosbags' readers: `path`, `connections`, `message_count`, `start_time`, `end_time` (one
past the last message), `messages()`; also `cut_off`, one sentence, or "" if the file turns out to be complete, and
`lost_parts`, the number of damaged chunks and rows, which are skipped. Counts of messages include those that the file's
own indexes promise.
"""

import bz2
import os
import shutil
import sqlite3
import struct
import sys
from abc import ABC, abstractmethod
from binascii import crc32
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from lz4.frame import LZ4FrameDecompressor
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag1,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
)
from rosbags.rosbag2.metadata import parse_qos
from rosbags.typesys.msg import normalize_msgtype

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

MAX_RECORD = 2**30
"""Bytes; a longer record counts as damage."""
_FORMATS = {"ros2msg": MessageDefinitionFormat.MSG, "ros2idl": MessageDefinitionFormat.IDL}
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


class McapRecords(CutOffFile):
    """MCAP (https://mcap.dev/spec) in the order of its records, without its summary and index."""

    @staticmethod
    def has_sound_index(reader: Any) -> bool:
        """Whether rosbags, which follows the index of an open MCAP, finds every message that the file counts.

        Without chunks, rosbags skips messages that are not in the order of time.
        """
        mcap = reader.storage
        indexed: Counter[int] = Counter()
        for chunk in mcap.chunks:
            indexed.update(chunk.channel_count)
        counted = mcap.statistics.channel_message_counts or indexed
        if indexed.total() != mcap.statistics.message_count or indexed != Counter(counted):
            return False
        with reader.path.open("rb") as stream:
            stream.seek(-28, os.SEEK_END)  # the end of the footer
            start, _, crc = _unpack("<QQI", stream)
            stream.seek(start)
            return not crc or crc32(stream.read()[:-12]) == crc

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        self._promised.clear()
        with self.path.open("rb") as stream:
            stream.seek(8)  # the magic
            yield from self._records(stream)

    def _records(
        self, stream: BinaryIO, schemas: dict[int, tuple[str, MessageDefinition]] | None = None
    ) -> Iterator[tuple[int, int, bytes]]:
        in_chunk, schemas = schemas is not None, {} if schemas is None else schemas
        in_summary = False
        while head := stream.read(9):
            op, size = struct.unpack("<BQ", head) if len(head) == 9 else (0, 0)
            data = stream.read(min(size, MAX_RECORD))
            fields = BytesIO(data)
            try:
                if op == 0x06:
                    yield from self._chunk(fields, len(data) == size, schemas)
                if op == 0 or len(data) < size:
                    return self._stop()
                if op == 0x01 and (profile := _string(fields)) not in ("ros2", ""):
                    raise ValueError(f"it is an MCAP of {profile}, not of ROS 2")
                if op == 0x03 and not in_summary:
                    at, name, encoding = *_unpack("<H", fields), _string(fields), _string(fields)
                    form = _FORMATS.get(encoding, MessageDefinitionFormat.NONE)
                    text = _string(fields) if encoding in _FORMATS else ""  # other encodings may be binary
                    schemas[at] = name, MessageDefinition(form, text)
                elif op == 0x04 and not in_summary:
                    at, schema = _unpack("<HH", fields)
                    self._add(at, schema, fields, schemas)
                elif op == 0x05:
                    at, _, time, _ = _unpack("<HIQQ", fields)
                    yield at, time, fields.read()
                elif op == 0x07:  # the index of a channel's messages in the chunk before
                    at, length = _unpack("<HI", fields)
                    if length == size - 6:
                        self._promised[at] += length // 16
                elif op == 0x0F:
                    in_summary = True
                elif op == 0x02:  # the footer: the file is complete
                    return None
            except (struct.error, UnicodeDecodeError, KeyError, EOFError):
                return self._stop("is damaged")
        return None if in_chunk else self._stop()

    def _chunk(
        self, fields: BinaryIO, whole: bool, schemas: dict[int, tuple[str, MessageDefinition]]
    ) -> Iterator[tuple[int, int, bytes]]:
        """The messages of a chunk, also of the beginning of one; none if a whole chunk is damaged."""
        _, _, size, crc = _unpack("<QQQI", fields)
        compression = _string(fields)
        try:
            content = _unpacked(compression, fields.read(*_unpack("<Q", fields)))
        except EOFError:
            content = b""
        if whole and (len(content) != size or (crc and crc32(content) != crc)):
            self._skip_part()
        else:
            yield from self._records(BytesIO(content), schemas)

    def _add(self, at: int, schema: int, fields: BinaryIO, schemas: dict[int, tuple[str, MessageDefinition]]) -> None:
        topic, encoding = _string(fields), _string(fields)
        (end,) = _unpack("<I", fields)
        end += fields.tell()
        metadata = {}
        while fields.tell() < end:
            key = _string(fields)
            metadata[key] = _string(fields)
        msgtype, definition = schemas[schema] if schema else ("", MessageDefinition(MessageDefinitionFormat.NONE, ""))
        extension = ConnectionExtRosbag2(encoding, parse_qos(metadata.get("offered_qos_profiles", "")))
        self._found.setdefault(at, Connection(at, topic, msgtype, definition, "", 0, extension, self))


class Ros1Records(CutOffFile):
    """A ROS 1 bag, version 2.0 (http://wiki.ros.org/Bags/Format/2.0), in the order of its records."""

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        self._promised.clear()
        with self.path.open("rb") as stream:
            stream.readline()
            yield from self._records(stream)

    def _records(self, stream: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
        while head := stream.read(4):
            try:
                header = _ros1_fields(stream.read(min(*struct.unpack("<I", head), MAX_RECORD)))
                (size,) = _unpack("<I", stream)
                data = stream.read(min(size, MAX_RECORD))
                op = header["op"][0]
                if op == 5:
                    yield from self._chunk(header, data, len(data) == size)
                if len(data) < size:
                    return self._stop()
                if op == 7:
                    self._add(struct.unpack("<I", header["conn"])[0], header["topic"].decode(), _ros1_fields(data))
                elif op == 4:  # the index of a connection's messages in the chunk before
                    self._promised[struct.unpack("<I", header["conn"])[0]] += struct.unpack("<I", header["count"])[0]
                elif op == 2:
                    seconds, nanoseconds = struct.unpack("<II", header["time"])
                    yield struct.unpack("<I", header["conn"])[0], seconds * 10**9 + nanoseconds, data
            except (struct.error, ValueError, KeyError, IndexError, EOFError):
                return self._stop()
        if stream.seekable() and not isinstance(stream, BytesIO):
            self._stop("has no index")
        return None

    def _chunk(self, header: dict[str, bytes], data: bytes, whole: bool) -> Iterator[tuple[int, int, bytes]]:
        """The messages of a chunk, also of the beginning of one; none if a whole chunk is damaged."""
        try:
            content = _unpacked(header["compression"].decode(), data)
        except EOFError:
            content = b""
        if whole and len(content) != struct.unpack("<I", header["size"])[0]:
            self._skip_part()
        else:
            yield from self._records(BytesIO(content))

    def _add(self, at: int, topic: str, fields: dict[str, bytes]) -> None:
        extension = ConnectionExtRosbag1(None, int(fields.get("latching") == b"1"))
        definition = MessageDefinition(MessageDefinitionFormat.MSG, fields["message_definition"].decode())
        msgtype = normalize_msgtype(fields["type"].decode())
        self._found.setdefault(at, Connection(at, topic, msgtype, definition, "", 0, extension, self))


class SqliteRows(CutOffFile):
    """A rosbag2 SQLite file with a journal or missing pages, read in the order of its rows, without an index."""

    @staticmethod
    def has_journal(path: Path) -> bool:
        """Whether the recorder was interrupted during a transaction."""
        return any(journal.is_file() and journal.stat().st_size for journal in SqliteRows._journals(path))

    @staticmethod
    def _journals(path: Path) -> list[Path]:
        return [path.with_name(path.name + end) for end in ("-wal", "-journal")]

    def __enter__(self) -> "SqliteRows":
        self._folder: TemporaryDirectory[str] | None = None
        self._file = self.path
        journals = [file for file in self._journals(self.path) if file.is_file()]
        size, page = self.path.stat().st_size, self._page_size()
        if size % page or self.has_journal(self.path):
            # SQLite takes an incomplete page for a complete one, and modifies the file during recovery.
            self._folder = TemporaryDirectory(prefix="road_seg_bag_")
            self._file = Path(self._folder.name) / self.path.name
            shutil.copyfile(self.path, self._file)
            os.truncate(self._file, size - size % page)
            for file in journals:
                shutil.copyfile(file, self._file.with_name(file.name))
            self._stop("has a journal" if journals else "ends in the middle of a page")
        super().__enter__()
        return self

    def _page_size(self) -> int:
        with self.path.open("rb") as file:
            size = int.from_bytes(file.read(18)[16:], "big")
        return {0: 512, 1: 65536}.get(size, size)

    def __exit__(self, *_: object) -> None:
        if self._folder:
            self._folder.cleanup()

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        mode = "mode=rw" if self._folder else "immutable=1"
        with closing(sqlite3.connect(f"{self._file.resolve().as_uri()}?{mode}", uri=True)) as database:
            database.row_factory = sqlite3.Row
            at, last = 0, -1
            try:
                database.execute("PRAGMA writable_schema=ON")  # lets SQLite open a file whose end is missing
                self._find(database)
                (last,) = database.execute("SELECT max(id) FROM messages").fetchone()
            except sqlite3.Error as fault:
                self._stop(f"cannot be read to its end ({fault})")
            while self._found:
                try:
                    for row in database.execute(
                        "SELECT id,topic_id,timestamp,data FROM messages WHERE id>? ORDER BY id", (at,)
                    ):
                        if row[0] <= at:
                            raise sqlite3.DatabaseError("its pages form a circle")
                        at, topic, time, data = row
                        if _is_message(topic, time, data):
                            yield topic, time, data
                        else:
                            self._skip_part()
                    return
                except sqlite3.Error as fault:
                    self._stop(f"cannot be read to its end ({fault})")
                at += 1  # the next row is on a damaged page, or its data are
                if at >= last:
                    return

    def _find(self, database: sqlite3.Connection) -> None:
        definitions: dict[str, Any] = {}
        if database.execute("SELECT 1 FROM sqlite_master WHERE name='message_definitions'").fetchone():
            definitions = {row["topic_type"]: row for row in database.execute("SELECT * FROM message_definitions")}
        for row in map(dict, database.execute("SELECT * FROM topics ORDER BY id")):
            definition = MessageDefinition(MessageDefinitionFormat.NONE, "")
            if (known := definitions.get(row["type"])) and known["encoding"] in _FORMATS:
                definition = MessageDefinition(_FORMATS[known["encoding"]], known["encoded_message_definition"])
            extension = ConnectionExtRosbag2(
                row["serialization_format"], parse_qos(row.get("offered_qos_profiles", ""))
            )
            digest = row.get("type_description_hash", "")
            self._found[row["id"]] = Connection(
                row["id"], row["name"], row["type"], definition, digest, 0, extension, self
            )


def _is_message(topic: object, time: object, data: object) -> bool:
    """Whether a row's values have their types: SQLite stores any, and finds NULL or text where a page is damaged."""
    return isinstance(topic, int) and isinstance(time, int) and isinstance(data, bytes)


def _unpack(form: str, stream: BinaryIO) -> tuple[int, ...]:
    return struct.unpack(form, stream.read(struct.calcsize(form)))


def _string(stream: BinaryIO) -> str:
    """A UTF-8 string with a length prefix of 4 bytes."""
    (size,) = _unpack("<I", stream)
    return stream.read(size).decode()


def _unpacked(compression: str, data: bytes) -> bytes:
    """Decompress as much as possible of data whose end may be missing."""
    if compression in ("", "none"):
        return data
    try:
        return _DECOMPRESSORS[compression]().decompress(data)
    except (ZstdError, RuntimeError, OSError) as fault:  # from zstd, lz4, bz2
        raise EOFError(str(fault)) from None


def _ros1_fields(header: bytes) -> dict[str, bytes]:
    """The name=value fields of a ROS 1 record's header."""
    fields, at = {}, 0
    while at < len(header):
        (size,) = struct.unpack_from("<I", header, at)
        name, _, value = header[at + 4 : at + 4 + size].partition(b"=")
        fields[name.decode()] = value
        at += 4 + size
    return fields
