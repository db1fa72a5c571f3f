"""Slides of tilted rectangles: the synthetic task of Neural Image Compression as files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from histonic.core.files import write_csv, write_json
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.simulate.low_signal.digits import PARTS, Digits, Part, read_digits
from histonic.simulate.low_signal.rectangles import (
    Rectangle,
    RectangleImage,
    RectangleImages,
    RectanglePlan,
)
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.simulate.folder import claim, make_all
from histonic.stages.simulate.settings import RectangleKeywords, RectangleSettings

DECIDES = ("side_px", "digit_px", "density", "least_side", "greatest_side", "classes", "seed", "mpp")
COLUMNS = ("patient_id", "slide_id", "split", "digit", "long_side_share")


@dataclass(frozen=True)
class _Job:
    """One slide to write."""

    plan: RectanglePlan
    digits: Path | None
    part: Part
    index: int
    mpp: float
    out: Path

    @property
    def name(self) -> str:
        """Of the slide."""
        return f"{self.part}-{self.index:05d}"

    def make(self) -> RectangleImage:
        """Its image."""
        digits = _digits(self.digits, self.plan.digit_px, self.plan.seed)[self.part]
        return RectangleImages(self.plan, digits, self.part, self.index + 1)[self.index]


def simulate_rectangles(
    settings: RectangleSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[RectangleKeywords],
) -> Path:
    """Write slides of digits with two rectangles, whose tilted one tells the class.

    A slide of 3600 px is about 1 MB; :class:`~histonic.simulate.low_signal.rectangles.RectangleImages` makes
    the same pixels without files. Slides that exist are kept when the same command is given again.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``side_px=360``, ``train=200``, ``out="rectangles"``.

    Returns:
        The folder: ``slides/NAME.tif`` (lossless), ``masks/NAME.geojson`` (the tilted rectangle in level-0
        pixels), ``labels.csv`` (patient_id, slide_id, split, digit, long_side_share).

    Raises:
        SettingsError: A setting is wrong, the digits cannot be read, or the folder holds others.
        OutputError: A file cannot be written.
    """
    resolved = resolve(RectangleSettings, settings, values)
    listener = heard(progress)
    plan = RectanglePlan(
        resolved.side_px,
        resolved.digit_px,
        resolved.density,
        (resolved.least_side, resolved.greatest_side),
        resolved.seed,
        resolved.classes,
    )
    source = _digits(resolved.digits, plan.digit_px, plan.seed)["train"].source
    claim(resolved.out, "rectangles", {**{key: getattr(resolved, key) for key in DECIDES}, "source": source})
    jobs = [
        _Job(plan, resolved.digits, part, index, resolved.mpp, resolved.out)
        for part in PARTS
        for index in range(getattr(resolved, part))
    ]
    waiting = [job for job in jobs if not (resolved.out / "slides" / f"{job.name}.tif").is_file()]
    listener.stage("rectangles", len(jobs))
    listener.advance(len(jobs) - len(waiting), "kept")
    make_all(_write, waiting, resolved.processes, listener)
    write_csv(resolved.out / "labels.csv", COLUMNS, [_row(job) for job in jobs])
    return resolved.out


@lru_cache(maxsize=2)
def _digits(folder: Path | None, side_px: int, seed: int) -> dict[Part, Digits]:
    return read_digits(folder, side_px, seed)


def _row(job: _Job) -> dict[str, Any]:
    digits = _digits(job.digits, job.plan.digit_px, job.plan.seed)[job.part]
    lesion, _ = RectangleImages(job.plan, digits, job.part, job.index + 1).rectangles(job.index)
    share = round(lesion.long_side / job.plan.side_px, 4)
    names = {"patient_id": job.name, "slide_id": job.name, "split": job.part}
    return {**names, "digit": f"digit {lesion.digit}", "long_side_share": share}


def _write(job: _Job) -> str:
    image = job.make()
    write_json(job.out / "masks" / f"{job.name}.geojson", outline(image.lesion))
    # The slide comes last: it is the sign that both are there.
    pixels = np.repeat(image.pixels[:, :, None], 3, axis=2)
    write_pyramid(job.out / "slides" / f"{job.name}.tif", pixels, mpp=job.mpp, quality=None)
    return job.name


def outline(rectangle: Rectangle) -> dict[str, Any]:
    """A rectangle as GeoJSON, in pixels.

    Example:
        >>> square = np.array([[0.0, 0], [2, 0], [2, 1], [0, 1]])
        >>> outline(Rectangle(square, 3, 2.0, 0))["features"][0]["geometry"]["coordinates"]
        [[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0], [0.0, 0.0]]]
    """
    ring = [[float(x), float(y)] for x, y in [*rectangle.corners, rectangle.corners[0]]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "lesion"}},
    }
    return {"type": "FeatureCollection", "features": [feature]}
