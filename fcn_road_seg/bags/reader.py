"""Reads bags of ROS 2 and ROS 1 without ROS, using rosbags; a truncated bag is read as far as possible."""

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
from fcn_road_seg.frames.files import read_text, visible

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

STORAGE = ".mcap", ".db3", ".mcap.zstd", ".db3.zstd"
"""Suffixes of rosbag2's data files."""
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC: dict[bytes, type[McapRecords] | type[SqliteRows] | type[Ros1Records]] = {
    b"\x89MCAP0\r\n": McapRecords,
    b"SQLite format 3\0": SqliteRows,
    b"#ROSBAG V2.0": Ros1Records,
}


class BagError(UserError):
    """A bag cannot be read or written; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class Connection:
    """A topic of a bag with its type and QoS; a topic with several recorded types or QoS has several connections."""

    topic: str
    msgtype: str
    """Such as "sensor_msgs/msg/Image", also for ROS 1."""
    offered_qos: list[Qos]
    """As recorded; empty for ROS 1."""
    message_count: int
    latching: bool = False
    """For latched ROS 1 topics; for ROS 2, `offered_qos` has transient local."""
    serialization: str = "cdr"
    """Format of the messages' bytes; an MCAP may contain others than ROS 2's CDR, such as "json"."""
    definition: MessageDefinition = field(default=MessageDefinition(MessageDefinitionFormat.NONE, ""), repr=False)
    """The type's definition as recorded; empty for ROS 1, whose messages are converted to ROS 2's own types."""
    type_hash: str = field(default="", repr=False)
    """As recorded (REP 2011), or empty."""


class BagReader:
    """An open bag; a context manager.

    Attributes:
        path: of the bag.
        connections: the bag's connections in recorded order.
        typestore: rosbags' type store with the bag's types and ROS 2's standard ones.
        message_count: of all connections.
        start_ns, end_ns: recording time of the first and last message, ns since the epoch; 0 for an empty bag.
        duration: seconds from the first to the last message.
        cut_off: one sentence if the bag is truncated or damaged, else "". Complete after iterating.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.connections: list[Connection] = []
        self.cut_off = ""
        self._stack = ExitStack()
        self._sources: list[tuple[Any, dict[int, Connection]]] = []
        self._from_ros1: dict[str, Callable[[bytes], bytes]] = {}

    def __enter__(self) -> "BagReader":
        """Open the bag.

        Raises:
            BagError: there is no readable bag at that path.
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
        """Connection, recording time (ns since the epoch) and CDR bytes of every message, ordered by time.

        A file that is truncated or has no index is read in the order of recording. Damage ends the iteration of that
        file and is reported in `cut_off`, not raised.

        Args:
            topics: only these; None for all.
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
                except Exception as fault:  # from rosbags, apsw or a decompressor: the file is damaged
                    self.cut_off = self.cut_off or _damaged(source.path, fault)
                    break
                connection = mapping[raw.id]
                if self._from_ros1:
                    try:
                        data = self._from_ros1[raw.msgtype](data)
                    except Exception as fault:  # rosbags raises various errors for invalid messages
                        what = f"left out messages on {connection.topic} that are not valid {raw.msgtype}"
                        self.cut_off = self.cut_off or f"{source.path}: {what}: {_reason(fault)}"
                        continue
                yield connection, time, data

    def deserialize(self, data: bytes, msgtype: str) -> Any:
        """Deserialize CDR bytes into an object with the message's fields; numeric arrays are NumPy arrays.

        Raises:
            BagError: the bytes are not a valid message of the type, or the bag does not define the type.
        """
        if msgtype not in self.typestore.fielddefs:
            raise BagError(f"{self.path} does not define the type {msgtype}")
        try:
            return self.typestore.deserialize_cdr(data, msgtype)
        except (SerdeError, AssertionError, IndexError, MemoryError, OverflowError) as fault:
            raise BagError(f"{len(data)} bytes are not a valid {msgtype}: {_reason(fault)}") from None

    def _files(self) -> list[Path]:
        """The bag's data files, in order."""
        if not self.path.exists():
            raise BagError(f"there is no bag {self.path}")
        if self.path.is_file():
            return [self.path]
        files = [f for f in visible(self.path) if f.name.lower().endswith(STORAGE)]
        files.sort(key=lambda file: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)])
        metadata = self.path / "metadata.yaml"
        if metadata.is_file():
            try:
                names = yaml.safe_load(read_text(metadata))["rosbag2_bagfile_information"]["relative_file_paths"]
                named = [self.path / Path(name).name for name in names]
            except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError):
                self.cut_off = f"{metadata} cannot be read: the recorder was interrupted"
            else:
                files = [file for file in named if file.is_file()]
                if lost := [file.name for file in named if not file.is_file()]:
                    self.cut_off = f"{self.path} lacks {', '.join(lost)}"
        elif any(file.name.lower().endswith((".db3", ".zstd")) for file in files):
            self.cut_off = f"{self.path} has no metadata.yaml: the recorder was interrupted"
        if not files:
            raise BagError(f"the folder {self.path} is not a bag: it has no .mcap or .db3 file")
        return files

    def _open(self, file: Path, stack: ExitStack) -> Any:
        """A reader of one data file: one of rosbags if the file is intact, else one of `cut_off`."""
        if file.exists() and not file.is_file():
            raise BagError(f"{file} is a folder, a pipe or a device, not a file")
        with file.open("rb") as stream:
            magic = stream.read(16)
        if magic.startswith(_ZSTD):  # compression_mode: file
            inner = Path(stack.enter_context(TemporaryDirectory(prefix="road_seg_bag_"))) / file.stem
            try:
                with zstd.open(file) as packed, inner.open("wb") as unpacked:
                    shutil.copyfileobj(packed, unpacked)
            except (EOFError, zstd.ZstdError) as fault:
                self.cut_off = _damaged(file, fault)
            return self._open(inner, stack)
        kind = next((kind for start, kind in _MAGIC.items() if magic.startswith(start)), None)
        if kind is None:
            raise BagError(f"{file} is not a bag: it is neither MCAP, nor SQLite, nor a ROS 1 bag")
        if not (kind is SqliteRows and SqliteRows.has_journal(file)):
            try:
                reader: Any = Ros1Reader if kind is Ros1Records else Ros2Reader
                source = stack.enter_context(reader(file))
                if kind is not McapRecords or source.storage.chunks or not source.message_count:
                    return source
                # Without chunks, rosbags skips messages that are not in the order of time.
            except OSError:
                raise
            except Exception:  # rosbags raises various errors at the end of a truncated file
                pass
        try:
            truncated = stack.enter_context(kind(file))
        except ValueError as fault:
            raise BagError(f"{file} cannot be read: {_reason(fault)}") from None
        self.cut_off = self.cut_off or truncated.cut_off
        return truncated


def open_bag(path: str | Path) -> BagReader:
    """Open a bag in a `with` statement: a rosbag2 folder, a single .mcap or .db3 file, or a ROS 1 .bag file."""
    return BagReader(path)


def _merged(sources: list[Any]) -> list[tuple[Any, dict[int, Connection]]]:
    """Each file's reader with its connections by id; the files of a bag share connections."""
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
    """Identifies a connection; merges ROS 1's connections per publisher into one, as in ROS 2."""
    kind = bool(raw.ext.latching) if isinstance(raw.ext, ConnectionExtRosbag1) else raw.ext
    return f"{raw.topic} {raw.msgtype} {kind}"


def _damaged(file: Path, fault: Exception) -> str:
    return f"{file} is damaged and was read up to the damage: {_reason(fault)}"


def _reason(fault: Exception) -> str:
    return " ".join(str(fault).split()).rstrip(".") or type(fault).__name__
