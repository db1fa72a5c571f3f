"""The executor of one process: pieces are done where and when they are handed in."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

from histonic.core.progress import Progress
from histonic.training.executors.base import Executor, Job, Message

A = TypeVar("A")
R = TypeVar("R")


class ThisProcess(Executor[A, R]):
    """Does one piece after the other in this process.

    Args:
        job: What is done.
        progress: Hears of it.
        device: On which.

    Example:
        >>> from contextlib import nullcontext
        >>> job = Job("Count.", lambda device: nullcontext(10), lambda ten, piece, progress: ten + piece)
        >>> with ThisProcess(job, None, "cpu") as executor:
        ...     list(executor.results([1, 2]))
        [11, 12]
    """

    def __init__(self, job: Job[Any, A, R], progress: Progress | None, device: str) -> None:
        super().__init__(job, progress)
        self._device = device
        self._stack = ExitStack()
        self._opened: Any = None
        self._is_open = False

    @property
    def slots(self) -> int:
        """One."""
        return 1

    @property
    def ahead(self) -> int:
        """One: what is handed in is done at once."""
        return 1

    def _start(self, number: int, piece: A) -> Future[R]:
        if not self._is_open:
            self._opened = self._stack.enter_context(self.job.prepare(self._device))
            self._is_open = True
        future: Future[R] = Future()
        try:
            future.set_result(self.job.do(self._opened, piece, self._relay.listener))
        except Exception as error:  # noqa: BLE001 - raised where the result is taken, as that of any future
            future.set_exception(error)
        self._box.put(Message(number, "", "begun", ("",)))
        self._box.put(Message(number, "", "over"))
        return future

    def _end(self) -> None:
        self._stack.close()
