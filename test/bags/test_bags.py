"""Reading and writing bags: every storage, truncated files, and no incomplete output."""

import errno
import os
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
import tiny_bag
import yaml
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.typesys import Stores, get_typestore
from tiny_bag import ROS1, ROS2, content, data_file, serialized, write_ros1, write_ros2

from fcn_road_seg.bags.reader import BagError, open_bag
from fcn_road_seg.bags.writer import add_connection, new_bag, offered_qos

STORAGES = [("mcap", ""), ("mcap", "file"), ("mcap", "message"), ("mcap", "storage"), ("sqlite3", "")]
STORAGES += [("sqlite3", "file"), ("sqlite3", "message")]


@pytest.fixture(scope="module")
def long() -> tuple[list, list]:
    """Messages that fill several chunks of an MCAP, and the expected result of reading them."""
    messages = content(count=80)
    return messages, serialized(messages)


def read(path: Path, **only) -> tuple[list[tuple[str, int, bytes]], str]:
    """Topic, time and bytes of a bag's messages, and `cut_off`."""
    with open_bag(path) as bag:
        return [(c.topic, time, bytes(data)) for c, time, data in bag.messages(**only)], bag.cut_off


@pytest.fixture(scope="module")
def expected() -> list[tuple[str, int, bytes]]:
    return serialized(content())


@pytest.mark.parametrize(("storage", "mode"), STORAGES)
def test_every_storage_returns_the_written_messages(tmp_path, expected, storage, mode):
    path = write_ros2(tmp_path / "drive", storage, mode)
    assert read(path) == (expected, "")
    assert read(data_file(path)) == (expected, "")
    with open_bag(path) as bag:
        assert {c.topic: c.offered_qos for c in bag.connections} == {
            topic: qos for topic, qos in tiny_bag.QOS.items() if not topic.endswith("compressed")
        }
        assert {(c.topic, c.msgtype): c.message_count for c in bag.connections} == {
            ("/camera/image_raw", tiny_bag.IMAGE): 6,
            ("/chatter", tiny_bag.STRING): 6,
            ("/tf_static", tiny_bag.TF): 1,
        }
        assert (bag.start_ns, bag.end_ns) == (expected[0][1], expected[-1][1])
        assert bag.duration == pytest.approx((bag.end_ns - bag.start_ns) / 1e9)
        assert bag.deserialize(expected[2][2], tiny_bag.STRING).data == "frame 0"


def test_an_mcap_without_chunks_is_read_completely_in_any_order_of_times(tmp_path):
    def text(words: str | bytes) -> bytes:
        return struct.pack("<I", len(words)) + (words.encode() if isinstance(words, str) else words)

    def record(kind: int, content: bytes) -> bytes:
        return struct.pack("<BQ", kind, len(content)) + content

    definition, magic = ROS2.generate_msgdef(tiny_bag.STRING)[0], b"\x89MCAP0\r\n"
    data = bytes(ROS2.serialize_cdr(ROS2.types[tiny_bag.STRING]("words"), tiny_bag.STRING))
    records = [record(1, text("ros2") + text("test"))]
    records += [record(3, b"\1\0" + text(tiny_bag.STRING) + text("ros2msg") + text(definition))]
    records += [record(3, b"\2\0" + text("other.Kind") + text("protobuf") + text(b"\xff\xfe"))]
    records += [record(4, b"\1\0\1\0" + text("/chatter") + text("cdr") + b"\0" * 4)]
    times = [10, 30, 20, 40]
    records += [record(5, struct.pack("<HIQQ", 1, 0, time, time) + data) for time in times]
    (tmp_path / "a.mcap").write_bytes(magic + b"".join(records) + record(15, b"\0" * 4) + record(2, b"\0" * 20) + magic)
    assert read(tmp_path / "a.mcap") == ([("/chatter", time, data) for time in times], "")


def test_ros1_types_that_ros2_has_changed_are_converted(tmp_path):
    kind, range_ = "sensor_msgs/msg/Range", ROS1.types["sensor_msgs/msg/Range"]
    header = tiny_bag.header(ROS1, 0)
    with Ros1Writer(tmp_path / "a.bag") as writer:
        topic = writer.add_connection("/range", kind, typestore=ROS1)
        other = writer.add_connection("/other", "my_msgs/msg/Kind", msgdef="far_msgs/Away away", md5sum="0" * 32)
        writer.write(other, 5, b"1234")
        writer.write(topic, 10, ROS1.serialize_ros1(range_(header, 1, 0.5, 0.1, 9.0, 2.5), kind))
        writer.write(topic, 20, b"short")
        writer.write(topic, 30, ROS1.serialize_ros1(range_(header, 1, 0.5, 0.1, 9.0, 3.5), kind))
    messages, words = read(tmp_path / "a.bag")
    assert [(topic, time, ROS2.deserialize_cdr(data, kind).range) for topic, time, data in messages] == [
        ("/range", 10, 2.5),
        ("/range", 30, 3.5),
    ]
    assert "left out messages on /other that are not valid my_msgs/msg/Kind" in words


@pytest.mark.parametrize("compression", ["", "bz2", "lz4"])
def test_ros1_messages_are_converted_to_cdr(tmp_path, expected, compression):
    path = write_ros1(tmp_path / "drive.bag", compression)
    assert read(path) == (expected, "")
    with open_bag(path) as bag:
        assert {c.topic: c.latching for c in bag.connections}["/tf_static"]
        assert all(c.offered_qos == [] for c in bag.connections)


def test_selection_by_topic_and_time(tmp_path, expected):
    path = write_ros2(tmp_path / "drive")
    start, stop = expected[3][1], expected[9][1]
    chosen, _ = read(path, topics=["/chatter"], start=start, stop=stop)
    assert chosen == [m for m in expected if m[0] == "/chatter" and start <= m[1] < stop] != []
    assert read(path, topics=[]) == ([], "")


def test_a_bag_in_several_files(tmp_path, expected):
    """As written by `ros2 bag record --max-bag-size`; `_10` comes after `_9`."""
    bag = tmp_path / "drive"
    bag.mkdir()
    messages, names = content(), []
    for i, message in enumerate(messages):
        names.append(f"drive_{i}.mcap")
        shutil.copy(data_file(write_ros2(tmp_path / "one", messages=[message])), bag / names[-1])
    assert len(messages) > 10
    assert read(bag) == (expected, "")
    with open_bag(bag) as opened:
        assert sorted(c.message_count for c in opened.connections) == [1, 6, 6]
    (bag / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": {"relative_file_paths": names}}))
    (bag / names[3]).unlink()
    left, cut_off = read(bag)
    assert left == expected[:3] + expected[4:]
    assert "drive_3.mcap" in cut_off


def is_prefix(path: Path, expected: list, least: int) -> int:
    """Check that the bag has at least the first `least` messages, unchanged, and reports that it is truncated."""
    messages, cut_off = read(path)
    assert messages == expected[: len(messages)]
    assert len(messages) >= least
    assert path.name in cut_off and cut_off.count("\n") == 0
    with open_bag(path) as bag:
        assert bag.cut_off and bag.message_count == len(messages)
    return len(messages)


@pytest.mark.parametrize("mode", ["", "message", "storage"])
def test_a_truncated_mcap(tmp_path, long, mode):
    messages, expected = long
    whole = data_file(write_ros2(tmp_path / "drive", "mcap", mode, messages)).read_bytes()
    path, counts = tmp_path / "cut.mcap", []
    for share in (0.3, 0.5, 0.7, 0.9):
        path.write_bytes(whole[: int(share * len(whole))])
        counts.append(is_prefix(path, expected, least=int((share - 0.1) * len(expected))))
    assert counts == sorted(counts) and counts[0] < counts[-1]
    path.write_bytes(whole[:-20])
    assert is_prefix(path, expected, least=len(expected)) == len(expected)


def check_lost(path: Path, expected: list, lost: list) -> str:
    """Check that exactly these messages of a damaged bag are lost, and that their number is reported."""
    with open_bag(path) as bag:
        assert (bag.lost, bag.message_count) == (0, len(expected))
        messages = [(c.topic, time, bytes(data)) for c, time, data in bag.messages()]
        assert messages == [message for message in expected if message not in lost]
        assert bag.lost == len(lost) > 0
        assert bag.cut_off.endswith(f"; {len(lost)} {'message is' if len(lost) == 1 else 'messages are'} lost")
        assert bag.cut_off.count(f"{path} is damaged") == 1
        only_lost = {topic for topic, _, _ in lost}
        for topic in {topic for topic, _, _ in expected} - only_lost:
            read = [(c.topic, time, bytes(data)) for c, time, data in bag.messages([topic])]
            assert read == [message for message in expected if message[0] == topic]
        return bag.cut_off


def test_a_damaged_chunk_of_an_mcap_loses_only_its_messages(tmp_path, long):
    messages, expected = long
    path = data_file(write_ros2(tmp_path / "drive", "mcap", "storage", messages))
    magic = b"\x28\xb5\x2f\xfd"
    first, second, third, rest = path.read_bytes().split(magic)
    path.write_bytes(first + magic + second + b"\0\0\0\0" + third + magic + rest)
    found = read(path)[0]
    begin = next(i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1])
    lost = expected[begin : begin + len(expected) - len(found)]
    assert 10 < len(lost) < len(expected) // 2 and found[-1] == expected[-1]
    check_lost(path, expected, lost)
    without_index = path.with_name("cut.mcap")  # its chunks' own indexes say how many are lost
    without_index.write_bytes(path.read_bytes()[:-20])
    with open_bag(without_index) as bag:
        assert [(c.topic, time, bytes(data)) for c, time, data in bag.messages()] == found
        assert bag.lost == len(lost)


def test_messages_that_vanish_without_an_error_are_counted(tmp_path, expected):
    """No checksum, and the record's kind is overwritten: readers must skip unknown records."""
    path = data_file(write_ros2(tmp_path / "drive"))
    lost = expected[3]
    content = bytearray(path.read_bytes())
    record = b"\x05" + struct.pack("<Q", 22 + len(lost[2]))
    at = content.index(lost[2]) - 22 - len(record)
    assert content[at : at + len(record)] == record
    content[at] = 0x45
    path.write_bytes(content)
    check_lost(path, expected, [lost])
    assert "is damaged" not in read(path, topics=["/chatter"])[1]


def test_the_writers_checksums_reveal_a_flipped_byte(tmp_path, long):
    messages, expected = long
    with new_bag(tmp_path / "drive") as writer:
        connections = {}
        for (topic, kind, time, _), (_, _, data) in zip(messages, expected, strict=True):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS2)
            writer.write(connections[topic], time, data)
    path = data_file(tmp_path / "drive")
    assert read(path) == (expected, "")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1  # a pixel
    path.write_bytes(damaged)
    found, cut_off = read(path)
    assert set(found) < set(expected) and found[-1] == expected[-1]
    assert "checksum" in cut_off and f"; {len(expected) - len(found)} messages are lost" in cut_off

    damaged = bytearray(whole)
    damaged[whole.rindex(b"/chatter") + 3] ^= 1  # in the summary; the channel itself is whole
    path.write_bytes(damaged)
    assert read(path) == (expected, "")


@pytest.mark.parametrize("compression", ["", "bz2", "lz4"])
def test_a_damaged_chunk_of_a_ros1_bag_loses_only_its_messages(tmp_path, long, compression):
    _, expected = long
    path = write_ros1(tmp_path / "drive.bag", compression, count=80)
    content = bytearray(path.read_bytes())
    chunk, record = b"op=\x05", b"op=\x02"  # nothing but records can be checked in a chunk without compression
    place = content.index(chunk if compression else record, len(content) // 3)
    content[place + 200 : place + 600] = bytes(400)
    content[place - 8 : place] = bytes(8) if not compression else content[place - 8 : place]
    path.write_bytes(content)
    with open_bag(path) as bag:
        found = [(c.topic, time, bytes(data)) for c, time, data in bag.messages()]
        assert 0 < bag.lost == len(expected) - len(found) < len(expected) // 2
        assert f"; {bag.lost} message" in bag.cut_off
    assert set(found) < set(expected) and found[-1] == expected[-1]


def test_damaged_pages_of_a_sqlite_file_lose_only_their_messages(tmp_path, long):
    messages, expected = long
    path = data_file(write_ros2(tmp_path / "drive", "sqlite3", messages=messages))
    lost = next(message for message in expected[60:] if message[0] == "/camera/image_raw")
    content = bytearray(path.read_bytes())
    page = content.index(lost[2][20000:20100]) // 4096 * 4096
    content[page : page + 4] = b"\xff\xff\xff\xff"  # the next page of the image's data
    path.write_bytes(content)
    check_lost(path, expected, [lost])


@pytest.mark.parametrize("journal", [False, True])
def test_rows_of_a_sqlite_file_that_hold_no_message_are_skipped_and_counted(tmp_path, expected, journal):
    """SQLite finds NULL or text where a page was overwritten; a file with a journal is read without rosbags."""
    file = data_file(write_ros2(tmp_path / "drive", "sqlite3"))
    with sqlite3.connect(file) as database:
        ids = [row for (row,) in database.execute("SELECT id FROM messages ORDER BY timestamp")]
        database.execute("UPDATE messages SET timestamp='then' WHERE id=?", (ids[1],))
        database.execute("UPDATE messages SET data='what' WHERE id=?", (ids[3],))
    database.close()
    if journal:
        Path(f"{file}-journal").write_bytes(bytes(512))
    with open_bag(file) as bag:
        found = [(c.topic, time, bytes(data)) for c, time, data in bag.messages()]
        assert (bag.lost, "damaged" in bag.cut_off) == (2, True)
    assert sorted(found) == sorted(m for i, m in enumerate(expected) if i not in (1, 3))


def test_a_sqlite_file_whose_pages_form_a_circle_ends(tmp_path, long):
    """The third child of the table's root is the first one again, and the fourth is no page."""
    messages, expected = long
    file = data_file(write_ros2(tmp_path / "drive", "sqlite3", messages=messages))
    with sqlite3.connect(file) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name='messages'").fetchone()
    database.close()
    content = bytearray(file.read_bytes())
    page = (root - 1) * size
    assert (content[page], content[page + 4] > 3) == (5, True)  # an inner page with enough children
    first, _, third, fourth = (page + at for at in struct.unpack_from(">4H", content, page + 12))
    content[third : third + 4] = content[first : first + 4]
    content[fourth : fourth + 4] = b"\x7f" * 4
    file.write_bytes(content)
    with open_bag(file) as bag:
        found = [(c.topic, time, bytes(data)) for c, time, data in bag.messages()]
        assert "cannot be read to its end" in bag.cut_off or "damaged" in bag.cut_off
    assert found
    assert set(found) <= set(expected)


def test_metadata_tells_how_much_of_a_truncated_bag_is_lost(tmp_path, long):
    messages, expected = long
    bag = write_ros2(tmp_path / "drive", messages=messages)
    file = data_file(bag)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found, cut_off = read(bag)
    assert found == expected[: len(found)]
    assert cut_off.endswith(f"; {len(expected) - len(found)} messages are lost")
    assert "lost" not in read(file)[1]  # nothing says how many there were


def test_a_sqlite_file_without_metadata(tmp_path, expected):
    path = write_ros2(tmp_path / "drive", "sqlite3")
    (path / "metadata.yaml").unlink()
    assert is_prefix(path, expected, least=len(expected)) == len(expected)


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_sqlite_file(tmp_path, long, share):
    messages, expected = long
    whole = data_file(write_ros2(tmp_path / "drive", "sqlite3", messages=messages)).read_bytes()
    path = tmp_path / "cut.db3"
    path.write_bytes(whole[: int(share * len(whole))])
    assert is_prefix(path, expected, least=int((share - 0.2) * len(expected))) < len(expected)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_sqlite_file_with_a_journal(tmp_path, expected, journal):
    """As left by a killed recorder: committed messages are in the WAL; a rollback journal undoes the others."""
    file = data_file(write_ros2(tmp_path / "drive", "sqlite3"))
    database = sqlite3.connect(file, isolation_level=None)
    database.executescript(f"PRAGMA journal_mode={journal}; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=1; BEGIN")
    last = expected[-1][1]
    for i in range(50):
        database.execute("INSERT INTO messages (topic_id,timestamp,data) VALUES (1,?,?)", (last + i + 1, bytes(8000)))
    if journal == "wal":
        database.execute("COMMIT")
    killed = tmp_path / "killed"
    killed.mkdir()
    for part in file.parent.glob("*.db3*"):
        shutil.copy(part, killed / part.name)
    before = {part.name: part.read_bytes() for part in killed.iterdir()}
    database.close()
    assert len(before) > 1
    messages, cut_off = read(killed)
    assert len(messages) == len(expected) + (50 if journal == "wal" else 0)
    assert messages[: len(expected)] == expected
    assert cut_off
    assert {part.name: part.read_bytes() for part in killed.iterdir()} == before


@pytest.mark.parametrize("compression", ["", "bz2", "lz4"])
def test_a_truncated_ros1_bag(tmp_path, expected, compression):
    whole = write_ros1(tmp_path / "drive.bag", compression).read_bytes()
    path = tmp_path / "cut.bag.active"
    path.write_bytes(whole[: int(0.7 * len(whole))])
    # bzip2 compresses blocks of 900 kB, and an incomplete first block cannot be decompressed at all
    if compression == "bz2":
        with pytest.raises(BagError, match="ends before its first message"):
            read(path)
    else:
        is_prefix(path, expected, least=4)
    path.write_bytes(whole[:-10])
    assert is_prefix(path, expected, least=len(expected)) == len(expected)


def test_files_that_are_not_bags_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mcap").write_text("not an MCAP")
    (tmp_path / "nothing.mcap").write_bytes(b"")
    (tmp_path / "magic.mcap").write_bytes(b"\x89MCAP0\r\n")
    (tmp_path / "other.db3").write_bytes(b"SQLite format 3\0" + bytes(100))
    database = sqlite3.connect(tmp_path / "tables.db3")
    database.execute("CREATE TABLE t(x)")
    database.close()
    names = "missing", "empty", "text.mcap", "nothing.mcap", "magic.mcap", "other.db3", "tables.db3"
    for name in names:
        with pytest.raises(BagError, match=name) as error, open_bag(tmp_path / name):
            pass
        assert "\n" not in str(error.value)


def test_hidden_files_are_no_part_of_a_bag(tmp_path, expected):
    bag = write_ros2(tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    data = data_file(bag)
    data.rename(bag / data.name.upper())
    (bag / f"._{data.name}").write_bytes(b"Mac OS X")
    assert read(bag) == (expected, "")


def test_a_pipe_named_like_a_bag_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.mcap")
    with pytest.raises(BagError, match="a.mcap is a folder, a pipe or a device, not a file"), open_bag(tmp_path):
        pass


def test_invalid_messages_are_refused(tmp_path, expected):
    with open_bag(write_ros2(tmp_path / "drive")) as bag:
        for data in (b"", b"\0\1\0\0", expected[1][2][:50], b"\xff" * 100):
            with pytest.raises(BagError, match="sensor_msgs/msg/Image"):
                bag.deserialize(data, tiny_bag.IMAGE)
        with pytest.raises(BagError, match="my_msgs/msg/Own"):
            bag.deserialize(expected[1][2], "my_msgs/msg/Own")


KNOWN = ROS2.generate_msgdef(tiny_bag.IMAGE, ros_version=2)[0]
HASH = ROS2.hash_rihs01(tiny_bag.IMAGE)
UNKNOWN_HASH = "RIHS01_" + "0" * 64
SWAPPED = KNOWN.replace("uint32 height\nuint32 width", "uint32 width\nuint32 height")
assert SWAPPED != KNOWN


def bag_with_definition(path: Path, storage: str, name: str, definition: str, digest: str, data: bytes) -> Path:
    with new_bag(path, storage) as writer:
        topic = writer.add_connection("/topic", name, msgdef=definition, rihs01=digest)
        writer.write(topic, 5, data)
    return path


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize(
    "definition",
    ["", " \n", KNOWN[:40], KNOWN[: len(KNOWN) // 2], KNOWN[:-30], SWAPPED],
    ids=["empty", "blank", "first_lines", "half", "without_end", "swapped"],
)
def test_known_types_replace_bad_recorded_definitions(tmp_path, expected, storage, definition):
    image = expected[1][2]
    bag_with_definition(tmp_path / "old", storage, tiny_bag.IMAGE, definition, HASH, image)
    with open_bag(tmp_path / "old") as bag, new_bag(tmp_path / "new", storage) as writer:
        (connection,) = bag.connections
        message = bag.deserialize(image, connection.msgtype)
        assert (message.height, message.width, message.header.frame_id) == (60, 192, "camera")
        assert message.data.tobytes() == ROS2.deserialize_cdr(image, tiny_bag.IMAGE).data.tobytes()
        writer.write(add_connection(writer, bag, connection), 5, image)
    if storage == "sqlite3" or definition != SWAPPED:  # rosbags reads no hashes from MCAP
        with open_bag(tmp_path / "new") as bag:
            assert bag.connections[0].definition.data == KNOWN


def test_standard_types_of_another_distribution_are_read_as_recorded(tmp_path):
    """A Range has no variance in bags of ROS 2 Humble and earlier."""
    kind = "sensor_msgs/msg/Range"
    definition = ROS2.generate_msgdef(kind, ros_version=2)[0].replace("float32 variance\n", "")
    old = get_typestore(Stores.ROS2_HUMBLE)
    data = bytes(old.serialize_cdr(old.types[kind](old.types["std_msgs/msg/Header"](
        old.types["builtin_interfaces/msg/Time"](1, 2), "front"), 1, 0.5, 0.1, 9.0, 2.5), kind))  # fmt: skip
    bag_with_definition(tmp_path / "old", "mcap", kind, definition, UNKNOWN_HASH, data)
    with open_bag(tmp_path / "old") as bag, new_bag(tmp_path / "new") as writer:
        (connection,) = bag.connections
        message = bag.deserialize(data, kind)
        assert (message.header.frame_id, message.max_range, message.range) == ("front", 9.0, 2.5)
        writer.write(add_connection(writer, bag, connection), 5, data)
    with open_bag(tmp_path / "new") as bag:
        assert bag.connections[0].definition.data == definition


def test_a_custom_type_whose_parts_are_not_defined(tmp_path):
    bag_with_definition(tmp_path / "old", "mcap", "my_msgs/msg/Own", "far_msgs/Away away", UNKNOWN_HASH, b"1234")
    with open_bag(tmp_path / "old") as bag, new_bag(tmp_path / "new") as writer:
        with pytest.raises(BagError, match="my_msgs/msg/Own"):
            bag.deserialize(b"\0\1\0\0" + bytes(8), "my_msgs/msg/Own")
        writer.write(add_connection(writer, bag, bag.connections[0]), 5, b"1234")
    with open_bag(tmp_path / "new") as bag:
        assert bag.connections[0].definition.data == "far_msgs/Away away"


def test_a_type_without_msg_in_its_name(tmp_path, expected):
    bag_with_definition(tmp_path / "bag", "mcap", "sensor_msgs/Image", KNOWN, HASH, expected[1][2])
    with open_bag(tmp_path / "bag") as bag:
        assert [c.msgtype for c in bag.connections] == [tiny_bag.IMAGE]
        assert bag.deserialize(expected[1][2], tiny_bag.IMAGE).width == 192


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_the_metadata_of_a_new_bag(tmp_path, storage):
    """Compares each field with rosbag2_storage/yaml.hpp, version 9."""
    out = tmp_path / "somewhere" / "drive"
    with new_bag(out, storage) as writer:
        topic = writer.add_connection("/s", tiny_bag.STRING, typestore=ROS2, offered_qos_profiles=offered_qos(3))
        for time in (10**9, 3 * 10**9):
            writer.write(topic, time, ROS2.serialize_cdr(ROS2.types[tiny_bag.STRING]("x"), tiny_bag.STRING))
    name = f"drive.{'mcap' if storage == 'mcap' else 'db3'}"
    assert sorted(file.name for file in out.iterdir()) == sorted([name, "metadata.yaml"])
    assert list(out.parent.iterdir()) == [out]
    infinite = {"sec": 9223372036, "nsec": 854775807}
    qos = {
        "history": "keep_last",
        "depth": 3,
        "reliability": "reliable",
        "durability": "volatile",
        "deadline": infinite,
        "lifespan": infinite,
        "liveliness": "automatic",
        "liveliness_lease_duration": infinite,
        "avoid_ros_namespace_conventions": False,
    }
    topic = {
        "name": "/s",
        "type": "std_msgs/msg/String",
        "serialization_format": "cdr",
        "offered_qos_profiles": [qos],
        "type_description_hash": "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18",
    }
    times = {"starting_time": {"nanoseconds_since_epoch": 10**9}, "duration": {"nanoseconds": 2 * 10**9}}
    assert yaml.safe_load((out / "metadata.yaml").read_text())["rosbag2_bagfile_information"] == {
        "version": 9,
        "storage_identifier": storage,
        "relative_file_paths": [name],
        **times,
        "message_count": 2,
        "topics_with_message_count": [{"topic_metadata": topic, "message_count": 2}],
        "compression_format": "",
        "compression_mode": "",
        "files": [{"path": name, **times, "message_count": 2}],
        "custom_data": None,
        "ros_distro": "rosbags",
    }


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_of_version_8_has_what_the_rosbag2_of_humble_reads(tmp_path, expected, storage):
    """The fields that metadata_io.cpp and sqlite_storage.cpp of its branch humble read, in the types they take."""
    out = tmp_path / "drive"
    with open_bag(write_ros2(tmp_path / "old")) as bag, new_bag(out, storage, version=8) as writer:
        copies = {c: add_connection(writer, bag, c) for c in bag.connections}
        for connection, time, data in bag.messages():
            writer.write(copies[connection], time, data)
    info = yaml.safe_load((out / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert info["version"] < 9 and info["storage_identifier"] == storage
    for part in (info, *info["files"]):
        assert part["message_count"] == len(expected) and part["duration"]["nanoseconds"] >= 0
        assert part["starting_time"]["nanoseconds_since_epoch"] == expected[0][1]
    assert [file["path"] for file in info["files"]] == info["relative_file_paths"]
    assert info["compression_format"] == info["compression_mode"] == ""
    texts = {}
    for topic in info["topics_with_message_count"]:
        data = topic["topic_metadata"]
        assert isinstance(topic["message_count"], int)
        assert {type(data[key]) for key in ("name", "type", "serialization_format", "offered_qos_profiles")} == {str}
        texts[data["name"]] = data["offered_qos_profiles"]
        for profile in yaml.safe_load(data["offered_qos_profiles"]):
            numbers = "history", "depth", "reliability", "durability", "liveliness"
            assert all(type(profile[key]) is int for key in numbers)
            durations = "deadline", "lifespan", "liveliness_lease_duration"
            assert all(profile[key] == {"sec": 9223372036, "nsec": 854775807} for key in durations)
            assert profile["avoid_ros_namespace_conventions"] is False
    if storage == "sqlite3":
        query = "SELECT name, offered_qos_profiles FROM topics JOIN schema WHERE schema_version >= 3"
        with closing(sqlite3.connect(out / "drive.db3")) as database:
            found = database.execute(query).fetchall()
        assert {name: yaml.safe_load(text) for name, text in found} == {n: yaml.safe_load(t) for n, t in texts.items()}
    assert read(out)[0] == expected
    with open_bag(out) as new, open_bag(tmp_path / "old") as old:
        assert {c.topic: c.offered_qos for c in new.connections} == {c.topic: c.offered_qos for c in old.connections}


@pytest.mark.parametrize(
    "distribution, version, written",
    [
        ("", None, (9, "mcap")),
        ("humble", None, (8, "sqlite3")),
        ("iron", None, (8, "sqlite3")),
        ("jazzy", None, (9, "mcap")),
        ("lyrical", None, (9, "mcap")),
        ("humble", 9, (9, "mcap")),
        ("", 8, (8, "sqlite3")),
    ],
)
def test_a_bag_is_one_that_the_rosbag2_at_hand_reads(tmp_path, monkeypatch, distribution, version, written):
    monkeypatch.setenv("ROS_DISTRO", distribution)
    with new_bag(tmp_path / "drive", version=version):
        pass
    info = yaml.safe_load((tmp_path / "drive" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"]) == written


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_bag_leaves_no_files(tmp_path, expected, interruption):
    old = write_ros2(tmp_path / "old")
    for out, force in ((tmp_path / "new", False), (old, True)):
        with pytest.raises(interruption), new_bag(out, force=force) as writer:
            writer.add_connection("/s", tiny_bag.STRING, typestore=ROS2)
            raise interruption
    assert list(tmp_path.iterdir()) == [old]
    assert read(old)[0] == expected


@pytest.mark.parametrize(
    "fault", [sqlite3.OperationalError("database or disk is full"), OSError(errno.ENOSPC, "the disk is full")]
)
def test_a_full_disk_is_a_bag_error_that_names_the_bag(tmp_path, fault):
    with pytest.raises(BagError, match=r"^cannot write .*/new: .*disk is full$"), new_bag(tmp_path / "new", "sqlite3"):
        raise fault
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["run#3", "run?", "50%41"])
def test_names_that_sqlite_misinterprets_are_refused(tmp_path, name):
    with pytest.raises(BagError, match="choose another name, or MCAP"), new_bag(tmp_path / name, "sqlite3"):
        pytest.fail("it was begun")
    with new_bag(tmp_path / name) as writer:
        writer.write(writer.add_connection("/chatter", tiny_bag.STRING, typestore=ROS2), 5, b"data")
    assert [time for _, time, _ in read(tmp_path / name)[0]] == [5]


def test_messages_that_are_not_cdr_are_copied_unchanged(tmp_path):
    with new_bag(tmp_path / "old") as writer:
        topic = writer.add_connection("/json", tiny_bag.STRING, typestore=ROS2, serialization_format="json")
        writer.write(topic, 5, b'{"data": "x"}')
    with open_bag(tmp_path / "old") as bag, new_bag(tmp_path / "new") as writer:
        (connection,) = bag.connections
        copy = add_connection(writer, bag, connection)
        for _, time, data in bag.messages():
            writer.write(copy, time, data)
    assert read(data_file(tmp_path / "new")) == ([("/json", 5, b'{"data": "x"}')], "")
    with open_bag(tmp_path / "new") as bag:
        assert [c.serialization for c in bag.connections] == ["json"]


def test_force_replaces_only_a_bag(tmp_path):
    out = write_ros2(tmp_path / "drive")
    with pytest.raises(BagError, match="--force"), new_bag(out):
        pass
    with new_bag(out, "sqlite3", force=True):
        pass
    assert data_file(out).suffix == ".db3"
    (out / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    for precious in (out, tmp_path / "file", tmp_path):
        with pytest.raises(BagError, match="not only a bag"), new_bag(precious, force=True):
            pass
    assert (out / "thesis.tex").exists()


def test_undefined_types_are_copied_unchanged(tmp_path):
    """Bags of ROS 2 Humble and earlier have no definitions, so custom types are unknown."""
    file = data_file(write_ros2(tmp_path / "old", "sqlite3"))
    with sqlite3.connect(file) as database:
        database.executescript("UPDATE topics SET type='my_msgs/msg/Own' WHERE name='/chatter'; DELETE FROM schema")
        database.executescript("DROP TABLE message_definitions; DROP TABLE schema")
    messages, _ = read(file)
    with open_bag(file) as bag, new_bag(tmp_path / "new") as writer:
        copies = {c: add_connection(writer, bag, c) for c in bag.connections}
        for connection, time, data in bag.messages():
            writer.write(copies[connection], time, data)
    assert read(tmp_path / "new") == (messages, "")
    with open_bag(tmp_path / "new") as bag:
        assert "my_msgs/msg/Own" in {c.msgtype for c in bag.connections}
        assert {c.topic: c.offered_qos for c in bag.connections}["/tf_static"] == tiny_bag.QOS["/tf_static"]
