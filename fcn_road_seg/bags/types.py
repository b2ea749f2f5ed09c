"""The message types of a bag for rosbags: the bag's definitions, and the conversion of ROS 1 messages to ROS 2."""

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore


def bag_types(connections: list[Any]) -> dict[str, Any]:
    """The types defined in the bag; definitions that cannot be parsed are left out."""
    types: dict[str, Any] = {}
    for connection in connections:
        form, text = connection.msgdef
        try:
            if form == MessageDefinitionFormat.MSG:
                types.update(get_types_from_msg(text, connection.msgtype))
            elif form == MessageDefinitionFormat.IDL:
                for part in re.split(r"^=+\nIDL: .*\n", text, flags=re.MULTILINE):
                    types.update(get_types_from_idl(part) if part.strip() else {})
        except TypesysError:
            continue
    return types


def typestore(types: dict[str, Any], ros1: bool = False) -> Typestore:
    """ROS 2's standard types and the bag's; the bag's have priority, except for a ROS 1 bag."""
    store = get_typestore(Stores.LATEST)
    if ros1:
        types = {name: fields for name, fields in types.items() if name not in store.fielddefs}
    try:
        store.register(types)
    except TypesysError:
        standard = store.fielddefs
        store = get_typestore(Stores.EMPTY)
        store.register({**standard, **types})
    return store


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
