"""What goes on where a piece is done: it speaks by messages, and what was prepared is kept for the next."""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from logging.handlers import QueueHandler
from typing import Any, ClassVar, TypeVar

from histonic.core.errors import HistonicError
from histonic.core.progress import Forwarding, Listener
from histonic.training.executors.base import Job, Message

A = TypeVar("A")
R = TypeVar("R")
LOGGER = "histonic"


class WorkError(Exception):
    """An unforeseen error in another process; its text is the traceback there."""


class Prepared:
    """What the pieces of one job need, in a process that does some of them."""

    def __init__(self) -> None:
        self._token = ""
        self._stack = ExitStack()
        self._value: Any = None

    def of(self, token: str, job: Callable[[], Job[Any, A, R]], device: str) -> tuple[Job[Any, A, R], Any]:
        """The job and what was prepared for it, now or before; that of another job is closed.

        Args:
            token: Of the job.
            job: Gives it, where it is not here yet.
            device: On which the pieces are done.
        """
        if self._token != token:
            self.close()
            made = job()
            self._value = made, self._stack.enter_context(made.prepare(device))
            self._token = token
        found: tuple[Job[Any, A, R], Any] = self._value
        return found

    def close_of(self, token: str) -> None:
        """Leave what was prepared for a job, if that is the last one."""
        if self._token == token:
            self.close()

    def close(self) -> None:
        """Leave what was prepared."""
        self._token, self._value = "", None
        self._stack.close()


class _Speaking(Forwarding):
    """A listener that sends what it is told; it may refuse to, and so ends the piece."""

    is_vital: ClassVar[bool] = True

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say

    def pass_on(self, name: str, *words: Any) -> None:
        self._say(name, *words)


class Unstepped(Forwarding):
    """Passes on all but steps, where those of a piece are others than those of the whole job."""

    is_vital: ClassVar[bool] = True

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def pass_on(self, name: str, *words: Any) -> None:
        """As what is being worked on, by which a piece that nobody wants any more ends, too."""
        if name in ("stage", "advance", "ended", "may_end_early"):
            self._listener.doing(str(words[-1]) if name == "advance" else "")
        else:
            getattr(self._listener, name)(*words)


class _Logging(QueueHandler):
    """Sends records of the log, with what cannot be pickled made text."""

    def __init__(self, say: Callable[..., None]) -> None:
        super().__init__(None)  # type: ignore[arg-type]
        self._say = say

    def enqueue(self, record: logging.LogRecord) -> None:
        self._say("log", record)


def do_piece(
    prepared: Callable[[], tuple[Job[Any, A, R], Any]],
    number: int,
    piece: A,
    send: Callable[[Message], None],
    place: str,
    log_level: int,
) -> R:
    """Do one piece in a process that is not the one of the verb.

    Args:
        prepared: Gives the job and what was prepared for it.
        number: Of the piece.
        piece: What is done.
        send: Takes the messages; may raise KeyboardInterrupt to end the piece.
        place: What messages call this process.
        log_level: Of the log there.

    Raises:
        HistonicError: Of the piece.
        WorkError: In the place of an error that nobody foresaw.
    """
    attempt = secrets.token_hex(4)

    def say(name: str, *words: Any) -> None:
        send(Message(number, attempt, name, words))

    logger = logging.getLogger(LOGGER)
    handler = _Logging(say)
    level = logger.level
    say("begun", place)
    logger.addHandler(handler)
    logger.setLevel(log_level)
    try:
        job, opened = prepared()
        result = job.do(opened, piece, _Speaking(say))
        say("over")
        return result
    except (HistonicError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - told where the verb runs, which has a log for it
        raise WorkError(traceback.format_exc()) from None
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
