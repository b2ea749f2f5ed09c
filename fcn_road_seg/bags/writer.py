"""Writes rosbag2 bags without ROS, using rosbags; a bag appears only when it is complete."""

import errno
import fcntl
import os
import re
import shutil
import sqlite3
import struct
import tempfile
from binascii import crc32
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

from fcn_road_seg.bags import reader
from fcn_road_seg.bags.reader import BagError
from fcn_road_seg.bags.types import definition_to_write

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
OLD_METADATA = ("humble", "iron")
"""ROS 2 distributions whose rosbag2 does not read metadata of version 9: the QoS profiles are text in theirs."""
FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG
"""Errors of writing, which come without the name of the file."""
_FOREVER = QosTime(9223372036, 854775807)


class _McapWriter(McapWriter):
    """Fills in the CRCs of chunks and of the summary (https://mcap.dev/spec), which rosbags leaves at 0."""

    def close_chunk(self) -> None:
        start, crc = self.bio.tell(), crc32(self.chunk.bio.getbuffer())
        super().close_chunk()
        end = self.bio.tell()
        self.bio.seek(start + 33)  # the record's head, two times and the size
        self.bio.write(struct.pack("<I", crc))
        self.bio.seek(end)

    def close(self, version: int, metadata: str) -> None:
        super().close(version, metadata)
        with self.path.open("r+b") as file:
            file.seek(-28, os.SEEK_END)  # the footer's end
            (start,) = struct.unpack("<Q", file.read(8))
            file.seek(start)
            crc = crc32(file.read()[:-12])
            file.seek(-12, os.SEEK_END)
            file.write(struct.pack("<I", crc))


class _Writer(Writer):
    STORAGE_PLUGINS = {**Writer.STORAGE_PLUGINS, StoragePlugin.MCAP: _McapWriter}


def offered_qos(depth: int = 10, *, latched: bool = False, reliable: bool = True) -> list[Qos]:
    """The QoS of a publisher, for `Writer.add_connection(offered_qos_profiles=...)`.

    Args:
        depth: of KEEP_LAST.
        latched: transient local, as for /tf_static and latched ROS 1 topics; otherwise volatile.
        reliable: reliable; otherwise best effort.
    """
    return [
        Qos(
            QosHistory.KEEP_LAST,
            depth,
            QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
            QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
            _FOREVER,
            _FOREVER,
            QosLiveliness.AUTOMATIC,
            _FOREVER,
            avoid_ros_namespace_conventions=False,
        )
    ]


def default_version() -> Literal[8, 9]:
    """The newest version of a bag's metadata that the rosbag2 of ``ROS_DISTRO`` reads; 9 if that is not set."""
    return 8 if os.environ.get("ROS_DISTRO") in OLD_METADATA else 9


@contextmanager
def new_bag(
    out: str | Path, storage: str = "", force: bool = False, version: Literal[8, 9] | None = None
) -> Iterator[Writer]:
    """A rosbags Writer (rosbag2) whose bag becomes `out` when the block ends without an exception.

    Until then the bag is in a hidden folder beside `out`, which is deleted however the block ends, including Ctrl-C;
    if the process is killed, the next one that writes `out` deletes it.

    Args:
        out: the folder to create, with its parents.
        storage: "mcap" or "sqlite3"; empty for MCAP or, with version 8, SQLite: Humble installs no reader of MCAP.
        force: replace an existing bag.
        version: of the bag's metadata; None for `default_version`.

    Raises:
        BagError: `out` exists and `force` is not given or `out` is not a bag, or it cannot be written (the disk is
            full, or SQLite does not support the name).
    """
    out = Path(out).absolute()
    version = version or default_version()
    storage = storage or ("mcap" if version >= 9 else "sqlite3")
    if storage == "sqlite3" and set(str(out)) & set("#?%"):
        raise BagError(f"SQLite cannot write to {out}, which contains #, ? or %: choose another name, or MCAP")
    check_out(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out)
    unfinished = tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent)
    with unfinished as folder, ExitStack() as locks:
        if (lock := _lock(Path(folder))) is not None:
            locks.callback(os.close, lock)
        made = Path(folder) / out.name  # rosbags names the data file after the folder
        try:
            with _Writer(made, version=version, storage_plugin=STORAGES[storage]) as writer:
                yield writer
        except sqlite3.Error as fault:
            raise BagError(f"cannot write {out}: {fault}") from None
        except OSError as fault:
            if fault.errno not in FULL:
                raise
            raise BagError(f"cannot write {out}: {fault.strerror}") from None
        check_out(out, force)
        if out.exists():
            out.rename(Path(folder) / "replaced")
        made.rename(out)


def remove_leftovers(out: Path) -> None:
    """Delete the hidden folders of processes that were killed while they wrote the bag `out`."""
    name = re.compile(re.escape(f".{out.name}.") + r"\w{8}\.partial")
    for folder in out.parent.iterdir():
        if name.fullmatch(folder.name) and (lock := _lock(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until the returned descriptor is closed, at the latest by the end of the process.

    None if another process has locked it, or if its file system has no locks.
    """
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def check_out(out: str | Path, force: bool = False) -> None:
    """Check that a bag may be written to `out`; call this before long work.

    Raises:
        BagError: `out` exists and `force` is not given, or `out` is not a bag and must not be deleted.
    """
    out = Path(out)
    if not out.exists():
        return
    if not force:
        raise BagError(f"{out} exists: choose another name, or replace it with --force")
    bag_files = ("metadata.yaml", *reader.STORAGE, "-wal", "-shm", "-journal")
    if not out.is_dir() or any(not file.is_file() or not file.name.endswith(bag_files) for file in out.iterdir()):
        raise BagError(f"{out} exists and is not only a bag, so --force does not replace it: choose another name")


def add_connection(writer: Writer, bag: reader.BagReader, connection: reader.Connection) -> Connection:
    """Add a connection of another bag, with its type, definition and QoS, to copy its messages unchanged.

    A latched ROS 1 topic becomes transient local.
    """
    definition, digest = definition_to_write(
        connection.msgtype, connection.definition, connection.type_hash, bag.typestore
    )
    return writer.add_connection(
        connection.topic,
        connection.msgtype,
        msgdef=definition,
        rihs01=digest,
        serialization_format=connection.serialization,
        offered_qos_profiles=connection.offered_qos or (offered_qos(latched=True) if connection.latching else []),
    )
