"""The message types of a bag, for rosbags: what the bag defines, and how ROS 1's messages become ROS 2's."""

import re
from collections.abc import Callable
from typing import Any

from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import MessageDefinitionFormat
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore


def bag_types(connections: list[Any]) -> dict[str, Any]:
    """The types that the bag defines; a definition that cannot be parsed is left out."""
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
    """ROS 2's types and the bag's; where they differ, the bag's, but ROS 2's for a bag of ROS 1."""
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
    """What turns the bytes of each ROS 1 type into CDR; none for a type that is not wholly defined."""
    ros1 = get_typestore(Stores.EMPTY)
    ros1.register(own)
    converters: dict[str, Callable[[bytes], bytes]] = {}
    for name in msgtypes:
        to = ros2_name(name)
        try:
            same = is_same_wireformat(ros1, store, name, to)
        except KeyError:
            continue
        if same:
            converters[name] = lambda data, to=to: store.ros1_to_cdr(data, to)
        else:
            converters[name] = lambda data, name=name, to=to: migrate_bytes(
                ros1, store, name, to, {}, data, src_is2=False, dst_is2=True
            )
    return converters


def ros2_name(msgtype: str) -> str:
    """What ROS 2 calls a type of ROS 1's."""
    return STATIC_MSGTYPE_RENAMES.get(msgtype, msgtype)
