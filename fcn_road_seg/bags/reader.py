"""Reads bags of ROS 2 and ROS 1 without ROS, using rosbags; of a damaged bag, all that can be read."""

import re
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from rosbags.interfaces import ConnectionExtRosbag1, MessageDefinition, MessageDefinitionFormat, Qos
from rosbags.rosbag1 import Reader as Ros1Reader
from rosbags.rosbag2 import Reader as Ros2Reader
from rosbags.serde import SerdeError
from rosbags.typesys.store import Typestore

from fcn_road_seg.bags.cut_off import CutOffFile
from fcn_road_seg.bags.cut_off_mcap import McapRecords
from fcn_road_seg.bags.cut_off_ros1 import Ros1Records
from fcn_road_seg.bags.cut_off_sqlite import SqliteRows
from fcn_road_seg.bags.types import (
    bag_types,
    full_name,
    recorded_typestore,
    ros1_converters,
    ros2_name,
    typestore,
)
from fcn_road_seg.errors import UserError
from fcn_road_seg.files.input import read_text, visible

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
_INVALID = SerdeError, AssertionError, IndexError, KeyError, MemoryError, OverflowError
"""What rosbags raises for bytes that are not a message of the type; KeyError if the type is not completely defined."""


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
    """As promised by the bag's indexes; more than can be read if the bag is damaged."""
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
        typestore: rosbags' type store with ROS 2's standard types and the bag's others.
        message_count: of all connections.
        start_ns, end_ns: recording time of the first and last message, ns since the epoch; 0 for an empty bag.
        duration: seconds from the first to the last message.
        lost: number of messages that the bag promises but that could not be read, among those asked for; 0 before
            the end of an iteration.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.connections: list[Connection] = []
        self.lost = 0
        self._fault = ""
        self._promised: Counter[str] = Counter()
        self._own_types: dict[str, Any] = {}
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
            self._own_types = bag_types(raw)
            self.typestore = typestore(self._own_types)
            if ros1:
                self._from_ros1 = ros1_converters({c.msgtype for c in raw}, self._own_types, self.typestore)
            self._sources = _merged(sources)
            self.connections = list(dict.fromkeys(c for _, mapping in self._sources for c in mapping.values()))
            found: Counter[str] = Counter()
            for connection in self.connections:
                found[connection.topic] += connection.message_count
            self._promised |= found
            filled = [source for source in sources if source.message_count]
            self.message_count = sum(source.message_count for source in filled)
            self.start_ns = min((source.start_time for source in filled), default=0)
            self.end_ns = max((source.end_time - 1 for source in filled), default=0)
            self.duration = (self.end_ns - self.start_ns) / 1e9
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def cut_off(self) -> str:
        """One sentence if the bag is truncated or damaged, else ""; complete after an iteration."""
        if not self.lost:
            return self._fault
        messages = "message is" if self.lost == 1 else "messages are"
        return f"{self._fault or f'{self.path} is damaged'}; {self.lost} {messages} lost"

    def messages(
        self, topics: Collection[str] | None = None, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, recording time (ns since the epoch) and CDR bytes of every message, ordered by time.

        A file that is truncated or has no index is read in the order of recording, and so is a damaged one from the
        damage on. What cannot be read is skipped and reported in `cut_off` and `lost`, not raised; without `start` and
        `stop`, `lost` is exact.

        Args:
            topics: only these; None for all.
            start: only from this time on, ns since the epoch.
            stop: only before this time, ns since the epoch.
        """
        read: Counter[str] = Counter()
        lost = 0
        for source, mapping in self._sources:
            wanted = [c for c in source.connections if topics is None or mapping[c.id].topic in topics]
            for raw, time, data in self._readable(source, wanted, start, stop) if wanted else ():
                connection = mapping[raw.id]
                try:
                    data = zstd.decompress(data) if data[:4] == _ZSTD else data  # compression_mode: message
                    if self._from_ros1:
                        data = self._from_ros1[raw.msgtype](data)
                except Exception as fault:  # from zstd, or from rosbags for invalid messages
                    what = f"left out messages on {connection.topic} that are not valid {raw.msgtype}"
                    self._note(f"{source.path}: {what}: {_reason(fault)}")
                    lost += 1
                    continue
                read[connection.topic] += 1
                yield connection, time, data
            lost += source.lost_parts if isinstance(source, CutOffFile) else 0
        if start is None and stop is None:
            names = set(self._promised if topics is None else topics)
            missing = sum(max(0, self._promised[name] - read[name]) for name in names)
            lost = max(lost, missing, self.message_count - read.total() if topics is None else 0)
        self.lost = max(self.lost, lost)

    def _readable(
        self, source: Any, wanted: list[Any], start: int | None, stop: int | None
    ) -> Iterator[tuple[Any, int, bytes]]:
        """The messages of one file; after damage, those that a scan of the file still finds."""
        latest, seen = start, Counter[int]()
        try:
            for raw, time, data in source.messages(wanted, start, stop):
                if not (isinstance(time, int) and isinstance(data, bytes)):
                    raise TypeError("a row holds no message")
                if time != latest:
                    latest, seen = time, Counter()
                seen[raw.id] += 1
                yield raw, time, data
            return
        except Exception as fault:  # from rosbags, apsw or a decompressor: the file is damaged
            if isinstance(fault, OSError) and fault.errno:
                raise
            self._note(f"{source.path} is damaged: {_reason(fault)}")
        kind = _kind(source.path)
        if isinstance(source, CutOffFile) or kind is None:
            return
        try:
            with kind(source.path) as scan:
                for raw, time, data in scan.messages(wanted, latest, stop):
                    if time == latest and seen[raw.id]:
                        seen[raw.id] -= 1
                    else:
                        yield raw, time, data
        except ValueError:  # nothing is left to read
            return

    def _note(self, fault: str) -> None:
        self._fault = self._fault or fault

    def deserialize(self, data: bytes, msgtype: str) -> Any:
        """Deserialize CDR bytes into an object with the message's fields; numeric arrays are NumPy arrays.

        Raises:
            BagError: the bytes are not a valid message of the type, or the bag does not define the type.
        """
        if msgtype not in self.typestore.fielddefs:
            raise BagError(f"{self.path} does not define the type {msgtype}")
        try:
            return self.typestore.deserialize_cdr(data, msgtype)
        except _INVALID as fault:
            with suppress(*_INVALID):
                return self._recorded_types.deserialize_cdr(data, msgtype)
            raise BagError(f"{len(data)} bytes are not a valid {msgtype}: {_reason(fault)}") from None

    @cached_property
    def _recorded_types(self) -> Typestore:
        return self.typestore if self._from_ros1 else recorded_typestore(self._own_types)

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
                facts = yaml.safe_load(read_text(metadata))["rosbag2_bagfile_information"]
                named = [self.path / Path(name).name for name in facts["relative_file_paths"]]
                for topic in facts.get("topics_with_message_count") or ():
                    self._promised[topic["topic_metadata"]["name"]] += int(topic["message_count"])
            except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
                self._note(f"{metadata} cannot be read: the recorder was interrupted")
            else:
                files = [file for file in named if file.is_file()]
                if lost := [file.name for file in named if not file.is_file()]:
                    self._note(f"{self.path} lacks {', '.join(lost)}")
        elif any(file.name.lower().endswith((".db3", ".zstd")) for file in files):
            self._note(f"{self.path} has no metadata.yaml: the recorder was interrupted")
        if not files:
            raise BagError(f"the folder {self.path} is not a bag: it has no .mcap or .db3 file")
        return files

    def _open(self, file: Path, stack: ExitStack) -> Any:
        """A reader of one data file: one of rosbags if the file is intact, else one of `cut_off`."""
        if file.exists() and not file.is_file():
            raise BagError(f"{file} is a folder, a pipe or a device, not a file")
        with file.open("rb") as stream:
            packed = stream.read(4) == _ZSTD
        if packed:  # compression_mode: file
            inner = Path(stack.enter_context(TemporaryDirectory(prefix="road_seg_bag_"))) / file.stem
            try:
                with zstd.open(file) as content, inner.open("wb") as unpacked:
                    shutil.copyfileobj(content, unpacked)
            except (EOFError, zstd.ZstdError) as fault:
                self._note(f"{file} is damaged: {_reason(fault)}")
            return self._open(inner, stack)
        kind = _kind(file)
        if kind is None:
            raise BagError(f"{file} is not a bag: it is neither MCAP, nor SQLite, nor a ROS 1 bag")
        if not (kind is SqliteRows and SqliteRows.has_journal(file)):
            try:
                reader: Any = Ros1Reader if kind is Ros1Records else Ros2Reader
                source = stack.enter_context(reader(file))
                if kind is not McapRecords or not source.message_count or McapRecords.has_sound_index(source):
                    return source
            except OSError:
                raise
            except Exception:  # rosbags raises various errors at the end of a truncated file
                pass
        try:
            truncated = stack.enter_context(kind(file))
        except ValueError as fault:
            raise BagError(f"{file} cannot be read: {_reason(fault)}") from None
        if truncated.cut_off:
            self._note(truncated.cut_off)
        return truncated


def _kind(file: Path) -> type[McapRecords] | type[SqliteRows] | type[Ros1Records] | None:
    """The format of a file by its first bytes; None if it is not a bag."""
    with file.open("rb") as stream:
        magic = stream.read(16)
    return next((kind for start, kind in _MAGIC.items() if magic.startswith(start)), None)


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
            msgtype=ros2_name(first.msgtype) if ros1 else full_name(first.msgtype),
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


def _reason(fault: Exception) -> str:
    return " ".join(str(fault).split()).rstrip(".") or type(fault).__name__
