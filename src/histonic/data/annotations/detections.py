"""Detection sets in one JSON for all images, as MIDOG ships them: boxes around objects, with categories."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from histonic.core.errors import MaskError
from histonic.core.units import WH, XY
from histonic.data.annotations.shapes import Annotations, Point
from histonic.data.names import path_name, slide_name
from histonic.data.text import tidy

Boxes = Literal["corners", "xywh"]
"""What the four numbers of a box are: ``x1, y1, x2, y2`` (MIDOG), or ``x, y, width, height`` (COCO)."""


@dataclass(frozen=True)
class DetectedImage:
    """One image of a detection set.

    Attributes:
        file_name: As the set calls it.
        size_wh: Its size as the set states it; None if it does not.
        points: The middles of its boxes, each with its category.
    """

    file_name: str
    size_wh: WH | None
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Detections:
    """A detection set.

    Attributes:
        path: Its file.
        images: By ``file_name``.
        categories: Names of the categories, sorted.
        boxes: How its boxes were read.
        note: Why they were read so, and what was passed over.
    """

    path: Path
    images: Mapping[str, DetectedImage]
    categories: tuple[str, ...]
    boxes: Boxes
    note: str

    def of(self, slide_id: str, file: str = "") -> DetectedImage | None:
        """The image of a slide, by its path from the right, or by its name; None if the set has none.

        Args:
            slide_id: Name of the slide.
            file: Name of its file.
        """
        called = {tidy(name): image for name, image in self.images.items()}
        if file and tidy(file) in called:
            return called[tidy(file)]
        wanted = tidy(slide_id)
        named = [image for name, image in called.items() if wanted in (slide_name(name), path_name(name))]
        return named[0] if len(named) == 1 else None

    def annotations(self, image: DetectedImage, *, slide: str, size_wh: tuple[int, int]) -> Annotations:
        """What is drawn on an image, checked against the size of its slide.

        Raises:
            MaskError: The image has another size, or a box lies beside it.
        """
        asked = f"Use the detections {self.path} for {slide}."
        if image.size_wh is not None and tuple(image.size_wh) != tuple(size_wh):
            raise MaskError(
                asked,
                f"They are of an image of {image.size_wh.w} x {image.size_wh.h} px, the slide has "
                f"{size_wh[0]} x {size_wh[1]}.",
                "Give the images for which the set was made, at full resolution.",
            )
        beside = [p.xy for p in image.points if not (0 <= p.xy.x < size_wh[0] and 0 <= p.xy.y < size_wh[1])]
        if beside:
            raise MaskError(
                asked,
                f"The middle of a box lies beside the image, at x {beside[0].x:g}, y {beside[0].y:g}.",
                "Say what its boxes are: --boxes corners or --boxes xywh.",
            )
        return Annotations(points=image.points)


def is_detections(file: Path) -> bool:
    """Whether a JSON file holds images, annotations and categories rather than GeoJSON."""
    if file.suffix.lower() != ".json" or not file.is_file():
        return False
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    )


def read_detections(file: Path, boxes: Boxes | None = None) -> Detections:
    """Read the boxes of all images; each becomes a point in its middle, of the class of its category.

    What a box's four numbers are is taken from the file only where one reading is impossible: because second
    corners lie left of or above the first, or the middles of boxes lie beside their images.

    Args:
        file: The JSON.
        boxes: What the four numbers are, if the user says so.

    Raises:
        MaskError: It is no such file; an entry lacks a key; boxes can be read both ways, or neither.
    """
    asked = f"Read the detections {file}."
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        sizes = {
            image["id"]: (str(image["file_name"]), image.get("width"), image.get("height"))
            for image in content["images"]
        }
        categories = {each["id"]: str(each.get("name") or each["id"]) for each in content["categories"]}
        entries = [
            (each["image_id"], each["category_id"], tuple(float(value) for value in each["bbox"]))
            for each in content["annotations"]
            if each.get("bbox")
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MaskError(
            asked,
            f"It is no list of images, categories and annotations: {error!r}.",
            "Give the JSON as the set's authors ship it.",
        ) from error
    _require_sense(asked, sizes, categories, entries)
    used, why = _how(asked, boxes, sizes, entries)
    points: dict[Any, list[Point]] = {key: [] for key in sizes}
    for image, category, box in entries:
        points[image].append(Point(categories[category], _middle(box, used)))
    without = sum("bbox" in each and not each["bbox"] for each in content["annotations"])
    passed = f"; {without} annotation(s) without a box were passed over" if without else ""
    images = {
        name: DetectedImage(name, WH(int(w), int(h)) if w and h else None, tuple(points[key]))
        for key, (name, w, h) in sizes.items()
    }
    return Detections(
        file, images, tuple(sorted({categories[key] for _, key, _ in entries})), used, why + passed
    )


def _require_sense(
    asked: str,
    sizes: Mapping[Any, tuple[str, Any, Any]],
    categories: Mapping[Any, str],
    entries: list[tuple[Any, Any, tuple[float, ...]]],
) -> None:
    names = Counter(name for name, _, _ in sizes.values())
    if doubled := [name for name, count in names.items() if count > 1]:
        raise MaskError(asked, f"It lists the image {doubled[0]!r} twice.", "Keep one of them.")
    twice = [name for name, count in Counter(categories.values()).items() if count > 1]
    if twice:
        raise MaskError(asked, f"Two categories are called {twice[0]!r}.", "Rename one.")
    for image, category, box in entries:
        if image not in sizes or category not in categories:
            what = f"image {image!r}" if image not in sizes else f"category {category!r}"
            raise MaskError(asked, f"A box is of the {what}, which is not listed.", "Complete the file.")
        if len(box) != 4 or not all(math.isfinite(value) for value in box):
            raise MaskError(asked, f"A box of image {image!r} is {list(box)}.", "Give four numbers.")


def _how(
    asked: str,
    said: Boxes | None,
    sizes: Mapping[Any, tuple[str, Any, Any]],
    entries: list[tuple[Any, Any, tuple[float, ...]]],
) -> tuple[Boxes, str]:
    """How boxes are read, and why."""
    no_corners = no_sides = 0
    for image, _, box in entries:
        _, width, height = sizes[image]
        x, y, third, fourth = box
        no_corners += third <= x or fourth <= y or _is_beside(_middle(box, "corners"), width, height)
        no_sides += third <= 0 or fourth <= 0 or _is_beside(_middle(box, "xywh"), width, height)
    wrong = {"corners": no_corners, "xywh": no_sides}
    if said is not None:
        if wrong[said]:
            raise MaskError(
                asked,
                f"Read as {said}, {wrong[said]} of {len(entries)} boxes are impossible.",
                "Correct --boxes, or leave it out.",
            )
        return said, f"boxes are read as {said}, as you say"
    if no_corners and no_sides:
        raise MaskError(
            asked,
            f"{no_corners} of {len(entries)} boxes cannot be two corners, {no_sides} cannot be a corner, "
            "width and height.",
            "Correct the file.",
        )
    if not entries:
        return "corners", "it holds no box"
    if not no_corners and not no_sides:
        raise MaskError(
            asked,
            f"Its boxes may be two corners or a corner, width and height: {list(entries[0][2])} can be both.",
            "Say it: --boxes corners (MIDOG) or --boxes xywh (COCO).",
        )
    if no_sides:
        return "corners", (
            f"boxes are read as two corners: as x, y, width, height {no_sides} of {len(entries)} would lie "
            "beside their image"
        )
    return "xywh", (
        f"boxes are read as x, y, width, height: as two corners {no_corners} of {len(entries)} would be "
        "turned, or lie beside their image"
    )


def _is_beside(middle: XY, width: Any, height: Any) -> bool:
    return bool(width and middle.x > float(width)) or bool(height and middle.y > float(height))


def _middle(box: tuple[float, ...], boxes: Boxes) -> XY:
    x, y, third, fourth = box
    return XY((x + third) / 2, (y + fourth) / 2) if boxes == "corners" else XY(x + third / 2, y + fourth / 2)
