"""Writes rosbag2 bags without ROS, using rosbags; a bag appears only when it is complete."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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

from fcn_road_seg.bags import reader
from fcn_road_seg.bags.reader import BagError

STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
UNKNOWN_HASH = "RIHS01_" + 64 * "0"
"""Placeholder for the hash of a type that the bag does not define; rosbags requires one."""
_FOREVER = QosTime(9223372036, 854775807)


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


@contextmanager
def new_bag(out: str | Path, storage: str = "mcap", force: bool = False) -> Iterator[Writer]:
    """A rosbags Writer (rosbag2, format version 9) whose bag becomes `out` when the block ends without an exception.

    Until then the bag is in a hidden folder beside `out`, which is deleted however the block ends, including Ctrl-C.

    Args:
        out: the folder to create, with its parents.
        storage: "mcap" or "sqlite3".
        force: replace an existing bag.

    Raises:
        BagError: `out` exists and `force` is not given or `out` is not a bag, or SQLite cannot write (the disk is full,
            or the name is not supported).
    """
    out = Path(out).absolute()
    if storage == "sqlite3" and set(str(out)) & set("#?%"):
        raise BagError(f"SQLite cannot write to {out}, which contains #, ? or %: choose another name, or MCAP")
    check_out(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as folder:
        made = Path(folder) / out.name  # rosbags names the data file after the folder
        try:
            with Writer(made, version=Writer.VERSION_LATEST, storage_plugin=STORAGES[storage]) as writer:
                yield writer
        except sqlite3.Error as fault:
            raise BagError(f"cannot write {out}: {fault}") from None
        check_out(out, force)
        if out.exists():
            out.rename(Path(folder) / "replaced")
        made.rename(out)


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
    msgtype, definition, digest = connection.msgtype, connection.definition.data, connection.type_hash
    if not definition or not digest:
        if msgtype in bag.typestore.fielddefs:
            generated, _ = bag.typestore.generate_msgdef(msgtype, ros_version=2)
            definition, digest = definition or generated, digest or bag.typestore.hash_rihs01(msgtype)
        digest = digest or UNKNOWN_HASH
    return writer.add_connection(
        connection.topic,
        msgtype,
        msgdef=definition,
        rihs01=digest,
        serialization_format=connection.serialization,
        offered_qos_profiles=connection.offered_qos or (offered_qos(latched=True) if connection.latching else []),
    )
