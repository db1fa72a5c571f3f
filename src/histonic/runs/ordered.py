"""The slides of a run in the order of what was predicted of them, as one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from histonic.core.files import replacing_file
from histonic.core.task import Task
from histonic.runs.predictions import PredictionTable
from histonic.runs.run import Run
from histonic.slides.thumbnail import read_small

FOLDER = "ordered"
MOST_SHOWN = 300
"""Patients in a picture; of more, that many at even steps from the first to the last."""
THUMBNAIL_PX, TEXT_PX, GAP_PX, HEAD_PX = 150, 32, 8, 44
WIDE = 1.6
"""The picture is about so many times as wide as it is high."""


@dataclass(frozen=True)
class OrderedPatient:
    """One patient of the picture.

    Attributes:
        patient_id: Who.
        slide_id: Whose thumbnail is shown; the first of the patient's slides.
        value: What was predicted, mean over repeats.
        truth: In words; empty if unknown.
    """

    patient_id: str
    slide_id: str
    value: float
    truth: str


def value_name(task: Task) -> str:
    """What patients are sorted by; empty for classes without an order, which are not.

    Example:
        >>> value_name(Task("os", "survival", ("months", "dead")))
        'risk'
    """
    if task.kind == "survival":
        return "risk"
    if task.kind == "regression":
        return "predicted"
    if task.kind == "ordinal":
        return "score"
    return f"p_{task.classes[1]}" if task.kind == "binary" else ""


def order_patients(table: PredictionTable, slides: Mapping[str, tuple[str, ...]]) -> list[OrderedPatient]:
    """Patients with a slide, lowest prediction first; at a draw by name.

    Args:
        table: Out-of-fold predictions of one target, that is not of classes without an order.
        slides: Of each patient.

    Raises:
        TableError: A column is absent, or a cell of it cannot be used.
    """
    names, values = table.texts("patient_id"), table.numbers(value_name(table.task))
    truths = _truths(table)
    found: dict[str, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        found.setdefault(name, []).append(float(value))
    truth = dict(zip(names, truths, strict=True))
    each = [
        OrderedPatient(name, slides[name][0], float(np.mean(several)), truth[name])
        for name, several in found.items()
        if slides.get(name)
    ]
    return sorted(each, key=lambda patient: (patient.value, patient.patient_id))


def _truths(table: PredictionTable) -> list[str]:
    if table.task.kind == "survival":
        pairs = zip(table.texts("time"), table.texts("event"), strict=True)
        return [
            f"{'event' if event == '1' else 'none until'} {float(time):.4g}" if time else ""
            for time, event in pairs
        ]
    truths = table.texts("truth")
    if table.task.kind != "regression":
        return truths
    return [f"{float(text):.3g}" if text else "" for text in truths]


def draw_ordered(run: Run, task: Task, path: Path) -> int:
    """Write the thumbnails of a run's patients in the order of what was predicted, lowest first.

    Below each stand the value and the truth. Patients whose thumbnail cannot be read are left out.

    Args:
        run: Finished.
        task: A target that is not of classes without an order.
        path: Picture (.png) to write.

    Returns:
        How many patients are shown; where there is none, nothing is written.

    Raises:
        TableError: The table of predictions is damaged.
        OutputError: The picture cannot be written.
    """
    slides = {each.patient_id: each.slide_ids for each in run.cohort.patients}
    every = order_patients(run.tables[task.name], slides)
    shown = [each for each in every if run.thumbnail(each.slide_id).is_file()]
    count = len(shown)
    if count > MOST_SHOWN:
        shown = [shown[int(place)] for place in np.linspace(0, count - 1, MOST_SHOWN).round()]
    if not shown:
        return 0
    cell = THUMBNAIL_PX + GAP_PX
    columns = max(1, min(len(shown), math.ceil(math.sqrt(len(shown) * WIDE))))
    rows = math.ceil(len(shown) / columns)
    size = (columns * cell + GAP_PX, HEAD_PX + rows * (cell + TEXT_PX))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    part = f", {len(shown)} of {count} at even steps" if len(shown) < count else ""
    title = f"{task.name}: lowest {value_name(task)} first, out of fold{part}"
    pen.text((GAP_PX, GAP_PX), title, fill="black", font=ImageFont.load_default(18))
    font = ImageFont.load_default(12)
    for place, patient in enumerate(shown):
        row, col = divmod(place, columns)
        left, top = GAP_PX + col * cell, HEAD_PX + row * (cell + TEXT_PX)
        picture = read_small(run.thumbnail(patient.slide_id), THUMBNAIL_PX)
        if picture is not None:
            sheet.paste(
                picture,
                (left + (THUMBNAIL_PX - picture.width) // 2, top + THUMBNAIL_PX - picture.height),
            )
        pen.rectangle((left, top, left + THUMBNAIL_PX - 1, top + THUMBNAIL_PX - 1), outline=(190, 190, 190))
        words = f"{patient.value:.3g}  {patient.patient_id}"[:24]
        pen.text((left + 2, top + THUMBNAIL_PX + 1), words, "black", font)
        pen.text((left + 2, top + THUMBNAIL_PX + 15), patient.truth[:24], (90, 90, 90), font)
    with replacing_file(path) as partial:
        sheet.save(partial, optimize=True)
    return len(shown)
