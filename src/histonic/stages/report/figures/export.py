"""Every figure of a report as files for a paper: SVG, and its numbers as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from histonic.core.files import csv_text, replacing_file, require_writable_folder, write_text
from histonic.stages.report.figures.drawing import Picture
from histonic.stages.report.figures.marks import COLUMNS


def named_pictures(
    targets: Sequence[str], external: Mapping[str, Sequence[str]], pictures: Mapping[str, Any]
) -> Iterator[tuple[str, Picture]]:
    """The figures with names for files, in the order of the page.

    Args:
        targets: Names of the targets.
        external: Names of the targets of each external cohort.
        pictures: As for :func:`histonic.stages.report.report.render_page`.

    Yields:
        Such as ``msi-roc-curve`` and the figure; no name twice.
    """
    taken: dict[str, int] = {}
    for prefix, picture in _grouped(targets, external, pictures):
        name = file_name(f"{prefix} {picture.title}")
        taken[name] = taken.get(name, 0) + 1
        yield (name if taken[name] == 1 else f"{name}-{taken[name]}"), picture


def _grouped(
    targets: Sequence[str], external: Mapping[str, Sequence[str]], pictures: Mapping[str, Any]
) -> Iterator[tuple[str, Picture]]:
    for name, drawn, forest in zip(targets, pictures["targets"], pictures["forests"], strict=True):
        for picture in [*drawn, *([] if forest is None else [forest])]:
            yield name, picture
    for (cohort, names), drawn in zip(external.items(), pictures["external"], strict=True):
        for name, figures in zip(names, drawn, strict=True):
            for picture in figures:
                yield f"external {cohort} {name}", picture
    for picture in pictures["audit"]:
        yield "audit", picture
    if pictures["training"] is not None:
        yield "run", pictures["training"]


def file_name(text: str) -> str:
    """Lower-case letters, digits and hyphens of a text; other letters stay as they are.

    Example:
        >>> file_name("overall_survival Survival by predicted risk")
        'overall-survival-survival-by-predicted-risk'
    """
    return re.sub(r"[^\w]+|_", "-", text.lower()).strip("-") or "figure"


def write_figures(folder: Path, figures: Sequence[tuple[str, Picture]]) -> list[Path]:
    """Write ``NAME.svg`` and ``NAME.csv`` of each figure, and ``figures.csv`` with their captions.

    Args:
        folder: Made if it is not there; other files in it are left alone.
        figures: From :func:`named_pictures`.

    Returns:
        The SVG files.

    Raises:
        OutputError: The folder cannot be written to.
    """
    require_writable_folder(folder)
    written = []
    for name, picture in figures:
        path = folder / f"{name}.svg"
        with replacing_file(path) as partial:
            partial.write_bytes(picture.drawing.svg)
        rows = [mark.row() for mark in picture.drawing.numbers]
        write_text(folder / f"{name}.csv", csv_text(COLUMNS, rows))
        written.append(path)
    listed = [(f"{name}.svg", each.title, each.caption, each.alt) for name, each in figures]
    columns = ("file", "title", "caption", "description")
    write_text(folder / "figures.csv", csv_text(columns, listed))
    return written
