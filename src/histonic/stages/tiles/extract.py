"""Whole slides and annotations to a set of labelled tiles, or tissue to tiles without labels."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from histonic.core.errors import (
    HistonicError,
    MissingMppError,
    NoTissueError,
    OutputError,
    SettingsError,
    SlideError,
    TileSetError,
)
from histonic.core.files import hash_of, require_writable_folder
from histonic.core.grid import TileGrid
from histonic.core.notebooks.results import Result
from histonic.core.processes.prefetch import prefetched
from histonic.core.progress import Progress, heard, tell_slide
from histonic.core.settings import resolve
from histonic.core.units import WH, XY
from histonic.data.annotations.shapes import Annotations
from histonic.data.maps.failures import Failure
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.slides.base import Slide, fingerprint_file, open_slide
from histonic.slides.tiles import lay_tiles
from histonic.slides.tissue.cells import cell_coverage
from histonic.stages.compress.masks import require_sensible_masks, tissue_and_hash
from histonic.stages.tiles.choice import Choice, choose_tiles
from histonic.stages.tiles.folder import SlideRecord, TileFolder, by_label, require_own_folders
from histonic.stages.tiles.groups import selected, slide_groups, split_groups
from histonic.stages.tiles.labelling import Labelling
from histonic.stages.tiles.settings import ExtractKeywords, ExtractSettings

TILES_AT_A_TIME = 64
BATCHES_AHEAD = 2
STEPS_PER_SLIDE = 100
LITTLE_USED = 0.5
"""Share of an image that has one label below which a note says how little of it the tiles show."""


@dataclass(repr=False)
class ExtractResult(Result):
    """What an extraction did.

    Attributes:
        out: The folder of the set.
        done: Slides cut now.
        skipped: Slides that were cut before.
        failures: Slides that could not be cut.
        tiles: Number of tiles in the set by label (one entry, named '', for a set without labels).
        notes: What the reader should know: labels without tiles, shapes passed over, unused files.
    """

    out: Path
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tiles: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def extract_tiles(
    settings: ExtractSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[ExtractKeywords],
) -> ExtractResult:
    """Cut tiles from slides into a folder for each label, with ``tiles.csv`` and ``set.yaml``.

    Finished slides are skipped, so the same command resumes after an interruption. A slide that fails is
    listed with stage and reason; the run goes on.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``slides=[...]``, ``annotations="drawn"``, ``out="set"``.

    Raises:
        SettingsError: A setting is wrong, a class that it names is in no annotation file, no slide was
            given, or the folder holds tiles cut by other settings.
        TileSetError: Slides were read, but not one tile has enough of a label.
        OutputError: The set cannot be written.

    Example:
        >>> import tempfile
        >>> from histonic.slides.formats.pyramid import write_pyramid
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     image = np.full((300, 400, 3), (200, 120, 180), np.uint8)
        ...     write_pyramid(f"{folder}/a.tif", image, mpp=0.5)
        ...     extract_tiles(slides=[f"{folder}/a.tif"], out=f"{folder}/set").tiles
        {'': 6}
    """
    resolved = resolve(ExtractSettings, settings, values)
    if not resolved.slides:
        raise SettingsError(
            "Extract tiles.", "No slide was given.", "Give slide files, folders or a CSV with a path column."
        )
    _require_sense(resolved)
    rows = selected(read_slide_list(resolved.slides, resolved.slide_sheet, resolved.names), resolved.only)
    require_sensible_masks(rows, resolved)
    job = _Job(resolved, rows, heard(progress))
    return job.run()


def _require_sense(settings: ExtractSettings) -> None:
    asked_for = ("annotations", "image_labels", "label_pattern")
    sources = [name for name in asked_for if getattr(settings, name) is not None]
    if len(sources) > 1:
        raise SettingsError(
            "Label the tiles.", f"{sources[0]} and {sources[1]} are both given.", "Give only one of them."
        )
    drawn_only = ("background_label", "labels_by", "points_order", "boxes")
    alone = [name for name in ("labels", "exclude", "skip", *drawn_only) if getattr(settings, name)]
    needless = alone if not settings.is_labelled else [name for name in drawn_only if name in alone]
    if settings.annotations is None and needless:
        raise SettingsError(
            f"Use the setting {needless[0]}.",
            "There are no annotations.",
            "Give --annotations, or leave it out.",
        )
    if settings.image_columns and settings.image_labels is None:
        raise SettingsError(
            "Use the setting image_columns.", "There is no table of labels.", "Give --image-labels."
        )
    if settings.labels_images and settings.exclude:
        raise SettingsError(
            "Exclude a class.", "Images are labelled as a whole.", "Leave images of a class out with --skip."
        )
    if settings.unannotated == "background" and not settings.background_label:
        raise SettingsError(
            "Take slides without annotation as background.",
            "The background has no label.",
            "Give --background-label.",
        )


class _Job:
    """One run of the stage: a thread reads tiles ahead, this one writes them."""

    def __init__(self, settings: ExtractSettings, rows: Sequence[SlideRow], progress: Progress) -> None:
        self.settings = settings
        self.rows = rows
        self.progress = progress
        self.result = ExtractResult(settings.out)
        self.groups = slide_groups(rows, settings)
        self.labelling = Labelling(rows, settings, self._note)
        self.used: dict[str, float] = {}
        self.folder = TileFolder(settings.out)
        self.labels: set[str] = set()

    def run(self) -> ExtractResult:
        """Cut all slides, then write the table."""
        self.folder.require_own(self.settings)
        before = self.folder.read_records()
        self.labels = {tile["label"] for record in before for tile in record.tiles}
        splits = split_groups(
            [*self.groups.values(), *(record.group for record in before)],
            val_share=self.settings.val_share,
            test_share=self.settings.test_share,
            seed=self.settings.seed,
        )
        require_writable_folder(self.settings.out)
        self.folder.begin(self.settings)
        waiting = [row for row in self.rows if not self._is_done(row)]
        if self.result.skipped:
            self.progress.say(f"{len(self.result.skipped)} slide(s) are cut already and skipped")
        self.progress.stage("extract", len(waiting) * STEPS_PER_SLIDE)
        for row in waiting:
            self._one_slide(row)
        failed = [{"slide": each.slide_id, "reason": each.reason} for each in self.result.failures]
        counts = self.folder.finish(self.settings, splits, failed)
        self.result.tiles = by_label(counts)
        self._look_back()
        for split in sorted(set(splits.values())):
            for label in sorted(set(self.result.tiles) - {name for name, place in counts if place == split}):
                self._note(
                    f"no tile of {label!r} in the split {split}: choose another --seed or other shares"
                )
        return self.result

    def _note(self, line: str) -> None:
        self.result.notes.append(line)
        self.progress.say(line)

    def _is_done(self, row: SlideRow) -> bool:
        """Whether the tiles of the same slide and annotations are there."""
        record = self.folder.read_record(row.slide_id)
        try:
            same = record is not None and record.done and record.made_of == self._made_of(row)
        except (HistonicError, OSError):
            return False
        if same:
            self.result.skipped.append(row.slide_id)
        return same

    def _made_of(self, row: SlideRow) -> dict[str, Any]:
        return {
            "slide": fingerprint_file(row.path),
            "mpp": row.mpp,
            "slide_mpp": self.settings.slide_mpp,
            **self.labelling.made_of(row),
            "mask": None if row.mask is None else hash_of(row.mask),
            "group": self.groups[row.slide_id],
        }

    def _one_slide(self, row: SlideRow) -> None:
        """Cut one slide, or list why not; tiles cut before stay until there are new ones."""
        stage = "open"
        try:
            _require_plain_name(row)
            with open_slide(
                row.path, mpp=row.mpp, default_mpp=self.settings.slide_mpp, reader=self.settings.reader
            ) as slide:
                grid = _grid(slide, self.settings)
                stage = "annotations"
                drawn = self.labelling.of(row, slide, grid)
                stage = "tissue"
                choice = self._choose(row, slide, grid, drawn)
                stage = "tiles"
                self._write(row, slide, grid, choice)
            self.result.done.append(row.slide_id)
            tell_slide(self.progress, row.slide_id)
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001 - listed with its stage; the run goes on
            if stage == "tiles":
                self.folder.forget(row.slide_id)
            reason = error.reason if isinstance(error, HistonicError) else f"{type(error).__name__}: {error}"
            self.result.failures.append(Failure(row.slide_id, str(row.path), stage, reason))
            tell_slide(self.progress, row.slide_id, reason)
            self.progress.say(f"{row.path}: failed at {stage}: {reason}")

    def _choose(self, row: SlideRow, slide: Slide, grid: TileGrid, drawn: Annotations | None) -> Choice:
        settings, shares = self.settings, None
        if not settings.is_labelled or settings.background_label or settings.on_tissue:
            tissue, _ = tissue_and_hash(slide, row, settings)
            if tissue.note:
                self._note(f"{row.slide_id}: {tissue.note}")
            shares = cell_coverage(tissue, grid)
        choice = choose_tiles(grid, drawn, shares, settings, row.slide_id)
        if not settings.is_labelled and not choice.cuts:
            raise NoTissueError(
                f"Find tissue on {row.path}.", "No whole tile holds enough tissue.", "Give a tissue mask."
            )
        if settings.labels_images:
            self._require_some(row, slide, grid, drawn, choice)
        return choice

    def _require_some(
        self, row: SlideRow, slide: Slide, grid: TileGrid, drawn: Annotations | None, choice: Choice
    ) -> None:
        """Refuse an image that no tile fits into, and see how much of it is used."""
        if drawn is None or not drawn.regions:
            return  # its class is skipped
        if not choice.cuts:
            side = grid.tile_side_level0
            raise SlideError(
                f"Cut tiles from the image {row.path}.",
                f"No tile of {side:.0f} px lies on its {slide.size_wh.w} x {slide.size_wh.h} px"
                + (" with enough tissue." if self.settings.on_tissue else "."),
                "Cut smaller tiles with --tile-px, or correct its mpp.",
            )
        self.used[row.slide_id] = covered_share([cut.xy for cut in choice.cuts], grid)

    def _write(self, row: SlideRow, slide: Slide, grid: TileGrid, choice: Choice) -> None:
        labels = self.labels | {cut.label for cut in choice.cuts}
        require_own_folders(labels)
        self.labels = labels
        rows = self.folder.rows_of(choice.cuts, row.slide_id)
        record = SlideRecord(
            row.slide_id, self.groups[row.slide_id], self._made_of(row), grid.mpp, False, rows,
            choice.largest, choice.left_out, grid.tile_side_level0,
        )  # fmt: skip
        self.folder.forget(row.slide_id)
        # Named before they are written, so that the tiles of an interrupted slide can be removed.
        self.folder.keep(record)
        shown = 0
        for number, (tile, place) in enumerate(zip(_tiles(slide, grid, choice), rows, strict=True), start=1):
            self.folder.write_tile(place["path"], tile)
            steps = number * STEPS_PER_SLIDE // len(rows) - shown
            shown += steps
            if steps:
                self.progress.advance(steps, f"{row.slide_id} {number}/{len(rows)} tiles")
        record.done = True
        self.folder.keep(record)

    def _look_back(self) -> None:
        """Say which labels gave no tile, and refuse a set that holds nothing at all."""
        records = self.folder.read_records()
        self.labelling.look_back()
        little = sorted((share, name) for name, share in self.used.items() if share < LITTLE_USED)
        if little:
            self._note(
                f"of {len(little)} image(s) the tiles show less than half, of {little[0][1]} "
                f"{100 * little[0][0]:.0f} %: a label of the whole image may not hold there; smaller tiles, "
                "or a smaller --stride-px, show more"
            )
        largest: dict[str, float] = {}
        for record in records:
            for label, share in record.largest.items():
                largest[label] = max(share, largest.get(label, 0.0))
        empty = {label: share for label, share in sorted(largest.items()) if label not in self.result.tiles}
        found = "; ".join(
            f"the largest share of {label!r} in a tile is {share:.3f}, min_share {self.settings.min_share}"
            for label, share in empty.items()
        )
        if records and not self.result.tiles:
            raise TileSetError(
                f"Cut labelled tiles into {self.settings.out}.",
                f"No tile of {len(records)} slide(s) was cut" + (f": {found}." if found else "."),
                "Lower --min-share, cut smaller tiles with --tile-px, or draw larger regions.",
            )
        if empty:
            self._note(f"no tile: {found}")
        for name, label in self.settings.labels.items():
            code = name.rpartition(":")[2].isdecimal()
            if code and label not in largest and label not in self.result.tiles:
                self._note(f"no mask has the code {name} ({label})")
        left_out: Counter[str] = Counter()
        for record in records:
            left_out.update(record.left_out)
        for why, count in sorted(left_out.items()):
            self._note(f"{count} tile(s) left out: {why}")


def covered_share(corners: Sequence[XY], grid: TileGrid) -> float:
    """The share of a slide that tiles cover, 0 to 1, to a sixteenth of a tile; overlaps count once.

    Args:
        corners: Top-left corners of the tiles, level-0 pixels.
        grid: Says how large tiles and slide are.

    Example:
        >>> grid = TileGrid.over((512, 256), slide_mpp=0.5, tile_px=128, mpp=0.5, stride_px=64)
        >>> covered_share([XY(0, 0), XY(64, 0)], grid)
        0.1875
    """
    step = grid.tile_side_level0 / 16
    shape = (math.ceil(grid.slide_wh.h / step), math.ceil(grid.slide_wh.w / step))
    covered = np.zeros(shape, bool)
    for x, y in corners:
        top, left = round(y / step), round(x / step)
        covered[top : top + 16, left : left + 16] = True
    area = float(grid.slide_wh.w) * float(grid.slide_wh.h) / step**2
    return min(1.0, float(covered.sum()) / area)


def _require_plain_name(row: SlideRow) -> None:
    if not re.fullmatch(r"[^/\\\x00.][^/\\\x00]*", row.slide_id):
        raise SlideError(
            f"Cut tiles from {row.path}.",
            f"Its slide_id {row.slide_id!r} cannot name a file.",
            "Use an identifier without slashes that does not begin with a point.",
        )


def _grid(slide: Slide, settings: ExtractSettings) -> TileGrid:
    asked = f"Cut tiles at {settings.mpp} µm/px from {slide.name}."
    if not slide.has_mpp:
        raise MissingMppError(
            asked,
            "Its header gives no microns per pixel.",
            "Say it: --slide-mpp 0.25 (if 0.25 µm/px is right), or an mpp column in a slide table.",
        )
    return lay_tiles(
        slide,
        tile_px=settings.tile_px,
        mpp=settings.mpp,
        stride_px=settings.stride_px,
        most_enlargement=settings.most_enlargement,
        asked=asked,
        otherwise="Correct its mpp if that is wrong, cut coarser tiles with --mpp",
    )


def _tiles(slide: Slide, grid: TileGrid, choice: Choice) -> Iterator[npt.NDArray[np.uint8]]:
    """Tiles uint8 ``(tile_px, tile_px, 3)`` of the chosen places, read ahead."""
    wh = WH(grid.tile_px, grid.tile_px)
    corners = [cut.xy for cut in choice.cuts]

    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        for start in range(0, len(corners), TILES_AT_A_TIME):
            yield slide.read_many(corners[start : start + TILES_AT_A_TIME], wh, grid.mpp)

    for batch in prefetched(batches(), BATCHES_AHEAD):
        yield from batch
