"""What each slide of an extraction is labelled by: its annotations, its detections, or its own label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histonic.core.errors import MaskError, SettingsError, TableError
from histonic.core.files import hash_of
from histonic.core.grid import TileGrid
from histonic.data.annotations.detections import Detections, is_detections, read_detections
from histonic.data.annotations.finding import find_annotations
from histonic.data.annotations.points import is_without_class
from histonic.data.annotations.reading import MASKS, POINTS, annotations_of, label_rule, read_annotations
from histonic.data.annotations.shapes import Annotations, LabelRule, Region, apply_rule
from histonic.data.tables.slide_lists import SlideRow
from histonic.slides.areas import words_of
from histonic.slides.base import Slide
from histonic.slides.tissue.polygons import UNCLASSIFIED
from histonic.stages.tiles.folder import require_own_folders
from histonic.stages.tiles.groups import by_column
from histonic.stages.tiles.image_labels import labels_of_images
from histonic.stages.tiles.settings import ExtractSettings

# A mask is fine enough if 16 of its pixels lie along a tile.
MASK_PIXELS_PER_TILE = 16
PROVIDER = "data_provider"
"""PANDA's column of who made a mask; the codes of its two providers differ."""


class Labelling:
    """The labels of all slides of an extraction.

    Args:
        rows: The slides.
        settings: Of the extraction.
        note: Told what the reader should know.

    Attributes:
        rule: Which label a class gives; with ``labels_by`` it names classes as ``GROUP:CODE``.

    Raises:
        SettingsError: Annotations are not found or not understood; a class that is named is in none of them.
        TableError: The table of labels, or the column of groups, cannot be used.
        MaskError: A detection set cannot be read.
    """

    def __init__(
        self, rows: Sequence[SlideRow], settings: ExtractSettings, note: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._note = note
        self.rule = LabelRule()
        self._files: dict[str, Path] = {}
        self._hashes: dict[Path, str] = {}
        self._detections: Detections | None = None
        self._codes: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._channels: Counter[str] = Counter()
        self._no_points: list[str] = []
        if not settings.is_labelled:
            return
        self.rule = label_rule(settings.labels, settings.exclude, settings.skip)
        if settings.labels_images:
            self._images, notes = labels_of_images(rows, settings)
            for line in notes:
                note(line)
            self._require_known(set(self._images.values()), masks=False)
        elif settings.annotations is not None and is_detections(settings.annotations):
            self._read_detections(settings.annotations, rows)
        elif settings.annotations is not None:
            self._find_files(settings.annotations, rows)

    def _read_detections(self, file: Path, rows: Sequence[SlideRow]) -> None:
        detections = read_detections(file, self._settings.boxes)
        self._note(f"{file.name}: {detections.note}")
        with_boxes = 0
        owners: dict[str, str] = {}
        for row in rows:
            image = detections.of(row.slide_id, row.path.name)
            if image is not None and owners.setdefault(image.file_name, row.slide_id) != row.slide_id:
                raise SettingsError(
                    f"Use the detections {file}.",
                    f"Its image {image.file_name!r} may be {owners[image.file_name]} or {row.slide_id}.",
                    "Write the folder before the name in the file, or give the images of one folder.",
                )
            # An image without a box may be one that nobody labelled.
            if image is not None and image.points:
                self._files[row.slide_id] = file
                with_boxes += 1
        if not with_boxes:
            some = ", ".join(list(detections.images)[:3])
            raise SettingsError(
                f"Use the detections {file}.",
                f"It has no box for any of the {len(rows)} slide(s); its images are {some} ...",
                "Give its images, under the names that it has for them.",
            )
        self._detections = detections
        self._require_known(set(detections.categories), masks=False)

    def _find_files(self, path: Path, rows: Sequence[SlideRow]) -> None:
        places = {row.slide_id: row.path.as_posix() for row in rows if isinstance(row.path, Path)}
        self._files, unused = find_annotations(path, [row.slide_id for row in rows], places)
        if unused:
            names = ", ".join(file.name for file in unused[:3]) + (" ..." if len(unused) > 3 else "")
            self._note(f"{len(unused)} annotation file(s) without a slide: {names}")
        if self._settings.labels_by is not None:
            self._codes = by_column(
                rows, self._settings, self._settings.labels_by, "Tell codes of masks apart"
            )
            self._require_known_groups()
        elif any(file.suffix.lower() in MASKS for file in self._files.values()):
            self._doubt_providers(rows)
        self._require_known_classes()

    def _doubt_providers(self, rows: Sequence[SlideRow]) -> None:
        """Say that masks of several providers are read by one meaning of their codes."""
        try:
            providers = by_column(rows, self._settings, PROVIDER, "Look for providers of masks")
        except TableError:
            return  # there is no such column
        if len(several := sorted(set(providers.values()))) > 1:
            self._note(
                f"WARNING: the slide table has masks of several providers ({', '.join(several)}), and each "
                f"code is taken to mean the same in all; if it does not, say --labels-by {PROVIDER}"
            )

    def _require_known_groups(self) -> None:
        groups = sorted(set(self._codes.values()))
        for name in self.rule.named:
            group, colon, _ = name.rpartition(":")
            if not colon or group not in groups:
                raise SettingsError(
                    f"Use the class {name!r} where codes differ by {self._settings.labels_by!r}.",
                    f"It does not begin with one of {', '.join(groups)} and a colon.",
                    f"Say whose code it is: --labels {groups[0]}:{name.rpartition(':')[2]}=LABEL.",
                )

    def _require_known_classes(self) -> None:
        """Refuse a class that the settings name but no file has; codes of masks are seen only later."""
        found: set[str] = set()
        masks = False
        for file in self._files.values():
            suffix = file.suffix.lower()
            if suffix in MASKS:
                masks = True
                continue
            if suffix in POINTS:
                self._require_understood(file)
            try:
                drawn = read_annotations(file, points_order=self._settings.points_order)
            except MaskError:
                continue  # listed as that slide's failure
            found |= {str(region.label) for region in drawn.regions} | {point.label for point in drawn.points}
        self._require_known(found, masks)

    def _require_understood(self, file: Path) -> None:
        """Refuse points without a class, or without an order of columns, for all slides at once."""
        asked = f"Read the points {file}."
        try:
            is_bare = is_without_class(file, asked)
        except MaskError:
            return
        if not is_bare:
            return
        if self._settings.points_order is None:
            try:
                read_annotations(file)
            except MaskError as error:
                if "--points-order" in error.todo:
                    raise SettingsError(error.asked, error.found, error.todo) from error
        if UNCLASSIFIED not in self.rule.named:
            raise SettingsError(
                asked,
                "It says no class of its points.",
                f"Say what they are: --labels {UNCLASSIFIED}=mitosis.",
            )

    def _require_known(self, found: set[str], masks: bool) -> None:
        def may_be_code(name: str) -> bool:
            return masks and name.rpartition(":")[2].isdecimal()

        unknown = sorted(name for name in {*self.rule.named} - found if not may_be_code(name))
        if unknown and found:
            raise SettingsError(
                f"Use the class {unknown[0]!r} of the annotations.",
                f"No file has it; the classes found are {', '.join(sorted(found))}.",
                "Correct its name in --labels, --exclude or --skip.",
            )
        labels = {self.rule.label_of(name) for name in found if not self.rule.skips(name)}
        require_own_folders({label for label in (*labels, self._settings.background_label) if label})

    def made_of(self, row: SlideRow) -> dict[str, Any]:
        """What the labels of a slide depend on.

        Raises:
            OSError: Its annotation file cannot be read.
        """
        file = self._files.get(row.slide_id)
        if file is not None and file not in self._hashes:
            self._hashes[file] = hash_of(file)
        found: dict[str, Any] = {"annotations": None if file is None else self._hashes[file]}
        if self._settings.labels_images:
            found["label"] = self._images.get(row.slide_id)
        if self._codes:
            found["codes"] = self._codes[row.slide_id]
        return found

    def of(self, row: SlideRow, slide: Slide, grid: TileGrid) -> Annotations | None:
        """What is drawn on a slide, with labels; None if all of its tissue is background or has no label.

        Raises:
            MaskError: Nothing is drawn on it, or what is drawn cannot be used.
        """
        settings = self._settings
        if not settings.is_labelled:
            return None
        if settings.labels_images:
            return self._whole(row, slide)
        file = self._files.get(row.slide_id)
        if file is None:
            if settings.unannotated == "background":
                return None
            what = f"box of {row.slide_id}" if self._detections else f"annotation file named {row.slide_id}"
            raise MaskError(
                f"Cut labelled tiles from {row.path}.",
                f"There is no {what} in {settings.annotations}.",
                "Add it, leave the slide out, or take it as background with --unannotated background.",
            )
        drawn = self._drawn(row, file, slide, grid)
        if drawn.passed_over:
            self._note(f"{file.name}: passed over {words_of(drawn.passed_over)}")
        if drawn.repaired:
            self._note(f"{file.name}: repaired {words_of(drawn.repaired)}")
        return drawn

    def _drawn(self, row: SlideRow, file: Path, slide: Slide, grid: TileGrid) -> Annotations:
        image = self._detections.of(row.slide_id, row.path.name) if self._detections else None
        if self._detections is not None and image is not None:
            found = self._detections.annotations(image, slide=slide.name, size_wh=slide.size_wh)
            return apply_rule(found, self.rule)
        group = self._codes.get(row.slide_id, "")
        drawn = annotations_of(
            file,
            rule_of_group(self.rule, group) if group else self.rule,
            slide=slide.name,
            size_wh=slide.size_wh,
            least_width_px=int(slide.size_wh.w / grid.tile_side_level0 * MASK_PIXELS_PER_TILE),
            points_order=self._settings.points_order,
            all_codes_of=group,
        )
        if drawn.mask is not None and drawn.mask.channel:
            self._channels[drawn.mask.channel] += 1
        if file.suffix.lower() in POINTS and not drawn.points:
            self._no_points.append(row.slide_id)
        return drawn

    def _whole(self, row: SlideRow, slide: Slide) -> Annotations:
        name = self._images.get(row.slide_id)
        if not name:
            raise MaskError(
                f"Label the image {row.path}.",
                "Nothing says its label.",
                "Add it to the table, or leave the image out with --only.",
            )
        width, height = slide.size_wh
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        return apply_rule(Annotations((Region(name, (corners,)),)), self.rule)

    def look_back(self) -> None:
        """Tell how the files of this run were read."""
        for channel, count in sorted(self._channels.items()):
            self._note(f"{count} mask(s) in colour: codes are those of {channel}, the others are empty")
        if self._no_points:
            some = ", ".join(self._no_points[:3]) + (" ..." if len(self._no_points) > 3 else "")
            self._note(f"{len(self._no_points)} file(s) of points without a point that is used: {some}")


def rule_of_group(rule: LabelRule, group: str) -> LabelRule:
    """The part of a rule that is said of one group, without its name.

    Example:
        >>> rule = LabelRule({"radboud:2": "benign", "karolinska:2": "cancer"}, skip=("radboud:1",))
        >>> one = rule_of_group(rule, "radboud")
        >>> one.label_of("2"), one.skips("1"), rule_of_group(rule, "karolinska").label_of("2")
        ('benign', True, 'cancer')
    """
    start = f"{group}:"

    def own(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name.removeprefix(start) for name in names if name.startswith(start))

    labels = {
        name.removeprefix(start): label for name, label in rule.labels.items() if name.startswith(start)
    }
    return LabelRule(labels, own(rule.exclude), own(rule.skip))
