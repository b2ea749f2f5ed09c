"""Reader for truncated and damaged MCAP files."""

import os
import struct
from binascii import crc32
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2.metadata import parse_qos

from fcn_road_seg.bags.cut_off import FORMATS, MAX_RECORD, CutOffFile, unpack, unpacked


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
            start, _, crc = unpack("<QQI", stream)
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
                    at, name, encoding = *unpack("<H", fields), _string(fields), _string(fields)
                    form = FORMATS.get(encoding, MessageDefinitionFormat.NONE)
                    text = _string(fields) if encoding in FORMATS else ""  # other encodings may be binary
                    schemas[at] = name, MessageDefinition(form, text)
                elif op == 0x04 and not in_summary:
                    at, schema = unpack("<HH", fields)
                    self._add(at, schema, fields, schemas)
                elif op == 0x05:
                    at, _, time, _ = unpack("<HIQQ", fields)
                    yield at, time, fields.read()
                elif op == 0x07:  # the index of a channel's messages in the chunk before
                    at, length = unpack("<HI", fields)
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
        _, _, size, crc = unpack("<QQQI", fields)
        compression = _string(fields)
        try:
            content = unpacked(compression, fields.read(*unpack("<Q", fields)))
        except EOFError:
            content = b""
        if whole and (len(content) != size or (crc and crc32(content) != crc)):
            self._skip_part()
        else:
            yield from self._records(BytesIO(content), schemas)

    def _add(self, at: int, schema: int, fields: BinaryIO, schemas: dict[int, tuple[str, MessageDefinition]]) -> None:
        topic, encoding = _string(fields), _string(fields)
        (end,) = unpack("<I", fields)
        end += fields.tell()
        metadata = {}
        while fields.tell() < end:
            key = _string(fields)
            metadata[key] = _string(fields)
        msgtype, definition = schemas[schema] if schema else ("", MessageDefinition(MessageDefinitionFormat.NONE, ""))
        extension = ConnectionExtRosbag2(encoding, parse_qos(metadata.get("offered_qos_profiles", "")))
        self._found.setdefault(at, Connection(at, topic, msgtype, definition, "", 0, extension, self))


def _string(stream: BinaryIO) -> str:
    """A UTF-8 string with a length prefix of 4 bytes."""
    (size,) = unpack("<I", stream)
    return stream.read(size).decode()
