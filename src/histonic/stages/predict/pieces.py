"""Patients as pieces of a job: predicted by the networks of a bundle on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from histonic.core.cohort import Patient
from histonic.core.places.urls import Url
from histonic.core.progress import Listener, Progress
from histonic.data.maps.remote.opening import fetch_maps, open_store
from histonic.data.maps.store import Store
from histonic.models.bundle import Bundle, read_bundle
from histonic.models.members import FloatArray
from histonic.stages.predict.predict import predict_by_bundle
from histonic.stages.predict.settings import ExternalSettings
from histonic.training.executors.base import Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.pieces import Unstepped
from histonic.training.executors.sending import paths_of, sendable

MOST_PATIENTS = 32
"""In a piece."""
PIECES_A_WORKER = 4


def predict_external(
    settings: ExternalSettings,
    bundle: Bundle,
    store: Store,
    patients: Sequence[Patient],
    listener: Progress,
) -> list[dict[str, FloatArray]]:
    """What every network of a run says of the patients of another cohort, here or on a cluster.

    Args:
        settings: With run, store, device and cluster.
        bundle: Of the run.
        store: Of the other cohort.
        patients: Of it.
        listener: Hears of it.

    Returns:
        Per network and task ``(P, W)``.

    Raises:
        BundleError: A prediction is no finite number; patient and target are named.
        ExecutorError: Nobody answers, or a worker cannot do the work.
    """
    if settings.cluster is None:
        fetch_maps(store, [name for each in patients for name in each.slide_ids], listener)
        return predict_by_bundle(bundle, patients, store.map, settings.device, listener).values
    asked = f"Test {settings.run} on the cluster {settings.cluster}."
    # The table is read here; of its labels the workers need nothing.
    sent = sendable(settings.model_copy(update={"labels": settings.run, "slide_table": None}), asked)
    job = Job(asked, partial(_prepare, sent.run / "bundle", sent.store), _predict_some, _spoken)
    executor = open_executor(
        job,
        listener,
        cluster=settings.cluster,
        device=settings.device,
        reads=[sent.run / "bundle", *paths_of(sent, "store")],
        writes=settings.run,
    )
    with executor:
        listener.stage("predict", len(patients))
        many = max(1, min(MOST_PATIENTS, len(patients) // (PIECES_A_WORKER * executor.slots)))
        bare = [Patient(each.patient_id, each.slide_ids) for each in patients]
        pieces = [tuple(bare[k : k + many]) for k in range(0, len(bare), many)]
        found = list(executor.results(pieces))
    return [
        {name: np.concatenate([piece[number][name] for piece in found]) for name in found[0][number]}
        for number in range(len(bundle.models))
    ]


class _Opened(NamedTuple):
    bundle: Bundle
    store: Store
    device: str


@contextmanager
def _prepare(bundle: Path, store: Path | Url, device: str) -> Iterator[_Opened]:
    read = read_bundle(bundle)
    yield _Opened(read, open_store(store, joined=bool(read.parts)), device)


def _predict_some(
    opened: _Opened, patients: tuple[Patient, ...], listener: Listener
) -> list[dict[str, FloatArray]]:
    listener.doing(_spoken(patients))
    found = predict_by_bundle(opened.bundle, patients, opened.store.map, opened.device, Unstepped(listener))
    listener.advance(len(patients))
    return found.values


def _spoken(patients: tuple[Patient, ...]) -> str:
    return f"patients {patients[0].patient_id} to {patients[-1].patient_id}"
