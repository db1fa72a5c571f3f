"""From settings to the tile sets that an encoder learns from."""

from __future__ import annotations

import re

from histonic.core.errors import SettingsError
from histonic.core.progress import Progress, warn
from histonic.data.tilesets.plan import TileSetSettings, declare
from histonic.data.tilesets.tile_set import TileSet, check_across, read_tile_set, read_unlabelled
from histonic.stages.encoder.settings import COMPONENTS, TrainEncoderSettings
from histonic.stages.encoder.stains import with_normalised_stains
from histonic.stages.tiles.extract import extract_tiles


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


def read_set(declared: TileSetSettings, settings: TrainEncoderSettings, progress: Progress) -> TileSet:
    """One tile set, brought to the encoder's tiles.

    Raises:
        TileSetError: It cannot be used.
    """
    cache = settings.cache or settings.out / "cache"
    read = read_tile_set
    if settings.objective != "multitask" and not _has_labels(declared):
        read = read_unlabelled
    # Of a composed set labels say which crops are the tissue that the others are laid on.
    if settings.objective == COMPONENTS and declared.scale != "compose":
        read = read_unlabelled
    found = read(
        declared,
        tile_px=settings.tile_px,
        mpp=settings.mpp,
        cache=cache,
        seed=settings.seed,
        progress=progress,
        room=settings.random_crop,
    )
    wanted = settings.stain.normalisation
    return found if wanted is None else with_normalised_stains(found, wanted, cache, progress)


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
        warn(progress, f"no tiles of {failure.path}: {failure.reason}")
    return declare(out, settings.mpp)
