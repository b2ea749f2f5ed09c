"""Reader for truncated, damaged and unindexed ROS 1 bags."""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from rosbags.interfaces import Connection, ConnectionExtRosbag1, MessageDefinition, MessageDefinitionFormat
from rosbags.typesys.msg import normalize_msgtype

from fcn_road_seg.bags.cut_off import MAX_RECORD, CutOffFile, unpack, unpacked


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
                header = _fields(stream.read(min(*struct.unpack("<I", head), MAX_RECORD)))
                (size,) = unpack("<I", stream)
                data = stream.read(min(size, MAX_RECORD))
                op = header["op"][0]
                if op == 5:
                    yield from self._chunk(header, data, len(data) == size)
                if len(data) < size:
                    return self._stop()
                if op == 7:
                    self._add(struct.unpack("<I", header["conn"])[0], header["topic"].decode(), _fields(data))
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
            content = unpacked(header["compression"].decode(), data)
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


def _fields(header: bytes) -> dict[str, bytes]:
    """The name=value fields of a ROS 1 record's header."""
    fields, at = {}, 0
    while at < len(header):
        (size,) = struct.unpack_from("<I", header, at)
        name, _, value = header[at + 4 : at + 4 + size].partition(b"=")
        fields[name.decode()] = value
        at += 4 + size
    return fields
