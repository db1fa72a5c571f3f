"""Whole slides and annotations to a set of labelled tiles, or tissue to tiles without labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.errors import (
    HistonicError,
    MaskError,
    MissingMppError,
    NoTissueError,
    OutputError,
    SettingsError,
    SlideError,
    TileSetError,
)
from histonic.core.files import hash_of, require_writable_folder
from histonic.core.grid import TileGrid
from histonic.core.processes.prefetch import prefetched
from histonic.core.progress import Progress, Silent
from histonic.core.settings import resolve
from histonic.core.units import WH
from histonic.data.annotations.reading import (
    MASKS,
    annotations_of,
    find_annotations,
    label_rule,
    read_annotations,
)
from histonic.data.annotations.shapes import Annotations, LabelRule
from histonic.data.maps.store import Failure
from histonic.data.tables.slide_lists import SlideRow, read_slide_list
from histonic.slides.base import Slide, fingerprint_file, open_slide
from histonic.slides.tiles import lay_tiles
from histonic.slides.tissue.cells import cell_coverage
from histonic.stages.compress.masks import require_sensible_masks, tissue_and_hash
from histonic.stages.tiles.choice import Choice, choose_tiles
from histonic.stages.tiles.folder import SlideRecord, TileFolder, by_label, require_own_folders
from histonic.stages.tiles.groups import slide_groups, split_groups
from histonic.stages.tiles.settings import ExtractSettings

TILES_AT_A_TIME = 64
BATCHES_AHEAD = 2
STEPS_PER_SLIDE = 100
# A mask is fine enough if 16 of its pixels lie along a tile.
MASK_PIXELS_PER_TILE = 16


@dataclass
class ExtractResult:
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
    settings: ExtractSettings | None = None, /, *, progress: Progress | None = None, **values: Any
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
    rows = read_slide_list(resolved.slides, resolved.slide_sheet, resolved.names)
    require_sensible_masks(rows, resolved)
    job = _Job(resolved, rows, progress or Silent())
    return job.run()


def _require_sense(settings: ExtractSettings) -> None:
    alone = [name for name in ("labels", "exclude", "skip", "background_label") if getattr(settings, name)]
    if settings.annotations is None and alone:
        raise SettingsError(
            f"Use the setting {alone[0]}.",
            "There are no annotations.",
            "Give --annotations, or leave it out.",
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
        self.rule = LabelRule()
        self.files: dict[str, Path] = {}
        if settings.annotations is not None:
            self.rule = label_rule(settings.labels, settings.exclude, settings.skip)
            self.files, unused = find_annotations(settings.annotations, [row.slide_id for row in rows])
            if unused:
                names = ", ".join(file.name for file in unused[:3]) + (" ..." if len(unused) > 3 else "")
                self._note(f"{len(unused)} annotation file(s) without a slide: {names}")
            self._require_known_classes()
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

    def _require_known_classes(self) -> None:
        """Refuse a class that the settings name but no file has; codes of masks are seen only later."""
        found: set[str] = set()
        masks = False
        for file in self.files.values():
            if file.suffix.lower() in MASKS:
                masks = True
                continue
            try:
                drawn = read_annotations(file)
            except MaskError:
                continue  # listed as that slide's failure
            found |= {str(region.label) for region in drawn.regions} | {point.label for point in drawn.points}
        named = {*self.settings.labels, *self.settings.exclude, *self.settings.skip}
        unknown = sorted(name for name in named - found if not (masks and name.isdecimal()))
        if unknown and found:
            raise SettingsError(
                f"Use the class {unknown[0]!r} of the annotations.",
                f"No file has it; the classes found are {', '.join(sorted(found))}.",
                "Correct its name in --labels, --exclude or --skip.",
            )
        named_labels = {self.rule.label_of(name) for name in found if not self.rule.skips(name)}
        require_own_folders({label for label in (*named_labels, self.settings.background_label) if label})

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
        annotations = self.files.get(row.slide_id)
        return {
            "slide": fingerprint_file(row.path),
            "mpp": row.mpp,
            "slide_mpp": self.settings.slide_mpp,
            "annotations": None if annotations is None else hash_of(annotations),
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
                drawn = self._annotations(row, slide, grid)
                stage = "tissue"
                choice = self._choose(row, slide, grid, drawn)
                stage = "tiles"
                self._write(row, slide, grid, choice)
            self.result.done.append(row.slide_id)
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001 - listed with its stage; the run goes on
            if stage == "tiles":
                self.folder.forget(row.slide_id)
            reason = error.reason if isinstance(error, HistonicError) else f"{type(error).__name__}: {error}"
            self.result.failures.append(Failure(row.slide_id, str(row.path), stage, reason))
            self.progress.say(f"{row.path}: failed at {stage}: {reason}")

    def _annotations(self, row: SlideRow, slide: Slide, grid: TileGrid) -> Annotations | None:
        if self.settings.annotations is None:
            return None
        file = self.files.get(row.slide_id)
        if file is None:
            if self.settings.unannotated == "background":
                return None
            raise MaskError(
                f"Cut labelled tiles from {row.path}.",
                f"There is no annotation file named {row.slide_id} in {self.settings.annotations}.",
                "Add it, leave the slide out, or take it as background with --unannotated background.",
            )
        width = int(slide.size_wh.w / grid.tile_side_level0 * MASK_PIXELS_PER_TILE)
        drawn = annotations_of(file, self.rule, slide=slide.name, size_wh=slide.size_wh, least_width_px=width)
        if drawn.passed_over:
            others = ", ".join(f"{count} x {what}" for what, count in sorted(drawn.passed_over.items()))
            self._note(f"{file.name}: passed over {others}")
        return drawn

    def _choose(self, row: SlideRow, slide: Slide, grid: TileGrid, drawn: Annotations | None) -> Choice:
        settings, shares = self.settings, None
        if settings.annotations is None or settings.background_label or settings.on_tissue:
            shares = cell_coverage(tissue_and_hash(slide, row, settings)[0], grid)
        choice = choose_tiles(grid, drawn, shares, settings, row.slide_id)
        if settings.annotations is None and not choice.cuts:
            raise NoTissueError(
                f"Find tissue on {row.path}.", "No whole tile holds enough tissue.", "Give a tissue mask."
            )
        return choice

    def _write(self, row: SlideRow, slide: Slide, grid: TileGrid, choice: Choice) -> None:
        labels = self.labels | {cut.label for cut in choice.cuts}
        require_own_folders(labels)
        self.labels = labels
        rows = self.folder.rows_of(choice.cuts, row.slide_id)
        record = SlideRecord(
            row.slide_id, self.groups[row.slide_id], self._made_of(row), grid.mpp, False, rows,
            choice.largest, choice.left_out,
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
            if name.isdecimal() and label not in largest and label not in self.result.tiles:
                self._note(f"no mask has the code {name} ({label})")
        left_out: Counter[str] = Counter()
        for record in records:
            left_out.update(record.left_out)
        for why, count in sorted(left_out.items()):
            self._note(f"{count} tile(s) left out: {why}")


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
