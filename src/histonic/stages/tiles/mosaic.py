"""Slides of real tissue whose right answer is known, made of labelled tiles.

The idea of a controlled signal in a large image is that of Pawlowski et al., Needles in haystacks: on
classifying tiny objects in large images (2019).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.documents import Document, Part, read_document, write_document
from histonic.core.errors import SettingsError
from histonic.core.files import require_writable_folder, write_csv, write_json
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.tilesets.plan import TileSetSettings, declare
from histonic.data.tilesets.tile_set import TileSet, read_tile_set
from histonic.nn.stain import perturb_stains
from histonic.simulate.mosaic_layout import Outline, draw_outline, place_lesion
from histonic.simulate.mosaic_patients import (
    MosaicPatient,
    MosaicPlan,
    MosaicSlide,
    allot_tiles,
    draw_mosaic_patients,
)
from histonic.simulate.mosaic_render import Shade, draw_shade, fill_cells, paint
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.outlines import rings
from histonic.stages.tiles.settings import MosaicKeywords, MosaicSettings

BAND_PX = 512
PATIENT_STREAM, SITE_STREAM, SLIDE_STREAM = 1, 2, 3
TRUTH_COLUMNS = ("patient_id", "slide_id", "pattern", "tissue_cells", "lesion_cells", "tiles_shown")
SETTINGS_APART = {"out", "cache"}
ELSEWHERE = "Choose another folder, or delete this one."


class ShownSet(Part):
    """The tile set that a mosaic shows."""

    name: str
    licence: str


class MosaicFile(Document):
    """``mosaic.json``: what the slides of a folder were made of.

    Attributes:
        settings: Those that decide what is painted.
        tiles: Fingerprint of the tile set.
        set: Its name and licence.
    """

    FORMAT = "histonic-mosaic-1"

    settings: dict[str, Any]
    tiles: str
    set: ShownSet


def simulate_mosaic(
    settings: MosaicSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[MosaicKeywords],
) -> Path:
    """Write a cohort of slides whose tissue is made of real labelled tiles.

    A slide is a square of cells, each of the size of a tile, at (0, 0) and every ``tile_px`` pixels from
    there. Slides that exist are kept when the same command is given again.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``tiles="nodes"``, ``kind="needle"``, ``out="cohort"``.

    Returns:
        The folder: ``slides/<slide_id>.tif``, ``masks/<slide_id>.geojson`` (the lesion in level-0 pixels),
        ``labels.csv`` (patient_id, slide_id, site, split and the label), ``truth.csv``, ``mosaic.json``.

    Raises:
        SettingsError: A class is unknown, there are too few groups of tiles, or the folder holds others.
        TileSetError: The tile set cannot be used.
        OutputError: A file cannot be written.
    """
    resolved = resolve(MosaicSettings, settings, values)
    listener = heard(progress)
    declared = _declared(resolved)
    require_writable_folder(resolved.out)
    cache = resolved.cache or resolved.out / "cache"
    tiles = read_tile_set(
        declared,
        tile_px=resolved.tile_px,
        mpp=resolved.mpp,
        cache=cache,
        seed=resolved.seed,
        progress=listener,
    )
    for note in tiles.notes:
        listener.say(f"{declared.name}: {note}")
    lesion, used = _shown(resolved, tiles)
    cohort = _cohort(resolved, tiles, lesion, used)
    _claim(resolved, declared, tiles)
    facts = _write_slides(resolved, tiles, cohort, listener)
    _write_tables(resolved, cohort, facts)
    if resolved.cache is None:
        del tiles
        shutil.rmtree(cache, ignore_errors=True)
    return resolved.out


def _declared(settings: MosaicSettings) -> TileSetSettings:
    """The tile set of the settings.

    Raises:
        SettingsError: None is given, or two are.
    """
    if settings.set is not None and settings.tiles is None:
        return settings.set
    if settings.tiles is None or settings.set is not None:
        given = "Neither 'tiles' nor 'set' is" if settings.set is None else "Both 'tiles' and 'set' are"
        raise SettingsError("Read the tile set of the mosaic.", f"{given} given.", "Give one of them.")
    # A training tile that is a held-out one, even turned, would stand in a training and in a test patient.
    changes: dict[str, Any] = {"duplicates": "drop"}
    if settings.scale_of_tiles != "mpp":
        changes["scale"] = settings.scale_of_tiles
    if settings.scale_of_tiles == "compose":
        if len(settings.background) != 1:
            raise SettingsError(
                "Lay crops on tissue at their true scale (scale_of_tiles: compose).",
                f"{len(settings.background) or 'No'} classes are given as background.",
                "Name the one class that shows none of the objects: --background CLASS; or give 'set'.",
            )
        changes["rest"] = settings.background[0]
    return declare(settings.tiles, settings.mpp_of_tiles).model_copy(update=changes)


def _shown(settings: MosaicSettings, tiles: TileSet) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which tiles show the lesion, and which are used at all.

    Raises:
        SettingsError: A class is unknown, stands on both sides, or none is left.
    """
    task = tiles.tasks[0]
    asked = f"Show classes of the tile set {tiles.plan.name!r}."
    if len(task.classes) < 2:
        raise SettingsError(asked, f"Its labels are of kind {task.kind}.", "Use a set with classes.")
    lesion = settings.lesion or task.classes[-1:]
    background = settings.background or tuple(each for each in task.classes if each not in lesion)
    for name in (*lesion, *background):
        if name not in task.classes:
            todo = f"Its classes are {', '.join(task.classes)}."
            raise SettingsError(asked, f"There is no class {name!r}.", todo)
    both = sorted(set(lesion) & set(background))
    if both or not background:
        found = f"{both[0]!r} is to be lesion and background." if both else "No class is left as background."
        raise SettingsError(asked, found, "Give each class to one of the two.")
    target = tiles.targets[task.name]
    sides = [np.isin(target, [task.classes.index(name) for name in names]) for names in (lesion, background)]
    return sides[0], sides[0] | sides[1]


def _cohort(
    settings: MosaicSettings, tiles: TileSet, lesion: npt.NDArray[np.bool_], used: npt.NDArray[np.bool_]
) -> list[MosaicPatient]:
    """All patients; those of the test split are made of test tiles alone.

    Raises:
        SettingsError: Too few groups of tiles for so many patients.
    """
    plan = MosaicPlan(
        settings.kind, settings.lesion_share, settings.most_slides, settings.sites, settings.site_effect
    )
    cohort = []
    parts = [("train", settings.patients), ("test", settings.test_patients)]
    for number, (split, count) in enumerate(parts):
        if not count:
            continue
        of_split = (tiles.split == "test") == (split == "test")
        rng = np.random.default_rng([settings.seed, PATIENT_STREAM, number])
        rows = np.flatnonzero(of_split & used)
        try:
            parted = allot_tiles(lesion[rows], tiles.group[rows], count, rng)
        except SettingsError as error:
            raise SettingsError(
                f"Make {count} {split} patients of the tile set {tiles.plan.name!r}.", error.found, error.todo
            ) from error
        cohort += draw_mosaic_patients(plan, split, [(rows[one], rows[other]) for one, other in parted], rng)
    return cohort


def _claim(settings: MosaicSettings, declared: TileSetSettings, tiles: TileSet) -> None:
    """Note in the folder what it holds, so that a later call cannot mix in other slides.

    Raises:
        SettingsError: It holds slides of other settings or tiles, or its note is damaged.
    """
    path = settings.out / "mosaic.json"
    own = settings.model_dump(mode="json", exclude={*SETTINGS_APART, "tiles", "set"})
    shown = ShownSet(name=declared.name, licence=declared.licence)
    wanted = MosaicFile(settings=own, tiles=tiles.fingerprint, set=shown)
    if path.exists():
        found = read_document(MosaicFile, path, SettingsError, ELSEWHERE)
        if found != wanted:
            keys = [key for key in own if found.settings.get(key) != own[key]] or ["the tile set"]
            raise SettingsError(
                f"Make a mosaic in {settings.out}.",
                f"The folder holds slides of another one; different: {', '.join(keys)}.",
                ELSEWHERE,
            )
    write_document(path, wanted)


def _write_slides(
    settings: MosaicSettings, tiles: TileSet, cohort: Sequence[MosaicPatient], progress: Progress
) -> dict[str, dict[str, int]]:
    """Paint the slides that are not there; of all of them, what truth.csv says."""
    facts = {}
    progress.stage("mosaic", sum(len(patient.slides) for patient in cohort))
    for patient in cohort:
        for slide in patient.slides:
            path = settings.out / "slides" / f"{slide.slide_id}.tif"
            drawn = _draw_slide(settings, patient, slide)
            facts[slide.slide_id] = drawn.facts()
            if not path.is_file():
                _write_slide(settings, tiles, patient.site, drawn, path)
            progress.advance(note=slide.slide_id)
    return facts


@dataclass(frozen=True)
class _Drawn:
    """One slide before it is painted."""

    outline: Outline
    lesion: npt.NDArray[np.bool_]
    chosen: npt.NDArray[np.int64]
    turned: npt.NDArray[np.int64]
    rng: np.random.Generator

    def facts(self) -> dict[str, int]:
        """What truth.csv says of it."""
        shown = self.chosen[self.chosen >= 0]
        return {
            "tissue_cells": int(self.outline.cells.sum()),
            "lesion_cells": int(self.lesion.sum()),
            "tiles_shown": len(np.unique(shown)),
        }


def _draw_slide(settings: MosaicSettings, patient: MosaicPatient, slide: MosaicSlide) -> _Drawn:
    """Outline, lesion and tiles of a slide: they depend on the seed and the slide's name alone."""
    rng = np.random.default_rng([settings.seed, SLIDE_STREAM, *slide.slide_id.encode()])
    outline = draw_outline(settings.cells, rng)
    lesion = place_lesion(outline.cells, slide.pattern, slide.share, rng)
    chosen, turned = fill_cells(lesion, outline, patient.lesion, patient.rest, rng)
    return _Drawn(outline, lesion, chosen, turned, rng)


def _write_slide(settings: MosaicSettings, tiles: TileSet, site: str, drawn: _Drawn, path: Path) -> None:
    of_site = np.random.default_rng([settings.seed, SITE_STREAM, *site.encode()])
    shade = draw_shade(of_site, drawn.rng, settings.stain_variation)
    picture = paint(
        tiles.tiles,
        drawn.chosen,
        drawn.turned,
        drawn.outline,
        shade,
        drawn.rng,
        settings.seam_px,
        lambda tissue: restain(tissue, shade),
    )
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[x * settings.tile_px, y * settings.tile_px] for x, y in ring] for ring in shape
                ],
            },
            "properties": {"objectType": "annotation", "classification": {"name": "lesion"}},
        }
        for shape in rings(drawn.lesion)
    ]
    mask = settings.out / "masks" / f"{path.stem}.geojson"
    # The slide comes last: it is the sign that both are there.
    write_json(mask, {"type": "FeatureCollection", "features": features})
    write_pyramid(path, picture, mpp=settings.mpp)


def restain(picture: npt.NDArray[np.uint8], shade: Shade) -> npt.NDArray[np.uint8]:
    """A picture with every stain made stronger or weaker, some rows at a time.

    Args:
        picture: uint8 ``(H, W, 3)``.
        shade: Factors and addends.

    Example:
        >>> grey = np.full((2, 2, 3), 128, np.uint8)
        >>> restain(grey, Shade((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (244.0, 244.0, 244.0)))[0, 0].tolist()
        [128, 128, 128]
    """
    factor, addend = torch.tensor([shade.factor]).float(), torch.tensor([shade.addend]).float()
    out = np.empty_like(picture)
    for top in range(0, len(picture), BAND_PX):
        band = torch.from_numpy(picture[top : top + BAND_PX]).permute(2, 0, 1)[None].float() / 255
        changed = perturb_stains(band, factor, addend)[0].permute(1, 2, 0)
        out[top : top + BAND_PX] = (changed * 255).round().byte().numpy()
    return out


def _write_tables(
    settings: MosaicSettings, cohort: Sequence[MosaicPatient], facts: Mapping[str, Mapping[str, int]]
) -> None:
    labels, truth = [], []
    for patient in cohort:
        own = [facts[slide.slide_id] for slide in patient.slides]
        outcome = dict(patient.outcome)
        if "fraction" in outcome:
            lesion = sum(each["lesion_cells"] for each in own)
            outcome["fraction"] = round(lesion / sum(each["tissue_cells"] for each in own), 4)
        for slide in patient.slides:
            names = {"patient_id": patient.patient_id, "slide_id": slide.slide_id}
            labels.append({**names, "site": patient.site, "split": patient.split, **outcome})
            truth.append({**names, "pattern": slide.pattern, **facts[slide.slide_id]})
    write_csv(settings.out / "labels.csv", list(labels[0]), labels)
    write_csv(settings.out / "truth.csv", TRUTH_COLUMNS, truth)
