"""A bag's messages, read by a thread before they are due."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count
from typing import NamedTuple

from fcn_road_seg.bags.reader import BagReader, Connection

BUFFER_BYTES = 64 << 20
BUFFER_MESSAGES = 2000


class Message(NamedTuple):
    """A message of the bag."""

    lap: int
    """Which time the bag is played, from 0; -1: a latched message from before the start."""
    connection: Connection
    time_ns: int
    """Bag time; within a lap it never goes back, even where the bag does."""
    data: bytes
    """CDR."""


class ReadAhead:
    """Opens a bag and reads it in a thread of its own, a buffer ahead of whoever takes the messages.

    SQLite allows only the thread that opened a file to read it, so this one does both.

    Args:
        reader: of the bag, not opened yet.

    Attributes:
        connections, start_ns, end_ns, cut_off: the bag reader's.

    Raises:
        UserError, OSError: what opening raised.
    """

    def __init__(self, reader: BagReader):
        self._reader = reader
        self._changed = threading.Condition()
        self._buffer: deque[Message] = deque()
        self._bytes = 0
        self._opened = self._finished = self._stopped = False
        self._plan: Callable[[], Iterable[Message]] | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read_ahead", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._error)
        if self._error:
            raise self._error

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def begin(self, topics: Collection[str], latched: Collection[str], start: int, stop: int, loop: bool) -> None:
        """Start to read, once.

        Args:
            topics: that are wanted.
            latched: those of them whose messages from before `start` are wanted too, with lap -1.
            start, stop: bag time in nanoseconds, the second exclusive.
            loop: over and over.
        """

        def messages() -> Iterator[Message]:
            if latched and start > self._reader.start_ns:
                for connection, time_ns, data in self._reader.messages(latched, stop=start):
                    yield Message(-1, connection, time_ns, bytes(data))
            for lap in count():
                latest = 0
                for connection, time_ns, data in self._reader.messages(topics, start=start, stop=stop):
                    latest = max(latest, time_ns)
                    yield Message(lap, connection, latest, bytes(data))
                if not (latest and loop):
                    return

        with self._changed:
            self._plan = messages
            self._changed.notify_all()

    def take(self) -> Message | None:
        """The next message, waiting for it if need be; None after the last one.

        Raises:
            UserError, OSError: what reading raised; the messages before it come first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._finished)
            if self._buffer:
                message = self._buffer.popleft()
                self._bytes -= len(message.data)
                self._changed.notify_all()
                return message
            if self._error:
                raise self._error
            return None

    def _run(self) -> None:
        try:
            with self._reader as reader:
                self.connections = list(reader.connections)
                self.start_ns, self.end_ns, self.cut_off = reader.start_ns, reader.end_ns, reader.cut_off
                with self._changed:
                    self._opened = True
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._plan or self._stopped)
                for message in self._plan() if self._plan else ():
                    with self._changed:
                        self._changed.wait_for(lambda: self._has_room() or self._stopped)
                        if self._stopped:
                            return
                        self._buffer.append(message)
                        self._bytes += len(message.data)
                        self._changed.notify_all()
                self.cut_off = reader.cut_off
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._buffer) < BUFFER_MESSAGES and (self._bytes < BUFFER_BYTES or not self._buffer)
