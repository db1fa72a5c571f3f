"""Crops around lesions by how much of the crop is lesion: nCAMELYON of Pawlowski et al. (2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from histonic.core.errors import HistonicError, SettingsError, TileSetError
from histonic.core.files import replacing_file, write_csv
from histonic.core.grid import TileGrid
from histonic.core.notebooks.results import Result
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.core.units import XY
from histonic.data.annotations.finding import find_annotations
from histonic.data.annotations.reading import annotations_of
from histonic.data.annotations.shapes import LabelRule
from histonic.data.annotations.shares import label_shares
from histonic.data.maps.failures import Failure
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.slides.areas import words_of
from histonic.slides.base import Slide, open_slide
from histonic.slides.tissue.polygons import UNCLASSIFIED
from histonic.stages.explain.lesion import SHAPES, says_none
from histonic.stages.simulate.folder import claim
from histonic.stages.simulate.settings import CropKeywords, CropSettings
from histonic.stages.tiles.groups import split_groups

STEPS = 8
"""Places along a side of a crop at which it can begin, and squares in which its lesion is measured."""
WHOLE = 0.999
"""Share of a lesion that has to lie in a crop for all of it to."""
GREEN = 200
"""Mean green above which a crop of a slide without lesion counts as glass."""
NEGATIVE_TRIES = 20
COLUMNS = ("path", "label", "split", "group", "slide", "x", "y", "share")
Shares = npt.NDArray[np.float64]


@dataclass(repr=False)
class CropResult(Result):
    """What was cut.

    Attributes:
        out: The folder.
        counts: Band -> crops with lesion; ``normal`` -> crops without, which all bands share.
        failures: Slides that could not be read.
    """

    out: Path
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Band:
    """Shares of a crop that are lesion: more than ``low``, less than ``high``."""

    name: str
    low: float
    high: float


def simulate_crops(
    settings: CropSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[CropKeywords],
) -> CropResult:
    """Cut crops that hold a lesion wholly, by the share of the crop that it covers, and crops without.

    A lesion is what is drawn and hangs together. In a band its crops hold all of it, and their share of
    lesion lies within the band. Crops with a black pixel are left out, and on slides without lesion those
    whose mean green is above 200, which are glass. Crops of a slide stay in one split.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slides=["mosaic/slides"]``, ``masks="mosaic/masks"``,
            ``out="crops"``.

    Returns:
        What was cut. In the folder: crops (PNG) in ``normal/`` and ``BAND/``, and for each band ``BAND.csv``,
        a tile set with the labels lesion and normal (x and y are level-0 pixels of the slide).

    Raises:
        SettingsError: A setting is wrong, no slide was given, or the folder holds others.
        TileSetError: No slide gave a crop with lesion.
        OutputError: A file cannot be written.
    """
    resolved = resolve(CropSettings, settings, values)
    listener = heard(progress)
    bands = [parse_band(text) for text in resolved.bands]
    rows = read_slide_list(resolved.slides, resolved.slide_sheet, resolved.names)
    drawn, _ = find_annotations(resolved.masks, [row.slide_id for row in rows])
    if missing := [row.slide_id for row in rows if row.slide_id not in drawn and not resolved.unannotated]:
        raise SettingsError(
            "Cut crops by their share of lesion.",
            f"{len(missing)} slide(s) have no annotation file, first {missing[0]!r}.",
            "Draw them, or say --unannotated if slides without a file hold no lesion.",
        )
    apart = {"out", "slides", "masks"}
    claim(resolved.out, "crops", resolved.model_dump(mode="json", exclude=apart))
    split = split_groups(
        [row.slide_id for row in rows],
        val_share=resolved.val_share,
        test_share=resolved.test_share,
        seed=resolved.seed,
    )
    result = CropResult(resolved.out)
    listed: dict[str, list[dict[str, Any]]] = {band.name: [] for band in bands}
    normal: list[dict[str, Any]] = []
    listener.stage("crops", len(rows))
    for row in rows:
        try:
            for name, facts in _crops_of(row, drawn.get(row.slide_id), bands, resolved, listener):
                (normal if name == "normal" else listed[name]).append({**facts, "split": split[row.slide_id]})
        except HistonicError as error:
            result.failures.append(Failure(row.slide_id, str(row.path), "crops", error.found))
        listener.advance(note=row.slide_id)
    if not any(listed.values()):
        reasons = f" First failure: {result.failures[0].reason}" if result.failures else ""
        raise TileSetError(
            "Cut crops by their share of lesion.",
            f"No lesion of {len(rows)} slide(s) fits a crop of {resolved.crop_px} px at {resolved.mpp} µm/px "
            f"in the bands {', '.join(resolved.bands)}.{reasons}",
            "Give other --bands, --crop-px or --mpp.",
        )
    result.counts = {name: len(found) for name, found in listed.items()} | {"normal": len(normal)}
    for name, found in listed.items():
        write_csv(resolved.out / f"{name}.csv", COLUMNS, [*found, *normal])
    return result


def parse_band(text: str) -> Band:
    """Read LOW-HIGH.

    Raises:
        SettingsError: It is not two rising shares.

    Example:
        >>> parse_band("0.01-0.1")
        Band(name='0.01-0.1', low=0.01, high=0.1)
    """
    try:
        low, high = (float(part) for part in text.split("-"))
        good = 0 <= low < high <= 1
    except ValueError:
        good = False
    if not good:
        raise SettingsError(
            f"Read the band {text!r}.", "It is not two rising shares of 0 to 1.", "Write LOW-HIGH: 0.01-0.1."
        )
    return Band(text.strip(), low, high)


def _crops_of(
    row: SlideRow, file: Path | None, bands: Sequence[Band], settings: CropSettings, progress: Progress
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write the crops of a slide; band or ``normal``, and what the table says of it."""
    rng = np.random.default_rng([settings.seed, 43, *row.slide_id.encode()])
    with open_slide(row.path, mpp=row.mpp, default_mpp=settings.slide_mpp) as slide:
        step = max(1, settings.crop_px // STEPS)
        grid = TileGrid.over(slide.size_wh, slide_mpp=slide.mpp, tile_px=step, mpp=settings.mpp)
        shares = _lesion(file, row.slide_id, grid, settings.lesion, progress)
        if not shares.any():
            for number, (at, pixels) in enumerate(_negatives(slide, grid, settings, rng)):
                yield (
                    "normal",
                    _write("normal", row.slide_id, number, grid.cell_xy(at), pixels, 0.0, settings.out),
                )
            return
        pieces, count = ndimage.label(shares > 0, np.ones((3, 3)))
        number = 0
        for band in bands:
            for piece in range(1, count + 1):
                for at, share in places_of(shares, pieces == piece, band, settings.per_lesion, rng):
                    crop = _read(slide, grid, at, settings.crop_px)
                    if crop is None:
                        continue
                    yield (
                        band.name,
                        _write(band.name, row.slide_id, number, grid.cell_xy(at), crop, share, settings.out),
                    )
                    number += 1


def _lesion(
    file: Path | None, name: str, grid: TileGrid, classes: Sequence[str], progress: Progress
) -> Shares:
    """The share of each square of a grid that is lesion."""
    total = np.zeros(tuple(grid.shape))
    if file is None or says_none(file):
        return total
    found = annotations_of(file, LabelRule({UNCLASSIFIED: SHAPES}), slide=name, size_wh=grid.slide_wh)
    if found.repaired:
        progress.say(f"{name}: {file.name}: repaired {words_of(found.repaired)}")
    named = {SHAPES, *(each.casefold() for each in classes)}
    for label, share in label_shares(found, grid).labels.items():
        if not classes or label.casefold() in named:
            total = np.minimum(total + share, 1)
    return total


def places_of(
    shares: Shares,
    piece: npt.NDArray[np.bool_],
    band: Band,
    most: int,
    rng: np.random.Generator,
) -> list[tuple[tuple[int, int], float]]:
    """Where crops can begin that hold a lesion wholly and whose share of lesion lies in a band.

    Args:
        shares: ``(R, K)`` lesion of each square, an eighth of a crop wide.
        piece: Which squares are of this lesion.
        band: The band.
        most: At most so many, drawn at random.
        rng: Source of randomness.

    Returns:
        Row and column of the first square, and the share of the crop that is lesion.

    Example:
        >>> shares = np.zeros((12, 12))
        >>> shares[5, 5] = 1.0
        >>> found = places_of(shares, shares > 0, Band("b", 0.01, 0.1), 3, np.random.default_rng(0))
        >>> len(found), round(found[0][1], 4)
        (3, 0.0156)
    """
    area = float(shares[piece].sum()) / STEPS**2
    if area >= band.high or min(shares.shape) < STEPS:
        return []
    whole, own = (_window_sums(each) / STEPS**2 for each in (shares, np.where(piece, shares, 0)))
    fits = (own >= WHOLE * area) & (whole > band.low) & (whole < band.high)
    found = np.argwhere(fits)
    if len(found) > most:
        found = found[np.sort(rng.permutation(len(found))[:most])]
    return [((int(r), int(c)), float(whole[r, c])) for r, c in found]


def _window_sums(values: Shares) -> Shares:
    """Sums of all windows of ``STEPS`` squares a side."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    s = STEPS
    found: Shares = sums[s:, s:] - sums[:-s, s:] - sums[s:, :-s] + sums[:-s, :-s]
    return found


def _read(slide: Slide, grid: TileGrid, at: tuple[int, int], side: int) -> npt.NDArray[np.uint8] | None:
    """The pixels of a crop; None if it reaches beyond the slide or has a black pixel."""
    corner, extent = grid.cell_xy(at), side * grid.scale
    if corner.x + extent > grid.slide_wh.w or corner.y + extent > grid.slide_wh.h:
        return None
    pixels = slide.read(corner, (side, side), grid.mpp)
    return None if (pixels == 0).all(axis=2).any() else pixels


def _negatives(
    slide: Slide, grid: TileGrid, settings: CropSettings, rng: np.random.Generator
) -> Iterator[tuple[tuple[int, int], npt.NDArray[np.uint8]]]:
    """Crops of a slide without lesion that show tissue."""
    rows, cols = (max(0, length - STEPS + 1) for length in grid.shape)
    found = 0
    for place in rng.permutation(rows * cols)[: NEGATIVE_TRIES * settings.per_negative].tolist():
        at = divmod(place, cols)
        pixels = _read(slide, grid, at, settings.crop_px)
        if pixels is None or pixels[:, :, 1].mean() > GREEN:
            continue
        yield at, pixels
        found += 1
        if found == settings.per_negative:
            return


def _write(
    folder: str,
    slide: str,
    number: int,
    corner: XY,
    pixels: npt.NDArray[np.uint8],
    share: float,
    out: Path,
) -> dict[str, Any]:
    name = f"{folder}/{slide}-{number:05d}.png"
    with replacing_file(out / name) as partial:
        Image.fromarray(pixels).save(partial, format="PNG")
    label = "normal" if folder == "normal" else "lesion"
    facts = {"path": name, "label": label, "group": slide, "slide": slide, "share": round(share, 6)}
    return {**facts, "x": round(corner.x, 2), "y": round(corner.y, 2)}
