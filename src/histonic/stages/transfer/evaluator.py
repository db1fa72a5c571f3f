"""Training and evaluation of encoders on tile sets, where everything that is finished is found again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from histonic.core.errors import RunError, SettingsError
from histonic.core.files import hash_of, require_writable_folder, write_text
from histonic.core.progress import Progress, heard
from histonic.core.settings import StainNormalisation, StainSettings, make_settings, plain_settings
from histonic.data.tables.issues import list_names
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, check_across
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.runs.files import versions
from histonic.runs.run import read_kept_settings
from histonic.stages.encoder.inputs import read_set
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.transfer.pieces import open_trainings, train_all
from histonic.stages.transfer.selection import with_changes
from histonic.stages.transfer.settings import EvaluatorSettings
from histonic.stages.transfer.tiles.encoding import encode_tiles
from histonic.stages.transfer.tiles.evaluated import (
    Evaluated,
    head_set,
    load_evaluated,
    mlp_set,
    probe_set,
    save_evaluated,
)
from histonic.training.devices import pick_device
from histonic.training.executors.sending import sendable

GIVEN = ("out", "sets", "tiles", "slides", "cache")
"""Settings of a training that the evaluator gives itself; a seed in base is the first of the seeds."""


class Evaluator:
    """Trains and evaluates encoders in one folder; the same settings go on where they stopped.

    Args:
        settings: Tile sets, base settings, and how to evaluate. They are kept as ``settings.yaml``.
        progress: Listener to the progress.
        taken: Names that no given encoder may have.
        by_tiles: Whether encoders are evaluated on the sets, which then need test tiles.

    Attributes:
        given: Encoders that are not trained here: name -> as given.
        first_seed: Of the trainings.

    Raises:
        SettingsError: A setting of ``base`` is wrong, two sets or encoders share a name, or the folder is
            that of another command.
        EncoderError: A given encoder cannot be loaded.
        TileSetError: A set cannot be used.
        OutputError: The folder cannot be written to.
    """

    def __init__(
        self,
        settings: EvaluatorSettings,
        progress: Progress | None,
        taken: Sequence[str] = (),
        *,
        by_tiles: bool = True,
    ) -> None:
        self.settings = settings
        self._wanted: dict[str, TrainEncoderSettings] | None = None
        self.progress = heard(progress)
        self.cache = settings.cache or settings.out / "cache"
        self.given = encoder_names(settings, taken)
        _require_own_folder(settings)
        require_writable_folder(settings.out)
        kept = yaml.safe_dump(plain_settings(settings), sort_keys=True, allow_unicode=True)
        write_text(settings.out / "settings.yaml", kept)
        if given := [key for key in settings.base if key in GIVEN]:
            raise SettingsError(
                "Read the settings under 'base'.",
                f"{given[0]!r} stands there, which differs from encoder to encoder.",
                "Leave it out; 'sets', 'out' and 'cache' stand beside 'base'.",
            )
        self._sets: dict[tuple[str, int, float, str], TileSet] = {}
        self._codes: tuple[tuple[str, str], npt.NDArray[np.float32]] | None = None
        names = [each.name for each in settings.sets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise SettingsError("Read 'sets'.", f"Two are named {twice[0]!r}.", "Give each its own name.")
        plain = self.training({}, seed=settings.base.get("seed", 0))
        self.first_seed = plain.seed
        # Of a cluster only the trainings: codes are made here, where its GPUs may not be.
        is_for_all = settings.cluster is None or plain.device == "cpu"
        self.device = pick_device(plain.device if is_for_all else "auto")
        ready = [self.tiles(each, plain.tile_px, plain.mpp) for each in settings.sets]
        check_across(ready)
        for tiles in ready if by_tiles else ():
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
        self,
        changes: Mapping[str, Any],
        sets: Sequence[TileSetSettings] = (),
        out: Path | None = None,
        seed: int = 0,
    ) -> TrainEncoderSettings:
        """Settings of one training; without sets and folder only to see whether they can be used.

        Raises:
            SettingsError: ``base`` or the changes hold an unknown key or a wrong value.
        """
        values = with_changes(self.settings.base, changes)
        given = {
            "out": out or self.settings.out,
            "sets": tuple(sets or self.settings.sets[:1]),
            "seed": seed,
            "cache": self.cache,
        }
        made = make_settings(TrainEncoderSettings, {**values, **given}, "the settings under 'base'")
        return made if self.settings.cluster is None else sendable(made, f"Train into {made.out}.")

    def train(
        self, changes: Mapping[str, Any], sets: Sequence[TileSetSettings], folder: str, seed: int
    ) -> str:
        """Train an encoder, or find it finished.

        Args:
            changes: To the base settings.
            sets: What it is trained on.
            folder: Below ``runs``.
            seed: Of the training.

        Returns:
            The encoder's file.
        """
        out = self.settings.out / "runs" / slug(folder) / f"seed-{seed}"
        if self._wanted is not None:
            if not (out / "run.json").is_file():
                self._wanted[str(out)] = self.training(changes, sets, out, seed)
            return str(out / "encoder.safetensors")
        if not (out / "run.json").is_file():
            self.progress.say(f"{folder}, seed {seed}: training on {', '.join(each.name for each in sets)}")
        run = train_encoder(self.training(changes, sets, out, seed), progress=self.progress)
        return str(run / "encoder.safetensors")

    def train_ahead(self, outcomes: Callable[[], Iterable[object]]) -> None:
        """Train on a cluster, where one is named, what outcomes will need: found by taking them without.

        Args:
            outcomes: Gives them; while they are only rehearsed, encoders that are not there yet are awaited,
                and evaluations empty but for those by which something is chosen.

        Raises:
            SettingsError: There is no such cluster.
            ExecutorError: Nobody answers, or workers were lost again and again.
        """
        cluster = self.settings.cluster
        if cluster is None:
            return
        device = self.training({}, seed=self.first_seed).device
        with open_trainings(train_encoder, self.settings.out, cluster, device, self.progress) as executor:
            while wanted := self._rehearse(outcomes):
                train_all(executor, wanted, self.progress)

    def _rehearse(self, outcomes: Callable[[], Iterable[object]]) -> dict[str, TrainEncoderSettings]:
        wanted = self._wanted = {}
        try:
            for _ in outcomes():
                pass
        finally:
            self._wanted = None
        return wanted

    @property
    def awaited(self) -> int:
        """How many encoders a rehearsal has found missing so far; 0 when it is earnest."""
        return len(self._wanted or ())

    def awaits(self, encoder: str) -> bool:
        """Whether an encoder is still to be trained, in a rehearsal."""
        return self._wanted is not None and str(Path(encoder).parent) in self._wanted

    def tiles(
        self, declared: TileSetSettings, tile_px: int, mpp: float, stain: StainNormalisation | None = None
    ) -> TileSet:
        """A tile set at an encoder's tile size and resolution, its stains as those of the encoder's own."""
        key = (declared.name, tile_px, mpp, "" if stain is None else stain.model_dump_json())
        if key not in self._sets:
            at = {"objective": "multitask", "tile_px": tile_px, "mpp": mpp}
            training = self.training(at, seed=self.first_seed)
            if stain is not None:
                leaving = stain.model_copy(update={"otherwise": "leave"})
                training = training.model_copy(update={"stain": StainSettings(normalisation=leaving)})
            self._sets[key] = read_set(declared, training, self.progress)
        return self._sets[key]

    def clear_cache(self) -> None:
        """Remove the decoded tiles of a finished call, unless they have a folder of their own."""
        self._sets.clear()
        if self.settings.cache is None:
            shutil.rmtree(self.cache, ignore_errors=True)

    def frozen(
        self, encoder: str, declared: TileSetSettings, seed: int, split: str = "test"
    ) -> list[Evaluated]:
        """Linear models on an encoder's frozen codes of a set."""
        how: dict[str, Any] = {
            "linear": self.settings.linear,
            "code_size": self.settings.equal_code_size,
            "seed": seed,
            "split": split,
        }
        how_kept = {"mode": "frozen, shares", **how}
        return self._kept(encoder, declared, how_kept, lambda tiles, codes: probe_set(tiles, codes, **how))

    def mlp(self, encoder: str, declared: TileSetSettings, seed: int) -> list[Evaluated]:
        """Small networks on an encoder's frozen codes of a set."""
        how = {"mode": "mlp", "seed": seed}
        return self._kept(encoder, declared, how, lambda tiles, codes: mlp_set(tiles, codes, seed=seed))

    def headed(self, encoder: str, declared: TileSetSettings) -> list[Evaluated]:
        """The heads of a network that was trained here, on a set."""
        heads = Path(encoder).with_name("heads.safetensors")
        return self._kept(
            encoder,
            declared,
            {"mode": "head", "heads": identity(str(heads))},
            lambda tiles, codes: head_set(tiles, codes, heads),
        )

    def _kept(
        self,
        encoder: str,
        declared: TileSetSettings,
        how: dict[str, Any],
        evaluate: Callable[[TileSet, npt.NDArray[np.float32]], list[Evaluated]],
    ) -> list[Evaluated]:
        """Predictions from the file of an earlier run with the same encoder, tiles and settings, or now."""
        if self.awaits(encoder) or (self._wanted is not None and how.get("split") != "val"):
            return []
        loaded = load_encoder(encoder, device=self.device)
        spec = loaded.spec
        tiles = self.tiles(declared, spec.tile_px, spec.mpp, spec.stain)
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
            save_evaluated(path, evaluate(tiles, self._encoded(encoder, loaded, declared.name, tiles)))
        return load_evaluated(path)

    def _encoded(self, name: str, encoder: Encoder, set_name: str, tiles: TileSet) -> npt.NDArray[np.float32]:
        """Codes of all tiles of a set; those of the last pair of encoder and set are kept."""
        key = (name, set_name)
        if self._codes is None or self._codes[0] != key:
            codes = encode_tiles(
                encoder, tiles, device=self.device, progress=self.progress, stage=f"encoding {set_name}"
            )
            self._codes = (key, codes)
        return self._codes[1]


def _require_own_folder(settings: EvaluatorSettings) -> None:
    """Refuse the folder of another command, whose settings would be written over.

    Raises:
        SettingsError: It has settings that this command does not know, or that cannot be read.
    """
    asked = f"Write into {settings.out}."
    file = settings.out / "settings.yaml"
    if not file.is_file():
        return
    try:
        kept = read_kept_settings(settings.out)
    except RunError as error:
        raise SettingsError(
            asked,
            f"Its {file.name} cannot tell what it holds. {error.found}",
            f"Delete {file} if it is right.",
        ) from error
    known = type(settings).model_fields
    if others := sorted(key for key in kept if key not in known):
        raise SettingsError(
            asked,
            f"It is the folder of another command, with the settings {list_names(others)}.",
            "Choose another folder for 'out'.",
        )


def _require_test(tiles: TileSet) -> None:
    """Refuse a set that nothing can be evaluated on, before any training.

    Raises:
        SettingsError: Its test tiles show fewer than two classes of a task.
    """
    for task in tiles.tasks:
        for split in ("train", "val", "test"):
            values = tiles.targets[task.name][tiles.rows(split)]
            found = len(np.unique(values[np.isfinite(values)]))
            if found < 2:
                raise SettingsError(
                    f"Evaluate encoders on {task.name!r} of the set {tiles.plan.name!r}.",
                    f"Its {split} tiles have {found} different targets.",
                    f"Give tiles of at least two classes the split {split!r}.",
                )


def identity(encoder: str) -> str:
    """A hash of a file, or the name of an encoder that needs none."""
    path = Path(encoder)
    return hash_of(path) if path.is_file() else encoder


def slug(text: str) -> str:
    """A name as a path: everything but letters, digits, dot, comma, equals and slash becomes a dash."""
    return re.sub(r"[^A-Za-z0-9._,=/-]+", "-", text).strip("-/")


def can_be_tuned(encoder: str) -> bool:
    """Whether an encoder has weights that training can begin with; those of a projected one are frozen."""
    if not Path(encoder).is_file():
        return False
    found = load_encoder(encoder)
    return isinstance(found, NetworkEncoder) and found.spec.projection is None


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


def encoder_names(settings: EvaluatorSettings, taken: Sequence[str]) -> dict[str, str]:
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
