"""From settings to the tile sets that an encoder learns from."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from histonic.core.errors import SettingsError
from histonic.core.progress import Progress
from histonic.data.tilesets.plan import TileSetPlan
from histonic.data.tilesets.tile_set import TileSet, check_across, read_tile_set, read_unlabelled
from histonic.stages.extract_tiles import extract_tiles
from histonic.stages.settings import TileSetSettings, TrainEncoderSettings, make_settings

DECLARATION = "set.yaml"
"""File in a folder of tiles that says what 'sets:' would say; 'histonic tiles extract' writes it."""


def read_inputs(settings: TrainEncoderSettings, progress: Progress) -> list[TileSet]:
    """All tile sets of the settings, decoded now or before.

    Raises:
        SettingsError: Two sets share a name, or a declaration cannot be read.
        TileSetError: A set cannot be used.
    """
    declared = [*settings.sets, *(declare(folder, settings.mpp_of_tiles) for folder in settings.tiles)]
    if settings.slides:
        declared.append(_from_slides(settings, progress))
    names = [each.name for each in declared]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(
            "Read the tile sets.",
            f"Two of them are named {twice[0]!r}.",
            "Give each a name of its own under 'sets:'.",
        )
    sets = [read_set(each, settings, progress) for each in declared]
    check_across(sets)
    return sets


def declare(path: Path, mpp: float | None) -> TileSetSettings:
    """The settings of a set given by its path alone: its ``set.yaml``, or its name and ``mpp``.

    Raises:
        SettingsError: ``set.yaml`` cannot be read or holds an unknown key.
    """
    file = path / DECLARATION
    if not file.is_file():
        return TileSetSettings(name=path.stem, path=path, mpp=mpp)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"Read {file}.", f"{' '.join(str(error).split())}.", "Correct it, or use 'sets:'."
        ) from error
    known = {key: value for key, value in dict(values or {}).items() if key in TileSetSettings.model_fields}
    return make_settings(TileSetSettings, {"name": path.name, **known, "path": path}, str(file))


def read_set(declared: TileSetSettings, settings: TrainEncoderSettings, progress: Progress) -> TileSet:
    """One tile set, brought to the encoder's tiles.

    Raises:
        TileSetError: It cannot be used.
    """
    plan = plan_of(declared)
    cache = settings.cache or settings.out / "cache"
    read = read_tile_set
    if settings.objective != "multitask" and not _has_labels(declared):
        read = read_unlabelled
    return read(
        plan, tile_px=settings.tile_px, mpp=settings.mpp, cache=cache, seed=settings.seed, progress=progress
    )


def plan_of(declared: TileSetSettings) -> TileSetPlan:
    """What ``data/tilesets`` has to know of a set; which sets are related is the stages' affair."""
    return TileSetPlan(**declared.model_dump(exclude={"related"}))


def _has_labels(declared: TileSetSettings) -> bool:
    """Whether a set has classes or a label column; one that has none serves objectives without labels."""
    path = declared.path / "tiles.csv" if (declared.path / "tiles.csv").is_file() else declared.path
    if path.is_dir():
        return any(each.is_dir() for each in path.iterdir())
    if path.is_file() and path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            columns = {name.strip() for name in re.split("[,;\t]", file.readline())}
        return columns.issuperset(declared.label)
    return True


def _from_slides(settings: TrainEncoderSettings, progress: Progress) -> TileSetSettings:
    """Unlabelled tiles of the slides' tissue, cut once."""
    out = (settings.cache or settings.out / "cache") / "tiles-of-slides"
    result = extract_tiles(
        slides=settings.slides,
        out=out,
        tile_px=settings.tile_px,
        mpp=settings.mpp,
        max_per_class_per_slide=settings.tiles_per_slide,
        seed=settings.seed,
        progress=progress,
    )
    for failure in result.failures:
        progress.say(f"no tiles of {failure.path}: {failure.reason}")
    return declare(out, settings.mpp)
