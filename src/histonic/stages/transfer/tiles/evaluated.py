"""One encoder on one tile set: by a linear model or its own heads, and how the predictions are kept."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.errors import HistonicError, RunError
from histonic.core.files import replacing_file
from histonic.core.task import Task
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.tile_heads import load_heads
from histonic.metrics.discrimination.variance import VarianceShares, variance_shares
from histonic.nn.heads import prediction_width
from histonic.stages.transfer.tiles.mlp import classify_codes
from histonic.stages.transfer.tiles.probe import LabelledCodes, LinearModel, probe_codes
from histonic.stages.transfer.tiles.scores import TilePredictions, group_numbers

ARRAYS = ("truth", "outputs", "group")
AGAIN = "Delete it and give the same command again; only this file is made anew."
DAMAGE = (
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What a damaged .npz raises."""
SPLITS = ("train", "val", "test")
FITTED = {"val": ("train",), "test": ("train", "val")}
"""Splits to which the linear model is fitted, by the split that it is evaluated on."""


@dataclass(frozen=True)
class Evaluated:
    """One encoder on one task.

    Attributes:
        set_name: Tile set.
        predictions: Of its evaluated tiles.
        c: The C of the linear model; None where a network was evaluated.
        shares: How much of the codes of all labelled tiles goes with their class and with their source;
            None for values and for heads.
    """

    set_name: str
    predictions: TilePredictions
    c: float | None
    shares: VarianceShares | None = None


def labelled(tiles: TileSet, codes: npt.NDArray[Any], task: Task, splits: Sequence[str]) -> LabelledCodes:
    """Codes, targets and groups of the tiles of some splits; ``codes`` are of all tiles."""
    rows = np.concatenate([tiles.rows(split) for split in splits]).astype(np.int64)
    return LabelledCodes(codes[rows], tiles.targets[task.name][rows], np.asarray(tiles.group)[rows])


def probe_set(
    tiles: TileSet,
    codes: npt.NDArray[Any],
    *,
    seed: int,
    split: str = "test",
    linear: LinearModel = "logistic",
    code_size: int | None = None,
) -> list[Evaluated]:
    """Linear models on frozen codes, for each task of a tile set.

    Args:
        tiles: The set.
        codes: ``(N, D)`` of all its tiles.
        seed: Of the folds.
        split: The tiles to evaluate: ``test`` (fitted to train and val) or ``val`` (fitted to train).
        linear: ``logistic`` or ``svm``.
        code_size: Compare at equal code size.
    """
    evaluated = []
    for task in tiles.tasks:
        train = labelled(tiles, codes, task, FITTED[split])
        result = probe_codes(
            train,
            labelled(tiles, codes, task, [split]),
            task,
            seed=seed,
            model=linear,
            code_size=code_size,
            resamples=0,
        )
        shares = None
        if task.is_classification:
            shares = variance_shares(codes, tiles.targets[task.name], tiles.group.tolist())
        evaluated.append(Evaluated(tiles.plan.name, result.predictions, result.chosen_c, shares))
    return evaluated


def mlp_set(tiles: TileSet, codes: npt.NDArray[Any], *, seed: int) -> list[Evaluated]:
    """A small network on frozen codes ``(N, D)``, for each task of a set: the tile protocol of NIC.

    Args:
        tiles: The set; its validation tiles end the training.
        codes: ``(N, D)`` of all its tiles.
        seed: Of weights and batches.
    """
    evaluated = []
    for task in tiles.tasks:
        train, validation, test = (labelled(tiles, codes, task, [split]) for split in SPLITS)
        predictions = classify_codes(train, validation, test, task, seed=seed)
        evaluated.append(Evaluated(tiles.plan.name, predictions, None))
    return evaluated


def head_set(tiles: TileSet, codes: npt.NDArray[Any], heads_file: Path) -> list[Evaluated]:
    """What a network's own heads say of each task's test tiles; classes weigh equally, as in the probe."""
    heads = load_heads(heads_file)
    evaluated = []
    for task in tiles.tasks:
        here = labelled(tiles, codes, task, ["test"])
        has = np.isfinite(here.targets)
        head = heads[task.name]
        with torch.inference_mode():
            outputs = head.predict(head(torch.from_numpy(here.codes[has]).float()), shrinkage=1.0)
            if task.is_classification:
                outputs = outputs / head.prevalence
                outputs = outputs / outputs.sum(dim=1, keepdim=True)
        predictions = TilePredictions(
            task, here.targets[has], outputs.double().numpy(), group_numbers(here.groups[has])
        )
        evaluated.append(Evaluated(tiles.plan.name, predictions, None))
    return evaluated


def save_evaluated(path: Path, evaluated: Sequence[Evaluated]) -> None:
    """Keep predictions in one .npz file, all or nothing."""
    facts: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    for number, each in enumerate(evaluated):
        shares = None if each.shares is None else asdict(each.shares)
        facts.append(
            {"set": each.set_name, "task": each.predictions.task.to_dict(), "c": each.c, "shares": shares}
        )
        arrays |= {f"{name}{number}": getattr(each.predictions, name) for name in ARRAYS}
    with replacing_file(path) as partial, partial.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)


def load_evaluated(path: Path) -> list[Evaluated]:
    """Predictions that :func:`save_evaluated` kept.

    Raises:
        RunError: The file is damaged.
    """
    try:
        with np.load(path) as file:
            return [
                Evaluated(
                    each["set"],
                    _predictions(Task.from_dict(each["task"]), [file[f"{name}{number}"] for name in ARRAYS]),
                    each["c"],
                    None if each.get("shares") is None else VarianceShares(**each["shares"]),
                )
                for number, each in enumerate(json.loads(str(file["facts"])))
            ]
    except HistonicError as error:
        raise RunError(f"Read {path}.", f"It is damaged: {error.found}", AGAIN) from error
    except DAMAGE as error:
        found = " ".join(f"{type(error).__name__}: {error}".split())
        raise RunError(f"Read {path}.", f"It cannot be read: {found}.", AGAIN) from error


def _predictions(task: Task, arrays: Sequence[npt.NDArray[Any]]) -> TilePredictions:
    """Predictions whose arrays fit each other and the task.

    Raises:
        ValueError: They do not.
    """
    truth, outputs, group = arrays
    wanted = (len(truth), prediction_width(task))
    if truth.ndim != 1 or outputs.shape != wanted or group.shape != truth.shape:
        raise ValueError(f"truth, outputs and group have the shapes {[each.shape for each in arrays]}")
    if not (np.isfinite(truth).all() and np.isfinite(outputs).all()):
        raise ValueError("a prediction or its truth is no finite number")
    return TilePredictions(task, truth, outputs, group)
