"""Maps of a run's patients as a torch data set, for models of one's own on the same folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from histonic.core.errors import RunError, SettingsError
from histonic.core.task import Task
from histonic.core.tissue_box import TissueBox
from histonic.data.maps.remote.opening import RemoteStore, fetch_maps, open_store
from histonic.data.maps.store import Store
from histonic.runs.documents import CohortPatient
from histonic.runs.run import Run

Part = Literal["train", "validation", "test", "all"]


class MapItem(NamedTuple):
    """One slide.

    Attributes:
        features: ``(D, R, K)`` float32, zero outside the mask.
        mask: ``(R, K)`` bool.
        targets: By name: the index of the class, the value, or time and event ``(2,)``; NaN where missing.
        patient_id: Whose slide it is.
        slide_id: Which.
    """

    features: Tensor
    mask: Tensor
    targets: dict[str, Tensor]
    patient_id: str
    slide_id: str


class MapBatch(NamedTuple):
    """Slides of several sizes: features ``(B, D, R, K)``, mask ``(B, R, K)``, targets ``(B, ...)``."""

    features: Tensor
    mask: Tensor
    targets: dict[str, Tensor]
    patient_id: list[str]
    slide_id: list[str]


class MapDataset(Dataset[MapItem]):
    """The maps of some patients of a run, an item a slide.

    ``MapDataset(run, fold=0, part="train")`` has the slides that the run's networks of that fold learned
    from. Maps are read from the store as they are asked for, and cut to the box around their tissue; those
    of a store at a URL are fetched before.

    Args:
        run: A finished run (:class:`histonic.Run`), or its folder.
        fold: Number of the fold, from 0.
        part: ``train``, ``validation`` or ``test`` of that fold; ``all``: every patient of the run.
        repeat: Of repeated cross-validation which.
        store: Of the maps, if it has moved since the training.
        whole: Keep the glass around the tissue.

    Attributes:
        tasks: The targets of the run.
        patients: The patients, in the order of the run.

    Raises:
        RunError: There is no such run, fold or repeat.
        SettingsError: There is no such part.
        StoreError: The store has moved, or is damaged.
    """

    def __init__(
        self,
        run: Run | str | Path,
        fold: int = 0,
        part: Part = "train",
        *,
        repeat: int = 0,
        store: str | Path | None = None,
        whole: bool = False,
    ) -> None:
        if not isinstance(run, Run):
            from histonic.runs.run import read_run

            run = read_run(Path(run))
        self.tasks: tuple[Task, ...] = run.tasks
        self.patients: tuple[CohortPatient, ...] = patients_of(run, fold, part, repeat)
        self.whole = whole
        self._store: Store = open_store(store or run.facts.store)
        if self._store.parts:
            raise SettingsError(
                f"Give the maps of {self._store.path} to a model of your own.",
                f"They are of several parts of a patient: {', '.join(self._store.parts)}.",
                "Open the maps of one part: histonic.Store.open(FOLDER/PART).",
            )
        self._items = [(patient, slide_id) for patient in self.patients for slide_id in patient.slide_ids]
        if isinstance(self._store, RemoteStore):
            fetch_maps(self._store, {slide_id for _, slide_id in self._items})
            # Processes that load in parallel are given what lies here, and no connection.
            self._store = Store.open(self._store.path)

    @property
    def code_size(self) -> int:
        """D, the numbers per cell."""
        return self._store.encoder.spec.code_size

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> MapItem:
        patient, slide_id = self._items[index]
        slide = self._store.map(slide_id)
        rows, cols = (slice(None), slice(None)) if self.whole else TissueBox.of(slide.mask).slices
        codes = np.asarray(slide.features[:, rows, cols], np.float32)
        return MapItem(
            torch.from_numpy(codes),
            torch.from_numpy(slide.mask[rows, cols].copy()),
            {task.name: target_tensor(task, patient) for task in self.tasks},
            patient.patient_id,
            slide_id,
        )

    def __repr__(self) -> str:
        names = ", ".join(task.name for task in self.tasks)
        return f"MapDataset ({len(self)} slides of {len(self.patients)} patients, targets: {names})"


def patients_of(run: Run, fold: int, part: Part, repeat: int = 0) -> tuple[CohortPatient, ...]:
    """The patients of a part of a fold, as the run had them.

    Raises:
        RunError: There is no such fold or repeat.
        SettingsError: There is no such part.
    """
    everyone, place = run.cohort.patients, (repeat, fold)
    if part == "all":
        return everyone
    if part not in ("train", "validation", "test"):
        raise SettingsError(
            f"Take the part {part!r} of a fold.", "There is none.", "Give train, validation, test or all."
        )
    places = {each for patient in everyone for each in patient.tested_in}
    if place not in places:
        raise RunError(
            f"Take fold {fold} (repeat {repeat}) of the run {run.folder}.",
            f"It has the folds {', '.join(str(number) for _, number in sorted(places) if _ == 0)}"
            f" in {len({number for number, _ in places})} repeat(s).",
            "Give one of them, from 0.",
        )

    return tuple(patient for patient in everyone if patient.part_in(repeat, fold) == part)


def target_tensor(task: Task, patient: CohortPatient) -> Tensor:
    """What is known of a patient as numbers; NaN where nothing is."""
    value = patient.targets.get(task.name)
    if task.kind == "survival":
        return torch.tensor(value if isinstance(value, tuple) else (float("nan"),) * 2, dtype=torch.float32)
    if value is None:
        return torch.tensor(float("nan"))
    number = task.classes.index(str(value)) if task.is_classification else value
    return torch.tensor(number, dtype=torch.float32)


def collate_maps(items: Sequence[MapItem]) -> MapBatch:
    """Slides of different sizes as one batch, for ``DataLoader(..., collate_fn=collate_maps)``.

    Smaller maps are filled up with zeros on the right and below, where their mask is False.

    Example:
        >>> small = MapItem(torch.ones(4, 2, 3), torch.ones(2, 3, dtype=torch.bool), {}, "P1", "a")
        >>> large = MapItem(torch.ones(4, 5, 2), torch.ones(5, 2, dtype=torch.bool), {}, "P2", "b")
        >>> batch = collate_maps([small, large])
        >>> batch.features.shape, batch.mask.sum((1, 2)).tolist()
        (torch.Size([2, 4, 5, 3]), [6, 10])
    """
    rows = max(item.mask.shape[0] for item in items)
    cols = max(item.mask.shape[1] for item in items)
    features = torch.zeros(len(items), items[0].features.shape[0], rows, cols)
    mask = torch.zeros(len(items), rows, cols, dtype=torch.bool)
    for place, item in enumerate(items):
        high, wide = item.mask.shape
        features[place, :, :high, :wide] = item.features
        mask[place, :high, :wide] = item.mask
    targets = _stacked([item.targets for item in items])
    return MapBatch(
        features, mask, targets, [item.patient_id for item in items], [item.slide_id for item in items]
    )


def _stacked(each: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    listed = list(each)
    return {name: torch.stack([one[name] for one in listed]) for name in listed[0]}
