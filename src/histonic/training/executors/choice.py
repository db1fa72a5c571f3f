"""The one place where it is chosen who does the pieces of a job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from histonic.core.progress import Progress
from histonic.training.devices import pick_device
from histonic.training.executors.base import Executor, Job
from histonic.training.executors.inline import ThisProcess

A = TypeVar("A")
R = TypeVar("R")


def open_executor(
    job: Job[Any, A, R],
    progress: Progress | None,
    *,
    cluster: str | None,
    device: str,
    workers: int = 1,
    reads: Sequence[Path] = (),
    writes: Path,
) -> Executor[A, R]:
    """The workers of a cluster where one is named, else processes where several are wanted, else this one.

    Args:
        job: What is done with every piece.
        progress: Hears of all pieces.
        cluster: Address of a Dask scheduler, or its file.
        device: ``auto``, ``cpu``, ``cuda`` or, without a cluster, ``cuda:N``.
        workers: Processes on this machine, of its CPU.
        reads: Files and folders that whoever does the pieces has to see.
        writes: Folder into which they publish.

    Raises:
        SettingsError: There is no such cluster or device, or the extra is not installed.
        ExecutorError: Nobody answers, or a worker of the cluster cannot do the work.
    """
    if cluster is not None:
        from histonic.training.executors.cluster import ClusterWorkers

        return ClusterWorkers(job, progress, cluster, device, reads, writes)
    if workers > 1:
        from histonic.training.executors.local import LocalProcesses

        return LocalProcesses(job, progress, workers)
    return ThisProcess(job, progress, pick_device(device))
