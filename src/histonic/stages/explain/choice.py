"""Which slides of a run are explained, and by which networks: those that never saw the patient."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from histonic.core.cohort import MARK, part_of
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import SettingsError, StoreError
from histonic.core.task import Task
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.store import MAP_SUFFIX, Store, map_folder, read_map
from histonic.data.names import slide_name
from histonic.runs.predictions import PredictionTable
from histonic.runs.run import Run
from histonic.stages.explain.attribution.views import ExplainedNetwork
from histonic.stages.explain.settings import ExplainSettings
from histonic.training.executors.sending import sendable

Role = Literal["most certain", "least certain"]


def find_task(run: Run, name: str) -> Task:
    """A target of a run by its name.

    Raises:
        SettingsError: There is none.
    """
    for task in run.tasks:
        if task.name == name:
            return task
    raise SettingsError(
        f"Explain the target {name!r} of {run.folder}.",
        f"Its targets are {', '.join(task.name for task in run.tasks)}.",
        "Name one of them with --target.",
    )


def require_store(store: Path, names: Sequence[str]) -> None:
    """Refuse to look for maps where there is no store.

    Raises:
        StoreError: A map is to be found by its name, but the store is not there.
    """
    if not store.is_dir() and any(not name.endswith(MAP_SUFFIX) for name in names):
        raise StoreError(
            f"Explain slides from the store {store}.",
            "There is no such folder; maps are explained, not slides.",
            "Say where the store lies with --store, or make it again with 'histonic compress'.",
        )


def settings_for_workers(settings: ExplainSettings, run: Run) -> ExplainSettings:
    """The settings with absolute paths, those of single maps and of the run's store among them.

    Args:
        settings: Of an explanation on a cluster.
        run: What is explained.
    """
    placed = {
        "store": settings.store or run.facts.store,
        "slide": tuple(
            str(Path(name).absolute()) if name.rstrip("/").endswith(MAP_SUFFIX) else name
            for name in settings.slide
        ),
    }
    return sendable(settings.model_copy(update=placed), f"Explain {run.folder}.")


def require_slides_for_workers(settings: ExplainSettings, store: Path, names: Iterable[str]) -> None:
    """Refuse maps whose slide files are found here, but from the folder of a worker are not.

    Args:
        settings: Of the explanation.
        store: With the maps.
        names: Of slides, or paths of maps; what is wrong with a map is told by who explains it.

    Raises:
        SettingsError: A map knows its slide by a relative path.
    """
    for name in () if settings.slides_at is not None else sorted(set(names)):
        folder = Path(name) if name.rstrip("/").endswith(MAP_SUFFIX) else map_folder(store, name)
        try:
            path = read_map_facts(folder).slide.path
        except StoreError:
            continue
        if path and not Path(path).is_absolute() and Path(path).is_file():
            raise SettingsError(
                f"Explain {slide_of(name)} on a cluster.",
                f"Its map knows the slide by the relative path {path}, which leads elsewhere from workers.",
                "Say with --slides-at in which folder the slides are.",
            )


def slide_of(name: str, parts: Sequence[str] = ()) -> str:
    """The slide that is asked for by its name or by the path of its map.

    Args:
        name: Name or path.
        parts: Of the run's patients: a path tells by its folder of which of them the map is.

    Raises:
        SettingsError: The folder of the path is none of the parts.

    Example:
        >>> slide_of("S1"), slide_of("new/ki67/S1.zarr"), slide_of("new/ki67/S1.zarr", ["he", "ki67"])
        ('S1', 'S1', 'ki67/S1')
    """
    if not name.rstrip("/").endswith(MAP_SUFFIX):
        return name
    path = Path(name)
    slide_id = path.name.removesuffix(MAP_SUFFIX)
    if not parts:
        return slide_id
    part = path.absolute().parent.name
    if part not in parts:
        raise SettingsError(
            f"Explain the map {name}.",
            f"The run's patients have the parts {', '.join(parts)}; the folder of the map, {part!r}, is none "
            "of them.",
            f"Put it into a folder called like its part, such as {parts[0]}/{path.name}.",
        )
    return f"{part}{MARK}{slide_id}"


def find_map(store: Path, name: str, parts: Sequence[str] = ()) -> CompressedSlide:
    """The map of a slide: by its path, or by its name in the store.

    Args:
        store: With the maps.
        name: Name or path.
        parts: See :func:`slide_of`.

    Raises:
        SettingsError: The store has no such map, or its path does not say of which part it is.
        StoreError: The map is damaged.
    """
    if name.rstrip("/").endswith(MAP_SUFFIX):
        slide_id = slide_of(name, parts)
        found = read_map(name.rstrip("/"))
        return replace(found, slide_id=f"{part_of(slide_id)}{MARK}{found.slide_id}") if parts else found
    folder = map_folder(store, name)
    if not folder.is_dir():
        known = Store.open(store).slide_ids
        # Names of files, or letters in another case: as people copy names.
        lower = {each.lower(): each for each in known}
        near = difflib.get_close_matches(slide_name(name).lower(), lower, n=1)
        meant = f"Did you mean {lower[near[0]]!r}? " if near else ""
        raise SettingsError(
            f"Explain the slide {name!r}.",
            f"The store {store} has {len(known)} maps, none of that name"
            + (f"; the first are {', '.join(known[:3])}." if known else "."),
            f"{meant}Give the name of a map of the store, or the path of a map (.zarr).",
        )
    # A map in a folder of stores is known by its part, too.
    return replace(read_map(folder), slide_id=name)


def unseen_networks(
    run: Run, networks: Sequence[ExplainedNetwork], task: Task, slide_id: str
) -> list[ExplainedNetwork]:
    """The networks that had no part of a slide's patient in training or validation.

    All networks for a slide that is not of the cohort; else those by which the patient was predicted out of
    fold.
    """
    patient = run.cohort.patient_of(slide_id)
    if patient is None:
        return list(networks)
    table = rows_of(run.tables[task.name], patient.patient_id)
    folds = table.numbers("fold")
    repeats = table.numbers("repeat") if "repeat" in table.frame else np.zeros(len(folds))
    own = set(zip(repeats.tolist(), folds.tolist(), strict=True))
    return [each for each in networks if (each.member.repeat, each.member.fold) in own]


def rows_of(table: PredictionTable, patient_id: str) -> PredictionTable:
    """The predictions of one patient, a row a repeat."""
    return table.rows(np.array([name == patient_id for name in table.texts("patient_id")], bool))


def require_unseen(networks: Sequence[ExplainedNetwork], task: Task, slide_id: str) -> None:
    """Refuse to explain a patient by networks that learned from that patient.

    Raises:
        SettingsError: No network is left.
    """
    if not networks:
        raise SettingsError(
            f"Explain {task.name!r} on the slide {slide_id!r}.",
            "Its patient was used for the training of every network, so that none can be asked honestly.",
            "Explain patients that were predicted: see predictions/*.csv of the run.",
        )


def chosen_patients(table: PredictionTable, count: int) -> dict[str, Role]:
    """The most and the least certain patients of one target.

    Classes: certainty is the distance between the two highest probabilities, each divided by its mean over
    the patients; the most certain are taken from each predicted class in turn. A value or a risk has no
    probability: certain is what lies far from the middle patient, from above and below in turn.

    Args:
        table: The predictions of the target.
        count: Of each kind, at most; half of the patients if there are fewer.

    Returns:
        Role per patient_id, the most certain first.
    """
    task = table.task
    value = "risk" if task.kind == "survival" else "predicted"
    columns = [f"p_{name}" for name in task.classes] if task.is_classification else [value]
    numbers = pd.DataFrame({name: table.numbers(name) for name in columns})
    means = numbers.groupby(np.array(table.texts("patient_id"))).mean()
    certainty, side = _class_certainty(means) if task.is_classification else _distance(means[value])
    count = min(count, len(means) // 2)
    order = np.argsort(-certainty, kind="stable")
    names = [str(name) for name in means.index]
    most = _in_turn(order, side, count)
    least = [row for row in order[::-1] if row not in most][:count]
    roles: dict[str, Role] = {names[row]: "most certain" for row in most}
    return roles | {names[row]: "least certain" for row in least}


def _class_certainty(means: pd.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    values = means.to_numpy(float)
    balanced = values / np.maximum(values.mean(axis=0), 1e-9)
    balanced /= balanced.sum(axis=1, keepdims=True)
    ranked = np.sort(balanced, axis=1)
    return ranked[:, -1] - ranked[:, -2], balanced.argmax(axis=1)


def _distance(values: pd.Series) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    away = values.to_numpy(float) - float(values.median())
    return np.abs(away), (away < 0).astype(np.int64)


def _in_turn(order: npt.NDArray[np.int64], side: npt.NDArray[np.int64], count: int) -> list[int]:
    """The first of each side, then the second of each, and so on."""
    place = np.zeros(len(order), int)
    for each in np.unique(side):
        mine = order[side[order] == each]
        place[mine] = np.arange(len(mine))
    ranked = sorted((int(place[row]), rank, int(row)) for rank, row in enumerate(order))
    return [row for _, _, row in ranked[:count]]
