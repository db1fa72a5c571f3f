"""MIDOG's JSON: boxes of mitotic figures and hard negatives by image, and what is wrong with them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histonic.core.errors import TableError
from histonic.stages.study.frame.cases import Finding, named

IMAGE = r"(\d{3})\.tiff?"
KINDS = {1: "mitotic_figure", 2: "hard_negative"}
"""By number of the category."""
Boxes = dict[int, list[tuple[int, float, float]]]


@dataclass(frozen=True)
class Database:
    """What a JSON says.

    Attributes:
        files: Name by number of the image.
        tumours: Of each image, where it is told.
        boxes: Category and centre of each box in pixels, by image.
        sizes: Width and height of each image in pixels, where they are told.
        doubled: Annotations that say the same as one before them, and are left out.
    """

    files: dict[int, str]
    tumours: dict[int, str]
    boxes: Boxes
    sizes: dict[int, tuple[float, float]]
    doubled: int = 0


def read_database(path: Path) -> Database:
    """Read the JSON; boxes are corners x1, y1, x2, y2, not COCO's width and height.

    Raises:
        TableError: A key is absent, an image has another number than its file, categories mean something else
            or are unknown, or a box is no pair of corners.
    """
    asked = f"Read {path}."
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        listed = [
            (int(each["id"]), str(each["file_name"]), str(each.get("tumor_type", "")))
            for each in held["images"]
        ]
        sizes = {int(each["id"]): size for each in held["images"] if (size := _size_of(each)) is not None}
        kinds = {int(each["id"]): str(each.get("name") or "") for each in held.get("categories", [])}
        given = [
            (int(each["image_id"]), int(each["category_id"]), [float(v) for v in each["bbox"]])
            for each in held["annotations"]
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        found = f"{type(error).__name__}: {error}"
        todo = "Wanted are images (id, file_name) and annotations (image_id, category_id, bbox)."
        raise TableError(asked, f"It is not MIDOG's: {found}.", todo) from error
    _require_organisers_numbers(asked, [(number, name) for number, name, _ in listed], kinds)
    boxes: Boxes = {number: [] for number, _, _ in listed}
    seen: set[tuple[int, int, tuple[float, ...]]] = set()
    for place, (image, kind, box) in enumerate(given):
        # Said so that NaN, which is neither more nor less than anything, is none either.
        is_box = len(box) == 4 and all(map(math.isfinite, box)) and box[0] < box[2] and box[1] < box[3]
        if image not in boxes or kind not in KINDS or not is_box:
            raise TableError(
                asked,
                f"Annotation {place + 1}: image {image}, category {kind}, box {box}.",
                "Boxes are [x1, y1, x2, y2], categories 1 (mitotic figure) and 2 (hard negative).",
            )
        if (image, kind, tuple(box)) in seen:
            continue
        seen.add((image, kind, tuple(box)))
        boxes[image].append((kind, (box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    return Database(
        {number: name for number, name, _ in listed},
        {number: text for number, _, text in listed},
        boxes,
        sizes,
        len(given) - len(seen),
    )


def _size_of(image: Mapping[str, Any]) -> tuple[float, float] | None:
    """Width and height, where both are told: they are needed for warnings alone."""
    try:
        width, height = float(image["width"]), float(image["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (width, height) if math.isfinite(width) and math.isfinite(height) else None


def _require_organisers_numbers(
    asked: str, images: Sequence[tuple[int, str]], kinds: Mapping[int, str]
) -> None:
    """Refuse a JSON that was written anew with other numbers: its boxes would be laid into other images."""
    numbers: set[int] = set()
    for number, name in images:
        own = re.fullmatch(IMAGE, Path(name).name, re.IGNORECASE)
        if own is None or int(own.group(1)) != number or number in numbers:
            what = "stands there twice" if number in numbers else f"is the file {name!r}"
            raise TableError(
                asked,
                f"Image {number} {what}.",
                "Image 1 is 001.tiff and so on: restore the organisers' file.",
            )
        numbers.add(number)
    for number, is_negative in ((1, False), (2, True)):
        told = kinds.get(number, "").lower()
        says_negative = re.search(r"\bnon|\bnot\b|hard|negative|imposter", told) is not None
        if told and says_negative != is_negative and (says_negative or "mito" in told):
            raise TableError(
                asked,
                f"Category {number} is called {kinds[number]!r}.",
                "Category 1 is the mitotic figure, 2 the hard negative: restore the organisers' file.",
            )


def odd_boxes(base: Database) -> list[Finding]:
    """Warnings on annotations that stand there twice, or lie outside of their image."""
    found = []
    if base.doubled:
        found.append(Finding("warning", f"{base.doubled} annotations stand there twice.", "One is used."))
    outside = [
        f"{base.files[image]} ({x:g}, {y:g})"
        for image, boxes in base.boxes.items()
        for _, x, y in boxes
        if is_outside(base, image, x, y)
    ]
    if outside:
        what = f"annotations outside of their image: {named(outside)}."
        found.append(
            Finding("warning", what, "Nothing can be found there: compare with the organisers' file.")
        )
    return found


def is_outside(base: Database, image: int, x: float, y: float) -> bool:
    """Whether a point in pixels lies outside of an image whose size the JSON tells."""
    width, height = base.sizes.get(image, (math.inf, math.inf))
    return not (0 <= x <= width and 0 <= y <= height)
