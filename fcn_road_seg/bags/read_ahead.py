"""Reads a bag's messages in a thread before they are due."""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import count
from typing import NamedTuple

from fcn_road_seg.bags.reader import BagReader, Connection
from fcn_road_seg.bags.schedule import played_range

BUFFER_BYTES = 64 << 20
BUFFER_MESSAGES = 2000


class Message(NamedTuple):
    """A message of the bag."""

    lap: int
    """The repetition of the bag, from 0; -1 for a latched message from before the start."""
    connection: Connection
    time_ns: int
    """Bag time; never decreases within a lap, even if the bag's times do."""
    data: bytes
    """CDR."""


class ReadAhead:
    """Opens a bag and reads it in a thread, one buffer ahead of the consumer.

    The thread also opens the bag, since SQLite allows only the thread that opened a file to read it.

    Args:
        reader: of the bag, not opened yet.

    Attributes:
        connections, cut_off, lost: see `BagReader`.
        start_ns, end_ns: the part that is played, ns since the epoch; known once `take` has returned a message.

    Raises:
        UserError, OSError: opening the bag failed.
    """

    def __init__(self, reader: BagReader):
        self._reader = reader
        self._changed = threading.Condition()
        self._buffer: deque[Message] = deque()
        self._bytes = 0
        self._opened = self._finished = self._stopped = False
        self._plan: Callable[[], Iterable[Message]] | None = None
        self._error: BaseException | None = None
        self.lost = 0
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

    def begin(
        self, topics: Collection[str], latched: Collection[str], start: float, duration: float | None, loop: bool
    ) -> None:
        """Start reading; call it once.

        Args:
            topics: the topics to read.
            latched: those whose messages from before the start are also read, with lap -1.
            start: seconds from the first message on these topics.
            duration: seconds from the start; None for the rest of the bag.
            loop: repeat forever.
        """

        def messages() -> Iterator[Message]:
            first = next((time_ns for _, time_ns, _ in self._reader.messages(topics)), None)
            if first is None:
                return
            self.start_ns, stop, self.end_ns = played_range(first, self._reader.end_ns, start, duration)
            if latched and self.start_ns > first:
                for connection, time_ns, data in self._reader.messages(latched, stop=self.start_ns):
                    yield Message(-1, connection, time_ns, bytes(data))
            begin = self.start_ns if start else None  # all of the bag is counted
            for lap in count():
                latest = 0
                for connection, time_ns, data in self._reader.messages(topics, start=begin, stop=stop):
                    latest = max(latest, time_ns)
                    yield Message(lap, connection, latest, bytes(data))
                if not (latest and loop):
                    return

        with self._changed:
            self._plan = messages
            self._changed.notify_all()

    def take(self) -> Message | None:
        """Wait for the next message and return it; None after the last one.

        Raises:
            UserError, OSError: reading failed after the messages returned so far.
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
                self.cut_off = reader.cut_off
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
                self.cut_off, self.lost = reader.cut_off, reader.lost
        except Exception as error:
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self._buffer) < BUFFER_MESSAGES and (self._bytes < BUFFER_BYTES or not self._buffer)
