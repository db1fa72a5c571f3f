"""Processes on the CPU of this machine, each with its share of the cores, that end with their parent."""

from __future__ import annotations

import logging
import multiprocessing
import os
import secrets
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, TypeVar

import torch

from histonic.core.errors import ExecutorError
from histonic.core.progress import Progress
from histonic.training.executors.base import Executor, Job
from histonic.training.executors.pieces import LOGGER, Prepared, do_piece

A = TypeVar("A")
R = TypeVar("R")


class LocalProcesses(Executor[A, R]):
    """Does pieces in new processes, so that the job and its pieces are pickled.

    A process that is killed takes the others with it: what is done is on the disk, and the same command goes
    on from there.

    Args:
        job: What is done; memory that it shares is shared with all processes.
        progress: Hears of it.
        processes: How many.
    """

    def __init__(self, job: Job[Any, A, R], progress: Progress | None, processes: int) -> None:
        super().__init__(job, progress)
        context = multiprocessing.get_context("spawn")
        self._processes = processes
        self._messages = context.SimpleQueue()
        self._others = multiprocessing.active_children()
        self._children: list[BaseProcess] = []
        self._undone: set[Future[R]] = set()
        threads = max(1, torch.get_num_threads() // processes)
        level = logging.getLogger(LOGGER).getEffectiveLevel()
        self._pool = ProcessPoolExecutor(
            processes, context, initializer=_begin, initargs=(job, threads, level, self._messages)
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    @property
    def slots(self) -> int:
        """The processes."""
        return self._processes

    def _start(self, number: int, piece: A) -> Future[R]:
        future = self._pool.submit(_do, number, piece)
        self._undone.add(future)
        future.add_done_callback(self._undone.discard)
        # The pool starts its processes as they are needed, and says nothing of how they end.
        new = [each for each in multiprocessing.active_children() if each not in self._others]
        self._children += [each for each in new if each not in self._children]
        return future

    def _explained(self, error: BaseException) -> BaseException:
        from concurrent.futures.process import BrokenProcessPool

        if not isinstance(error, BrokenProcessPool):
            return error
        for each in self._children:
            each.join()
        codes = [each.exitcode for each in self._children if each.exitcode]
        # The pool terminates the others itself.
        code = next((each for each in codes if each != -signal.SIGTERM), codes[0] if codes else "unknown")
        return ExecutorError(
            self.job.asked,
            f"One of {self._processes} processes ended with exit code {code}.",
            "If memory ran out, give the same command with fewer --workers; it goes on from there.",
        )

    def _end(self) -> None:
        if self._undone:
            for each in self._children:
                if each.is_alive():
                    each.terminate()
        self._pool.shutdown(cancel_futures=True)
        for each in self._children:
            each.join()
        # A process that was ended while it spoke keeps the lock of the queue; the thread is a daemon.
        if not any(each.exitcode for each in self._children):
            self._messages.put(None)
            self._listening.join()

    def _listen(self) -> None:
        while (message := self._messages.get()) is not None:
            self._box.put(message)


class _Here:
    """What a process of the pool was given."""

    prepared = Prepared()
    job: Job[Any, Any, Any]
    token: str
    log_level: int
    messages: Any


def _begin(job: Job[Any, Any, Any], threads: int, log_level: int, messages: Any) -> None:
    # A parent that was killed cannot end its processes; they would go on and write into its run.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    # An interruption reaches all processes of a terminal; the parent tells it to the user.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _Here.job, _Here.token, _Here.log_level, _Here.messages = job, secrets.token_hex(8), log_level, messages
    Finalize(None, _Here.prepared.close, exitpriority=10)


def _do(number: int, piece: Any) -> Any:
    return do_piece(
        lambda: _Here.prepared.of(_Here.token, lambda: _Here.job, "cpu"),
        number,
        piece,
        _Here.messages.put,
        f"process {os.getpid()}",
        _Here.log_level,
    )


def _end_with_parent() -> None:
    """Wait for the parent process to end, however it does, and end this one."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
