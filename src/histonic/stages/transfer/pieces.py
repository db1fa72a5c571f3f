"""Trainings of encoders as pieces of a job, for the workers of a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from histonic.core.claims import STALE_S
from histonic.core.errors import RunError
from histonic.core.progress import Listener, Progress
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.training.executors.base import Executor, Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.pieces import Unstepped

Train = Callable[..., Path]
WAIT_S = 2.0


def open_trainings(
    train: Train, out: Path, cluster: str, device: str, progress: Progress
) -> Executor[TrainEncoderSettings, Path]:
    """Who trains encoders on a cluster.

    Args:
        train: Trains one; a function of a module.
        out: Folder of the comparison.
        cluster: Address of a scheduler, or its file.
        device: Of the trainings.
        progress: Hears of all.
    """
    job = Job(f"Train encoders into {out}.", partial(_prepare, train), _train, _spoken)
    return open_executor(job, progress, cluster=cluster, device=device, writes=out)


def train_all(
    executor: Executor[TrainEncoderSettings, Path],
    wanted: Mapping[str, TrainEncoderSettings],
    progress: Progress,
) -> None:
    """Train encoders side by side; each is left in its folder.

    Raises:
        HistonicError: As the training of the first that failed raised it.
    """
    progress.stage("train encoders", len(wanted))
    for run in executor.results(wanted.values()):
        progress.advance(1, f"{run.parent.name}, {run.name}")


@contextmanager
def _prepare(train: Train, device: str) -> Iterator[Train]:
    # The device stands in the settings of each training, which are kept beside it.
    yield train


def _train(train: Train, settings: TrainEncoderSettings, listener: Listener) -> Path:
    """Train one encoder; the claim of a worker that was lost is waited for."""
    began = time.monotonic()
    while True:
        try:
            return train(settings, progress=Unstepped(listener))
        except RunError:
            if time.monotonic() - began > 2 * STALE_S:
                raise
            listener.doing(f"{_spoken(settings)}: waits for another process")
            time.sleep(WAIT_S)


def _spoken(settings: TrainEncoderSettings) -> str:
    return f"{settings.out.parent.name}, {settings.out.name}"
