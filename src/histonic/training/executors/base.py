"""One interface to all executors: pieces of a job are handed in, results, errors and progress come back."""

from __future__ import annotations

import logging
import queue
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from histonic.core.progress import EVENTS, Forwarding, Listener, Progress, heard, warn

S = TypeVar("S")
A = TypeVar("A")
R = TypeVar("R")
LATE_S = 10.0
"""How long the last words of a piece that is done are waited for."""
LOOK_S = 1.0


@dataclass(frozen=True)
class Job(Generic[S, A, R]):
    """What is done with every piece; picklable and small, because what it needs is told by paths.

    Attributes:
        asked: What messages say was asked for.
        prepare: Makes what all pieces need, once in each process that does some, for the device that it is
            called with (``cpu`` or ``cuda``); left when no more pieces come.
        do: Does one piece: called with what was prepared, the piece and a listener. Where a worker was lost a
            piece is done twice: what it leaves is published on the disk, and found there.
        spoken: What messages call a piece.
    """

    asked: str
    prepare: Callable[[str], AbstractContextManager[S]]
    do: Callable[[S, A, Listener], R]
    spoken: Callable[[A], str] = str


@dataclass(frozen=True)
class Message:
    """What a piece says while it is done.

    Attributes:
        piece: Its number.
        attempt: Which of its attempts speaks.
        name: An event of a listener; or ``begun``, with the place; ``log``, with a record; last of all
            ``over``.
        words: What comes with it.
    """

    piece: int
    attempt: str
    name: str
    words: tuple[Any, ...] = ()


class Executor(ABC, Generic[A, R]):
    """Does pieces of a job as an executor of :mod:`concurrent.futures` does calls; leaving it ends all work.

    Args:
        job: What is done.
        progress: Hears of all pieces, in the thread that takes their results, but no new stages.
    """

    def __init__(self, job: Job[Any, A, R], progress: Progress | None) -> None:
        self.job = job
        self._relay = _Relay(_Unstaged(heard(progress)))
        self._count = 0
        self._box: queue.SimpleQueue[Message | int] = queue.SimpleQueue()

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many pieces are done at the same time, as far as that is known now."""

    @property
    def ahead(self) -> int:
        """How many pieces are handed in before the first of them is done."""
        return 2 * self.slots + 2

    @abstractmethod
    def _start(self, number: int, piece: A) -> Future[R]:
        """Hand in a piece; its messages come into the box."""

    @abstractmethod
    def _end(self) -> None:
        """End all work that is not done, and whatever was started for it."""

    def _explained(self, error: BaseException) -> BaseException:
        """An error of a piece as the user is told of it."""
        return error

    def __enter__(self) -> Executor[A, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def submit(self, piece: A) -> Future[R]:
        """Hand in a piece of the job; it is heard of while :meth:`results` are taken.

        Args:
            piece: Picklable and small: names and paths, no arrays.
        """
        return self._submit(piece)[1]

    def _submit(self, piece: A) -> tuple[int, Future[R]]:
        number, self._count = self._count, self._count + 1
        self._relay.names[number] = self.job.spoken(piece)
        future = self._start(number, piece)
        future.add_done_callback(lambda _: self._box.put(number))
        return number, future

    def results(self, pieces: Iterable[A]) -> Iterator[R]:
        """Results of many pieces in their order; handed in a few ahead, so that there may be millions.

        What is not done when the reader stops ends with the executor.

        Raises:
            HistonicError: Of the first piece that raised one, whichever place it has.
            WorkError: The same of an error that nobody foresaw.
            ExecutorError: Processes or workers were lost.
        """
        waiting, is_over = iter(pieces), False
        running: dict[int, Future[R]] = {}
        order: list[int] = []
        done: dict[int, R] = {}
        while True:
            while not is_over and len(running) < self.ahead:
                try:
                    piece = next(waiting)
                except StopIteration:
                    is_over = True
                else:
                    number, future = self._submit(piece)
                    running[number] = future
                    order.append(number)
            if not order:
                return
            for number in self._hear(running):
                future = running.pop(number)
                if (error := future.exception()) is not None:
                    raise self._explained(error)
                done[number] = future.result()
            while order and order[0] in done:
                yield done.pop(order.pop(0))

    def _hear(self, running: dict[int, Future[R]]) -> list[int]:
        """Pass on what comes until some pieces are done, and have said all; or one has failed."""
        relay = self._relay
        while True:
            try:
                message = self._box.get(timeout=LOOK_S)
            except queue.Empty:
                pass
            else:
                if isinstance(message, Message):
                    relay.hear(message)
                else:
                    relay.done[message] = time.monotonic()
            if not self._box.empty():
                continue
            ready = [
                number
                for number in running
                if number in relay.done and (relay.has_said_all(number) or running[number].exception())
            ]
            if ready:
                for number in ready:
                    relay.forget(number)
                return ready


class _Unstaged(Forwarding):
    """Passes on all but new stages, of several processes at work on the parts of one."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def pass_on(self, name: str, *words: Any) -> None:
        if name == "doing":
            self._listener.doing(words[0])  # shares of several steps are not one share
        elif name not in ("stage", "may_end_early"):
            getattr(self._listener, name)(*words)


class _Relay:
    """What pieces say, to a listener: of a piece that was begun again only what is new."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.names: dict[int, str] = {}
        self.done: dict[int, float] = {}
        self._places: dict[int, tuple[str, str]] = {}
        self._steps: dict[int, tuple[int, int]] = {}
        self._over: set[int] = set()

    def has_said_all(self, number: int) -> bool:
        return number in self._over or time.monotonic() - self.done[number] > LATE_S

    def forget(self, number: int) -> None:
        for held in (self.names, self.done, self._places, self._steps):
            held.pop(number, None)
        self._over.discard(number)

    def hear(self, message: Message) -> None:
        number = message.piece
        if number not in self.names:
            return  # done, and its last words came late
        if message.name == "begun":
            self._begin(number, message.attempt, str(message.words[0]))
        elif self._places.get(number, ("",))[0] != message.attempt:
            return  # of a worker that is lost, but does not know it
        elif message.name == "over":
            self._over.add(number)
        elif message.name == "log":
            record: logging.LogRecord = message.words[0]
            logging.getLogger(record.name).handle(record)
        elif message.name == "advance":
            self._advance(number, *message.words)
        elif message.name in EVENTS:
            getattr(self.listener, message.name)(*message.words)

    def _begin(self, number: int, attempt: str, place: str) -> None:
        if number in self._places:
            before = self._places[number][1]
            warn(
                self.listener,
                f"{self.names[number]}: {before} was lost, and it is begun again on {place}",
            )
        self._places[number] = attempt, place
        self._steps[number] = 0, self._steps.get(number, (0, 0))[1]
        self._over.discard(number)

    def _advance(self, number: int, steps: int = 1, note: str = "") -> None:
        now, most = self._steps[number]
        now += steps
        self._steps[number] = now, max(now, most)
        if now > most or not steps:
            self.listener.advance(max(0, now - most), note)
