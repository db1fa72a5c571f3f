"""Training and judging of encoders on tile sets, where everything that is finished is found again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.errors import SettingsError
from histonic.core.files import replacing_file
from histonic.core.progress import Progress
from histonic.core.settings import make_settings
from histonic.core.task import Task
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, check_across
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.tile_heads import load_heads
from histonic.runs.files import versions
from histonic.stages.encoder.inputs import read_set
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.transfer.probe import LabelledCodes, LinearModel, probe_codes
from histonic.stages.transfer.scores import TilePredictions, group_numbers
from histonic.stages.transfer.selection import with_changes
from histonic.stages.transfer.settings import JudgeSettings
from histonic.training.devices import pick_device

TILES_AT_ONCE = 256
GIVEN = ("out", "sets", "tiles", "slides", "cache")
"""Settings of a training that the judge gives itself; a seed in base is the first of the seeds."""
FITTED = {"val": ("train",), "test": ("train", "val")}
"""Splits to which the linear model is fitted, by the split that it is judged on."""


@dataclass(frozen=True)
class Judged:
    """One encoder on one task.

    Attributes:
        set_name: Tile set.
        predictions: Of its judged tiles.
        c: The C of the linear model; None where the network's own head was judged.
    """

    set_name: str
    predictions: TilePredictions
    c: float | None

    @property
    def task(self) -> Task:
        """The target."""
        return self.predictions.task


def encode_rows(encoder: Encoder, tiles: TileSet, rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Codes ``(len(rows), D)`` of some tiles of a set."""
    parts = [
        encoder.encode(np.ascontiguousarray(tiles.tiles[rows[start : start + TILES_AT_ONCE]]))
        for start in range(0, len(rows), TILES_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty((0, encoder.spec.code_size), np.float32)


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
) -> list[Judged]:
    """Linear models on frozen codes, for each task of a tile set.

    Args:
        tiles: The set.
        codes: ``(N, D)`` of all its tiles.
        seed: Of the folds.
        split: The tiles to judge: ``test`` (fitted to train and val) or ``val`` (fitted to train).
        linear: ``logistic`` or ``svm``.
        code_size: Compare at equal code size.
    """
    judged = []
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
        judged.append(Judged(tiles.plan.name, result.predictions, result.chosen_c))
    return judged


def head_set(tiles: TileSet, codes: npt.NDArray[Any], heads_file: Path, split: str = "test") -> list[Judged]:
    """What the network's own heads say, for each task of a set; classes weigh equally, as in the probe."""
    heads = load_heads(heads_file)
    judged = []
    for task in tiles.tasks:
        here = labelled(tiles, codes, task, [split])
        has = np.isfinite(here.targets)
        head = heads[task.name]
        with torch.inference_mode():
            outputs = head.predict(head(torch.from_numpy(here.codes[has]).float()), trust=1.0)
            if task.is_classification:
                outputs = outputs / head.prevalence
                outputs = outputs / outputs.sum(dim=1, keepdim=True)
        predictions = TilePredictions(
            task, here.targets[has], outputs.double().numpy(), group_numbers(here.groups[has])
        )
        judged.append(Judged(tiles.plan.name, predictions, None))
    return judged


class Judge:
    """Trains and judges encoders in one folder.

    Args:
        settings: Tile sets, base settings, and how to judge.
        progress: Listener to the progress.

    Raises:
        SettingsError: A setting of ``base`` is wrong, or two sets share a name.
        TileSetError: A set cannot be used.
    """

    def __init__(self, settings: JudgeSettings, progress: Progress) -> None:
        self.settings = settings
        self.progress = progress
        self.cache = settings.cache or settings.out / "cache"
        self.base = dict(settings.base)
        self.first_seed = int(self.base.pop("seed", 0))
        if given := [key for key in self.base if key in GIVEN]:
            raise SettingsError(
                "Read the settings under 'base'.",
                f"{given[0]!r} stands there, which differs from encoder to encoder.",
                "Leave it out; 'sets', 'out' and 'cache' stand beside 'base'.",
            )
        self._sets: dict[tuple[str, int, float], TileSet] = {}
        self._codes: tuple[tuple[str, str], npt.NDArray[np.float32]] | None = None
        names = [each.name for each in settings.sets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SettingsError("Read 'sets'.", f"Two are named {twice[0]!r}.", "Give each its own name.")
        plain = self.training({}, settings.sets[:1], settings.out / "runs", 0)
        self.device = pick_device(plain.device)
        ready = [self.tiles(each, plain.tile_px, plain.mpp) for each in settings.sets]
        check_across(ready)
        for tiles in ready:
            _require_test(tiles)

    @property
    def seeds(self) -> list[int]:
        """Of the trainings."""
        return [self.first_seed + number for number in range(self.settings.seeds)]

    def relatives(self, declared: TileSetSettings) -> tuple[TileSetSettings, ...]:
        """The set and all sets that share its ``related`` word: they leave together."""
        return tuple(
            each
            for each in self.settings.sets
            if each.name == declared.name or (declared.related and each.related == declared.related)
        )

    def training(
        self, changes: Mapping[str, Any], sets: Sequence[TileSetSettings], out: Path, seed: int
    ) -> TrainEncoderSettings:
        """Settings of one training.

        Raises:
            SettingsError: ``base`` or the changes hold an unknown key or a wrong value.
        """
        values = with_changes(self.base, changes)
        given = {"out": out, "sets": tuple(sets), "seed": seed, "cache": self.cache}
        return make_settings(TrainEncoderSettings, {**values, **given}, "the settings under 'base'")

    def train(
        self, changes: Mapping[str, Any], sets: Sequence[TileSetSettings], folder: str, seed: int
    ) -> Path:
        """Train an encoder, or find it finished.

        Args:
            changes: To the base settings.
            sets: What it is trained on.
            folder: Below ``runs``.
            seed: Of the training.

        Returns:
            The run's folder.
        """
        out = self.settings.out / "runs" / slug(folder) / f"seed-{seed}"
        if not (out / "run.json").is_file():
            self.progress.say(f"{folder}, seed {seed}: training on {', '.join(each.name for each in sets)}")
        return train_encoder(self.training(changes, sets, out, seed), progress=self.progress)

    def tiles(self, declared: TileSetSettings, tile_px: int, mpp: float) -> TileSet:
        """A tile set at an encoder's tile size and resolution."""
        key = (declared.name, tile_px, mpp)
        if key not in self._sets:
            at = {"objective": "multitask", "tile_px": tile_px, "mpp": mpp}
            training = self.training(at, [declared], self.settings.out / "runs", self.first_seed)
            self._sets[key] = read_set(declared, training, self.progress)
        return self._sets[key]

    def clear_cache(self) -> None:
        """Remove the decoded tiles of a finished call, unless they have a folder of their own."""
        self._sets.clear()
        if self.settings.cache is None:
            shutil.rmtree(self.cache, ignore_errors=True)

    def frozen(self, encoder: str, declared: TileSetSettings, seed: int, split: str = "test") -> list[Judged]:
        """Linear models on an encoder's frozen codes of a set."""
        how = {
            "linear": self.settings.linear,
            "code_size": self.settings.equal_code_size,
            "seed": seed,
            "split": split,
        }
        linear = self.settings.linear
        size = self.settings.equal_code_size
        return self._kept(
            encoder,
            declared,
            {"mode": "frozen", **how},
            lambda tiles, codes: probe_set(
                tiles, codes, seed=seed, split=split, linear=linear, code_size=size
            ),
        )

    def headed(self, run: Path, declared: TileSetSettings) -> list[Judged]:
        """A trained network's own heads on a set."""
        heads = run / "heads.safetensors"
        return self._kept(
            str(run / "encoder.safetensors"),
            declared,
            {"mode": "head", "heads": identity(str(heads))},
            lambda tiles, codes: head_set(tiles, codes, heads),
        )

    def _kept(
        self,
        encoder: str,
        declared: TileSetSettings,
        how: dict[str, Any],
        judge: Callable[[TileSet, npt.NDArray[np.float32]], list[Judged]],
    ) -> list[Judged]:
        """Predictions from the file of an earlier run with the same encoder, tiles and settings, or now."""
        loaded = load_encoder(encoder, device=self.device)
        tiles = self.tiles(declared, loaded.spec.tile_px, loaded.spec.mpp)
        key = {
            **how,
            "encoder": identity(encoder),
            "set": tiles.fingerprint,
            "at": [loaded.spec.tile_px, loaded.spec.mpp],
            "versions": versions(),
        }
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:20]
        path = self.settings.out / "predictions" / f"{slug(declared.name)}-{name}.npz"
        if not path.is_file():
            save_judged(path, judge(tiles, self._encoded(encoder, loaded, declared.name, tiles)))
        return load_judged(path)

    def _encoded(self, name: str, encoder: Encoder, set_name: str, tiles: TileSet) -> npt.NDArray[np.float32]:
        """Codes of all tiles of a set; those of the last pair of encoder and set are kept."""
        key = (name, set_name)
        if self._codes is None or self._codes[0] != key:
            self.progress.stage(f"encoding {set_name}", 1)
            self._codes = (key, encode_rows(encoder, tiles, np.arange(len(tiles.tiles))))
            self.progress.advance(1, encoder.spec.name)
        return self._codes[1]


def _require_test(tiles: TileSet) -> None:
    """Refuse a set that nothing can be judged on, before any training.

    Raises:
        SettingsError: Its test tiles show fewer than two classes of a task.
    """
    for task in tiles.tasks:
        for split in ("train", "val", "test"):
            values = tiles.targets[task.name][tiles.rows(split)]
            found = len(np.unique(values[np.isfinite(values)]))
            if found < 2:
                raise SettingsError(
                    f"Judge encoders on {task.name!r} of the set {tiles.plan.name!r}.",
                    f"Its {split} tiles have {found} different targets.",
                    f"Give tiles of at least two classes the split {split!r}.",
                )


def identity(encoder: str) -> str:
    """A hash of a file, or the name of an encoder that needs none."""
    path = Path(encoder)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else encoder


def slug(text: str) -> str:
    """A name as a path: everything but letters, digits, dot, comma, equals and slash becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._,=/-]+", "-", text).strip("-/")


def can_be_tuned(encoder: str) -> bool:
    """Whether an encoder has weights that training can begin with."""
    return Path(encoder).is_file() and isinstance(load_encoder(encoder), NetworkEncoder)


def begin_with(encoder: str) -> dict[str, Any]:
    """The changes that make a training begin with the weights of an encoder file."""
    spec = load_encoder(encoder).spec
    return {
        "objective": "multitask",
        "weights": Path(encoder),
        "trunk": spec.architecture,
        "code_size": spec.code_size,
        "tile_px": spec.tile_px,
        "mpp": spec.mpp,
    }


def encoder_names(settings: JudgeSettings, taken: Sequence[str]) -> dict[str, str]:
    """Short names of the encoders to compare with: name -> as given.

    Raises:
        SettingsError: Two have the same name, or one is absent.
    """
    named: dict[str, str] = {}
    for given in settings.encoders:
        name = Path(given).stem if Path(given).suffix else given
        if name in named or name in taken:
            raise SettingsError(
                "Read 'encoders'.", f"Two encoders are named {name!r}.", "Rename one of the files."
            )
        load_encoder(given)
        named[name] = given
    return named


def save_judged(path: Path, judged: Sequence[Judged]) -> None:
    """Keep predictions in one .npz file, all or nothing."""
    facts = [{"set": each.set_name, "task": each.task.to_dict(), "c": each.c} for each in judged]
    arrays: dict[str, Any] = {}
    for number, each in enumerate(judged):
        arrays[f"truth{number}"] = each.predictions.truth
        arrays[f"outputs{number}"] = each.predictions.outputs
        arrays[f"group{number}"] = each.predictions.group
    with replacing_file(path) as partial, partial.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)


def load_judged(path: Path) -> list[Judged]:
    """Predictions that :func:`save_judged` kept."""
    with np.load(path) as file:
        return [
            Judged(
                each["set"],
                TilePredictions(
                    Task.from_dict(each["task"]),
                    file[f"truth{number}"],
                    file[f"outputs{number}"],
                    file[f"group{number}"],
                ),
                each["c"],
            )
            for number, each in enumerate(json.loads(str(file["facts"])))
        ]
