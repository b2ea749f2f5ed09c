"""Reader for rosbag2 SQLite files with a journal or missing pages."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rosbags.interfaces import Connection, ConnectionExtRosbag2, MessageDefinition, MessageDefinitionFormat
from rosbags.rosbag2.metadata import parse_qos

from fcn_road_seg.bags.cut_off import FORMATS, CutOffFile


class SqliteRows(CutOffFile):
    """A rosbag2 SQLite file with a journal or missing pages, read in the order of its rows, without an index."""

    @staticmethod
    def has_journal(path: Path) -> bool:
        """Whether the recorder was interrupted during a transaction."""
        return any(journal.is_file() and journal.stat().st_size for journal in SqliteRows._journals(path))

    @staticmethod
    def _journals(path: Path) -> list[Path]:
        return [path.with_name(path.name + end) for end in ("-wal", "-journal")]

    def __enter__(self) -> "SqliteRows":
        self._folder: TemporaryDirectory[str] | None = None
        self._file = self.path
        journals = [file for file in self._journals(self.path) if file.is_file()]
        size, page = self.path.stat().st_size, self._page_size()
        if size % page or self.has_journal(self.path):
            # SQLite takes an incomplete page for a complete one, and modifies the file during recovery.
            self._folder = TemporaryDirectory(prefix="road_seg_bag_")
            self._file = Path(self._folder.name) / self.path.name
            shutil.copyfile(self.path, self._file)
            os.truncate(self._file, size - size % page)
            for file in journals:
                shutil.copyfile(file, self._file.with_name(file.name))
            self._stop("has a journal" if journals else "ends in the middle of a page")
        super().__enter__()
        return self

    def _page_size(self) -> int:
        with self.path.open("rb") as file:
            size = int.from_bytes(file.read(18)[16:], "big")
        return {0: 512, 1: 65536}.get(size, size)

    def __exit__(self, *_: object) -> None:
        if self._folder:
            self._folder.cleanup()

    def _scan(self) -> Iterator[tuple[int, int, bytes]]:
        mode = "mode=rw" if self._folder else "immutable=1"
        with closing(sqlite3.connect(f"{self._file.resolve().as_uri()}?{mode}", uri=True)) as database:
            database.row_factory = sqlite3.Row
            at, last = 0, -1
            try:
                database.execute("PRAGMA writable_schema=ON")  # lets SQLite open a file whose end is missing
                self._find(database)
                (last,) = database.execute("SELECT max(id) FROM messages").fetchone()
            except sqlite3.Error as fault:
                self._stop(f"cannot be read to its end ({fault})")
            while self._found:
                try:
                    for row in database.execute(
                        "SELECT id,topic_id,timestamp,data FROM messages WHERE id>? ORDER BY id", (at,)
                    ):
                        if row[0] <= at:
                            raise sqlite3.DatabaseError("its pages form a circle")
                        at, topic, time, data = row
                        if _is_message(topic, time, data):
                            yield topic, time, data
                        else:
                            self._skip_part()
                    return
                except sqlite3.Error as fault:
                    self._stop(f"cannot be read to its end ({fault})")
                at += 1  # the next row is on a damaged page, or its data are
                if at >= last:
                    return

    def _find(self, database: sqlite3.Connection) -> None:
        definitions: dict[str, Any] = {}
        if database.execute("SELECT 1 FROM sqlite_master WHERE name='message_definitions'").fetchone():
            definitions = {row["topic_type"]: row for row in database.execute("SELECT * FROM message_definitions")}
        for row in map(dict, database.execute("SELECT * FROM topics ORDER BY id")):
            definition = MessageDefinition(MessageDefinitionFormat.NONE, "")
            if (known := definitions.get(row["type"])) and known["encoding"] in FORMATS:
                definition = MessageDefinition(FORMATS[known["encoding"]], known["encoded_message_definition"])
            extension = ConnectionExtRosbag2(
                row["serialization_format"], parse_qos(row.get("offered_qos_profiles", ""))
            )
            digest = row.get("type_description_hash", "")
            self._found[row["id"]] = Connection(
                row["id"], row["name"], row["type"], definition, digest, 0, extension, self
            )


def _is_message(topic: object, time: object, data: object) -> bool:
    """Whether a row's values have their types: SQLite stores any, and finds NULL or text where a page is damaged."""
    return isinstance(topic, int) and isinstance(time, int) and isinstance(data, bytes)
