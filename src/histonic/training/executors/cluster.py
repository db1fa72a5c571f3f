"""The workers of a Dask cluster: each does one piece at a time, and pieces of lost workers are done again."""

from __future__ import annotations

import logging
import pickle
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from histonic.core.errors import ExecutorError
from histonic.core.progress import Progress, heard, say_detail
from histonic.training.executors import connection
from histonic.training.executors.base import Executor, Job, Message
from histonic.training.executors.pieces import LOGGER, Prepared, do_piece

if TYPE_CHECKING:
    from distributed import Future as DaskFuture

A = TypeVar("A")
R = TypeVar("R")
COUNT_S = 5.0
"""Between two looks at how many workers there are."""
POST_S = 0.3
"""Between two posts of what a piece says."""


class ClusterWorkers(Executor[A, R]):
    """Does pieces on the workers of a Dask cluster, which may come and go.

    Only names and paths are sent. What pieces say, and what they log, comes back as events of the scheduler.
    A piece whose worker was lost is begun again on another; where the client ends, its pieces end at the next
    thing that they would say.

    Args:
        job: What is done.
        progress: Hears of it.
        cluster: Address of the scheduler, or its file.
        device: ``auto``, ``cpu`` or ``cuda``: pieces that need a GPU ask for the worker resource ``GPU``.
        reads: Files and folders that all workers have to see.
        writes: Folder into which they publish.

    Raises:
        SettingsError: There is no such cluster, or the extra is not installed.
        ExecutorError: Nobody answers, or a worker cannot do the work: other versions, no such path, no GPU.
    """

    def __init__(
        self,
        job: Job[Any, A, R],
        progress: Progress | None,
        cluster: str,
        device: str,
        reads: Sequence[Path],
        writes: Path,
    ) -> None:
        super().__init__(job, progress)
        listener = heard(progress)
        asked = f"Work on the cluster {cluster}."
        self._cluster = cluster
        self._token = secrets.token_hex(8)
        self._topic = f"histonic-{self._token}"
        self._held: dict[int, DaskFuture[R]] = {}
        self._counted = (float("-inf"), 1)
        self._has_ended = False
        self._client = connection.connect(cluster)
        self._sign = connection.Sign(writes)
        try:
            connection.wait_for_workers(self._client, cluster, listener)
            connection.require_same_versions(self._client, asked)
            paths = [path.absolute() for path in reads]
            connection.require_seen(self._client, asked, paths, self._sign.path)
            self._device = connection.device_of(self._client, device, asked)
            self._client.subscribe_topic(self._topic, self._hear_of)
            self._order = _Order(
                asked,
                self._token,
                self._topic,
                pickle.dumps(job),
                self._device,
                tuple(paths),
                self._sign.path,
                connection.own_versions(),
                logging.getLogger(LOGGER).getEffectiveLevel(),
            )
        except BaseException:
            self._end()
            raise
        self._resources = {connection.GPU: 1} if self._device == "cuda" else None
        say_detail(listener, f"{self.slots} workers of the cluster {cluster}, on {self._device}")

    @property
    def slots(self) -> int:
        """The workers there are."""
        then, count = self._counted
        if time.monotonic() - then > COUNT_S:
            with suppress(OSError, RuntimeError, ValueError):  # of a lost scheduler the pieces will tell
                count = max(1, len(self._client.nthreads()))
            self._counted = time.monotonic(), count
        return count

    def _start(self, number: int, piece: A) -> Future[R]:
        future: Future[R] = Future()
        try:
            held = self._client.submit(
                _do_on_worker,
                self._order,
                number,
                piece,
                key=f"{self._topic}-{number}",
                resources=self._resources,
                pure=False,
            )
        except (OSError, RuntimeError) as error:
            future.set_exception(self._scheduler_lost(error))
            return future
        self._held[number] = held
        held.add_done_callback(lambda done: self._finish(number, done, future))
        return future

    def _finish(self, number: int, held: DaskFuture[R], future: Future[R]) -> None:
        """Hand over what became of a piece, and let the cluster forget it."""
        from distributed import KilledWorker

        if self._has_ended:
            future.cancel()
            return
        try:
            if held.status == "finished":
                future.set_result(held.result())
            elif held.status == "error":
                error = held.exception()
                if isinstance(error, KilledWorker):
                    error = self._workers_lost(number, error)
                future.set_exception(error)
            else:
                future.set_exception(self._scheduler_lost(held.status))
        except Exception as error:  # noqa: BLE001 - a result that cannot be fetched: nobody else would tell
            future.set_exception(self._scheduler_lost(error))
        finally:
            self._held.pop(number, None)
            held.release()

    def _workers_lost(self, number: int, error: Any) -> ExecutorError:
        return ExecutorError(
            self.job.asked,
            f"{self._relay.names.get(number, 'A piece')}: {error.allowed_failures + 1} workers that did it "
            f"were lost one after the other, the last of them {error.last_worker.address}.",
            "Look into the logs of the workers; if memory ran out, give them more or use a smaller --batch. "
            "The same command goes on from there.",
        )

    def _scheduler_lost(self, told: object) -> ExecutorError:
        return ExecutorError(
            self.job.asked,
            f"The scheduler of the cluster {self._cluster} was lost ({told}).",
            "Start scheduler and workers again, and give the same command; it goes on from there.",
        )

    def _hear_of(self, event: tuple[float, Any]) -> None:
        _, posted = event
        for message in pickle.loads(posted):
            self._box.put(message)

    def _end(self) -> None:
        self._has_ended = True
        self._sign.remove()
        client = self._client
        try:
            if client.status == "running":
                if self._held:
                    client.cancel(list(self._held.values()), force=True)
                client.run(_forget, self._token, on_error="ignore", wait=False)
        except (OSError, RuntimeError, ValueError):
            pass  # a scheduler that is lost has nothing to cancel
        finally:
            self._held.clear()
            client.close(timeout=2)


@dataclass(frozen=True)
class _Order:
    """What a worker is told beside the piece; a few thousand bytes."""

    asked: str
    token: str
    topic: str
    job: bytes
    device: str
    paths: tuple[Path, ...]
    sign: Path
    versions: dict[str, str]
    log_level: int

    def open(self, worker: str) -> Job[Any, Any, Any]:
        """The job, where a worker that came later than the others can do it too."""
        for name, mine in self.versions.items():
            if (its := connection.own_versions()[name]) != mine:
                raise connection.other_version(self.asked, worker, name, its, mine)
        for path in connection.unseen_paths([*self.paths, self.sign]):
            raise connection.not_seen(self.asked, worker, path, self.sign)
        job: Job[Any, Any, Any] = pickle.loads(self.job)
        return job


_PREPARED = Prepared()
_ONE_AT_A_TIME = threading.Lock()
"""Torch's threads, seeds and modes are of a process. No resource of Dask's does this: one that is given to a
worker after it has joined is not looked at for pieces that were waiting for any worker."""


def _do_on_worker(order: _Order, number: int, piece: Any) -> Any:
    from distributed import get_worker

    worker = get_worker()
    post = _Post(worker, order.topic)
    try:
        with _ONE_AT_A_TIME:
            # The threads of a worker are its cores; by itself Dask lets each of them compute with one.
            torch.set_num_threads(worker.state.nthreads)
            try:
                return do_piece(
                    lambda: _PREPARED.of(order.token, lambda: order.open(worker.address), order.device),
                    number,
                    piece,
                    post.send,
                    f"worker {worker.address}",
                    order.log_level,
                )
            except KeyboardInterrupt:
                # Nobody waits for it; and who ended the job could close nothing while a piece was at work.
                _PREPARED.close_of(order.token)
                return None
    finally:
        post.close()


async def _forget(token: str) -> None:
    if _ONE_AT_A_TIME.acquire(blocking=False):
        try:
            _PREPARED.close_of(token)
        finally:
            _ONE_AT_A_TIME.release()


class _Post:
    """Messages of a piece on their way to the client, several at a time."""

    def __init__(self, worker: Any, topic: str) -> None:
        self._worker, self._topic = worker, topic
        self._key = worker.get_current_task()
        self._waiting: list[Message] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._posting = threading.Thread(target=self._post, name="histonic-post", daemon=True)
        self._posting.start()

    def send(self, message: Message) -> None:
        """Take a message.

        Raises:
            KeyboardInterrupt: The piece is no longer wanted: the client has cancelled it, or is gone.
        """
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state == "cancelled":
            raise KeyboardInterrupt
        with self._lock:
            self._waiting.append(message)
        if message.name == "begun":
            self._flush()  # whoever loses this worker shall know what it was at

    def close(self) -> None:
        """Post what is left."""
        self._ended.set()
        self._posting.join()

    def _post(self) -> None:
        while not self._ended.wait(POST_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self._worker.log_event(self._topic, pickle.dumps(waiting))
