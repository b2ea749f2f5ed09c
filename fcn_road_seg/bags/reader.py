"""Reading bags of ROS 2 and ROS 1 without ROS, through rosbags; a bag that was cut off is read as far as it goes."""

import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from rosbags.interfaces import ConnectionExtRosbag1, MessageDefinition, MessageDefinitionFormat, Qos
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.serde import SerdeError

from fcn_road_seg.bags.cut_off import McapRecords, Ros1Records, SqliteRows
from fcn_road_seg.bags.types import bag_types, ros1_converters, ros2_name, typestore
from fcn_road_seg.errors import UserError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORAGE = ".mcap", ".db3", ".mcap.zstd", ".db3.zstd"
"""How the names of rosbag2's data files end."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC = {b"\x89MCAP0\r\n": McapRecords, b"SQLite format 3\0": SqliteRows, b"#ROSBAG V2.0": Ros1Records}


class BagError(UserError):
    """A bag that cannot be read or written; one sentence."""


@dataclass(frozen=True, eq=False)
class Connection:
    """A topic of a bag with its type and QoS; one topic has several if several types or QoS were recorded."""

    topic: str
    msgtype: str
    """Such as "sensor_msgs/msg/Image", also for ROS 1."""
    offered_qos: list[Qos]
    """As recorded; empty for ROS 1."""
    message_count: int
    latching: bool = False
    """ROS 1's latched topics; ROS 2 says transient local in `offered_qos`."""
    serialization: str = "cdr"
    """Of the messages' bytes; an MCAP may hold others beside ROS 2's CDR, such as "json"."""
    definition: MessageDefinition = field(default=MessageDefinition(MessageDefinitionFormat.NONE, ""), repr=False)
    """The type's definition as recorded; none for ROS 1, whose messages come in ROS 2's own types."""
    type_hash: str = field(default="", repr=False)
    """As recorded (REP 2011), or empty."""


class BagReader:
    """A bag, open; a context manager.

    Attributes:
        path: of the bag.
        connections: the bag's connections, in the order in which they were recorded.
        typestore: rosbags' type store with the bag's types and ROS 2's standard ones.
        message_count: of all connections.
        start_ns, end_ns: recording time of the first and of the last message, ns since the epoch; 0 if there is none.
        duration: seconds from the first to the last message.
        cut_off: one sentence if the bag ends in the middle or is damaged, else "". Complete after iterating.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.connections: list[Connection] = []
        self.cut_off = ""
        self._stack = ExitStack()
        self._sources: list[tuple[Any, dict[int, Connection]]] = []
        self._from_ros1: dict[str, Callable[[bytes], bytes]] = {}

    def __enter__(self) -> "BagReader":
        """Open it.

        Raises:
            BagError: there is no bag of that name.
        """
        with ExitStack() as stack:
            sources = [self._open(file, stack) for file in self._files()]
            raw = [connection for source in sources for connection in source.connections]
            ros1 = any(isinstance(connection.ext, ConnectionExtRosbag1) for connection in raw)
            own_types = bag_types(raw)
            self.typestore = typestore(own_types, ros1)
            if ros1:
                self._from_ros1 = ros1_converters({c.msgtype for c in raw}, own_types, self.typestore)
            self._sources = _merged(sources)
            self.connections = list(dict.fromkeys(c for _, mapping in self._sources for c in mapping.values()))
            filled = [source for source in sources if source.message_count]
            self.message_count = sum(source.message_count for source in filled)
            self.start_ns = min((source.start_time for source in filled), default=0)
            self.end_ns = max((source.end_time - 1 for source in filled), default=0)
            self.duration = (self.end_ns - self.start_ns) / 1e9
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def messages(
        self, topics: Collection[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, recording time (ns since the epoch) and CDR bytes of every message, in the order of time.

        A file that was cut off, or has lost its index, is read in the order of recording. Damage in the middle ends
        the iteration of that file and is told by `cut_off`, not raised.

        Args:
            topics: only these; None means all.
            start: only from this time on, ns since the epoch.
            stop: only before this time, ns since the epoch.
        """
        for source, mapping in self._sources:
            wanted = [c for c in source.connections if topics is None or mapping[c.id].topic in topics]
            if not wanted:
                continue
            messages = source.messages(wanted, start, stop)
            while True:
                try:
                    raw, time, data = next(messages)
                    data = zstd.decompress(data) if data[:4] == _ZSTD else data  # compression_mode: message
                except StopIteration:
                    break
                except OSError:
                    raise
                except Exception as fault:  # rosbags', apsw's, a decompressor's: all mean that the file is damaged
                    self.cut_off = self.cut_off or f"{source.path} is damaged and was read up to there: {_words(fault)}"
                    break
                connection = mapping[raw.id]
                if self._from_ros1:
                    try:
                        data = bytes(self._from_ros1[raw.msgtype](data))
                    except Exception as fault:  # rosbags raises all sorts on bytes that are no such message
                        what = f"messages on {connection.topic} that are no {raw.msgtype} are left out"
                        self.cut_off = self.cut_off or f"{source.path}: {what}: {_words(fault)}"
                        continue
                yield connection, time, data

    def deserialize(self, data: bytes, msgtype: str) -> Any:
        """The message in CDR bytes, an object with the message's fields; arrays of numbers are NumPy's.

        Raises:
            BagError: the bytes are no such message, or the bag does not define the type.
        """
        if msgtype not in self.typestore.fielddefs:
            raise BagError(f"{self.path} does not define the type {msgtype}")
        try:
            return self.typestore.deserialize_cdr(data, msgtype)
        except (SerdeError, AssertionError, IndexError, MemoryError, OverflowError) as fault:
            raise BagError(f"{len(data)} bytes are no {msgtype}: {_words(fault)}") from None

    def _files(self) -> list[Path]:
        """The bag's data files, in order."""
        if not self.path.exists():
            raise BagError(f"there is no bag {self.path}")
        if self.path.is_file():
            return [self.path]
        files = [f for f in self.path.iterdir() if f.name.endswith(STORAGE)]
        files.sort(key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)])
        metadata = self.path / "metadata.yaml"
        if metadata.is_file():
            try:
                names = yaml.safe_load(metadata.read_text())["rosbag2_bagfile_information"]["relative_file_paths"]
                named = [self.path / Path(name).name for name in names]
            except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
                self.cut_off = f"{metadata} cannot be read: the recorder was stopped before it finished"
            else:
                files = [file for file in named if file.is_file()]
                if lost := [file.name for file in named if not file.is_file()]:
                    self.cut_off = f"{self.path} has lost {', '.join(lost)}"
        elif any(file.name.endswith((".db3", ".zstd")) for file in files):
            self.cut_off = f"{self.path} has no metadata.yaml: the recorder was stopped before it finished"
        if not files:
            raise BagError(f"the folder {self.path} is no bag: it has no .mcap or .db3 file")
        return files

    def _open(self, file: Path, stack: ExitStack) -> Any:
        """A reader of one data file: rosbags' if the file is whole, else ours."""
        with file.open("rb") as stream:
            magic = stream.read(16)
        if magic.startswith(_ZSTD):  # compression_mode: file
            whole = Path(stack.enter_context(TemporaryDirectory(prefix="road_seg_bag_"))) / file.stem
            try:
                with zstd.open(file) as packed, whole.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
            except (EOFError, zstd.ZstdError) as fault:
                self.cut_off = f"{file} is damaged and was read up to there: {_words(fault)}"
            return self._open(whole, stack)
        kind = next((kind for start, kind in _MAGIC.items() if magic.startswith(start)), None)
        if kind is None:
            raise BagError(f"{file} is no bag: it is neither MCAP, nor SQLite, nor a ROS 1 bag")
        if not (kind is SqliteRows and SqliteRows.has_journal(file)):
            try:
                source = stack.enter_context((Ros1Reader if kind is Ros1Records else Ros2Reader)(file))
                if kind is not McapRecords or source.storage.chunks or not source.message_count:
                    return source
                # Without chunks rosbags reads only what lies in the order of time.
            except OSError:
                raise
            except Exception:  # rosbags raises all sorts at the end of a file that was cut off
                pass
        try:
            source = stack.enter_context(kind(file))
        except ValueError as fault:
            raise BagError(f"{file} is no bag that can be read: {_words(fault)}") from None
        self.cut_off = self.cut_off or source.cut_off
        return source


def open_bag(path: str | Path) -> BagReader:
    """A bag for a `with` statement: rosbag2's folder, a bare .mcap or .db3 file, or a ROS 1 .bag file."""
    return BagReader(path)


def _merged(sources: list[Any]) -> list[tuple[Any, dict[int, Connection]]]:
    """Every file's reader with the connections that its ids stand for; files of one bag share connections."""
    groups: dict[str, list[Any]] = {}
    for source in sources:
        for raw in source.connections:
            groups.setdefault(_key(raw), []).append(raw)
    connections = {}
    for key, raws in groups.items():
        first, ros1 = raws[0], isinstance(raws[0].ext, ConnectionExtRosbag1)
        connections[key] = Connection(
            topic=first.topic,
            msgtype=ros2_name(first.msgtype) if ros1 else first.msgtype,
            offered_qos=[] if ros1 else list(first.ext.offered_qos_profiles),
            message_count=sum(raw.msgcount for raw in raws),
            latching=bool(ros1 and first.ext.latching),
            serialization="cdr" if ros1 else first.ext.serialization_format or "cdr",
            **({} if ros1 else {"definition": first.msgdef, "type_hash": first.digest}),
        )
    return [(source, {raw.id: connections[_key(raw)] for raw in source.connections}) for source in sources]


def _key(raw: Any) -> str:
    """ROS 1 has a connection for each publisher; here they are one, as in ROS 2."""
    kind = bool(raw.ext.latching) if isinstance(raw.ext, ConnectionExtRosbag1) else raw.ext
    return f"{raw.topic} {raw.msgtype} {kind}"


def _words(fault: Exception) -> str:
    return " ".join(str(fault).split()).rstrip(".") or type(fault).__name__
