"""The message types of a bag for rosbags: the bag's definitions, and the conversion of ROS 1 messages to ROS 2."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

UNKNOWN_HASH = "RIHS01_" + 64 * "0"
"""Placeholder for the hash of a type that the bag does not define; rosbags requires one."""
STANDARD = get_typestore(Stores.LATEST).fielddefs


def bag_types(connections: list[Any]) -> dict[str, Any]:
    """The types defined in the bag; definitions that cannot be parsed are left out."""
    types: dict[str, Any] = {}
    for connection in connections:
        with suppress(TypesysError):
            types.update(_parsed(connection.msgtype, connection.msgdef))
    return types


def _parsed(msgtype: str, definition: MessageDefinition) -> dict[str, Any]:
    form, text = definition
    types: dict[str, Any] = {}
    if form == MessageDefinitionFormat.MSG:
        types.update(get_types_from_msg(text, msgtype))
    elif form == MessageDefinitionFormat.IDL:
        for part in re.split(r"^=+\nIDL: .*\n", text, flags=re.MULTILINE):
            types.update(get_types_from_idl(part) if part.strip() else {})
    return types


def typestore(own: dict[str, Any]) -> Typestore:
    """ROS 2's standard types as known here, and the other types of the bag."""
    store = get_typestore(Stores.LATEST)
    store.register({name: fields for name, fields in own.items() if name not in STANDARD})
    return store


def recorded_typestore(own: dict[str, Any]) -> Typestore:
    """The types as the bag defines them, for standard types of other ROS distributions; the rest as known here."""
    store = get_typestore(Stores.EMPTY)
    store.register({**STANDARD, **own})
    return store


def definition_to_write(msgtype: str, recorded: MessageDefinition, digest: str, known: Typestore) -> tuple[str, str]:
    """The definition of a type, as text, and its hash: as recorded if complete and of the recorded hash, else as known.

    Args:
        recorded: may be empty, truncated or of another type.
        digest: the recorded hash, or empty.
        known: the type store of the bag.
    """
    with suppress(TypesysError, KeyError):
        own = get_typestore(Stores.EMPTY)
        own.register(_parsed(msgtype, recorded))
        found = own.hash_rihs01(msgtype)
        if recorded.data.strip() and (not digest or found == digest):
            return recorded.data, found
    if msgtype in STANDARD or not recorded.data.strip():
        with suppress(TypesysError, KeyError):
            return known.generate_msgdef(msgtype, ros_version=2)[0], known.hash_rihs01(msgtype)
    return recorded.data, digest or UNKNOWN_HASH


def ros1_converters(msgtypes: set[str], own: dict[str, Any], store: Typestore) -> dict[str, Callable[[bytes], bytes]]:
    """Functions that convert serialized ROS 1 messages to CDR, by type; incompletely defined types are left out."""
    ros1 = get_typestore(Stores.EMPTY)
    ros1.register(own)
    converters: dict[str, Callable[[bytes], bytes]] = {}
    for name in msgtypes:
        with suppress(KeyError):
            converters[name] = _converter(ros1, store, name)
    return converters


def _converter(ros1: Typestore, store: Typestore, name: str) -> Callable[[bytes], bytes]:
    target = ros2_name(name)
    if is_same_wireformat(ros1, store, name, target):
        return lambda data: bytes(store.ros1_to_cdr(data, target))
    return lambda data: bytes(migrate_bytes(ros1, store, name, target, {}, data, src_is2=False, dst_is2=True))


def ros2_name(msgtype: str) -> str:
    """The ROS 2 name of a ROS 1 type."""
    return STATIC_MSGTYPE_RENAMES.get(msgtype, msgtype)


def full_name(msgtype: str) -> str:
    """A type's name with the "msg" that some recorders omit: "sensor_msgs/Image" is "sensor_msgs/msg/Image"."""
    return re.sub(r"^(\w+)/(\w+)$", r"\1/msg/\2", msgtype)
