"""Patients with a slide in haematoxylin and eosin and one in Ki-67, of which one tells the label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from histonic.core.errors import SettingsError
from histonic.core.files import csv_text, write_text
from histonic.core.progress import Progress, heard
from histonic.simulate.patients import Latents
from histonic.simulate.render import concentrations, render_tissue
from histonic.simulate.slides import SLIDE_MPP, SMALLEST_SIDE_PX
from histonic.simulate.stains import SITES, Stain, UInt8Image, compose, draw_stain
from histonic.simulate.textures import smooth_noise
from histonic.slides.formats.pyramid import write_pyramid

Part = Literal["he", "ki67"]
PARTS: tuple[Part, ...] = ("he", "ki67")
BROWN = Stain((0.86, 1.18, 0.54), (0.55, 1.20, 1.65), (243.0, 242.0, 244.0))
"""Haematoxylin, and diaminobenzidine in place of eosin (Ruifrok and Johnston 2001)."""
POSITIVE = (0.10, 0.45)
"""Share of nuclei that Ki-67 marks, where proliferation is least and greatest."""
MARK_PX = 24.0
"""Over which it changes whether nuclei are marked: about a nucleus and what lies around it."""
COUNTERSTAIN = 0.8
COLUMNS = ("patient_id", "slide_id", "site", "proliferating", "proliferation_score")
STREAM = 7


@dataclass(frozen=True)
class TwoStainFiles:
    """Where a cohort of two stains lies.

    Attributes:
        slides_dirs: Folder of the slides of each stain.
        labels_csv: Label table.
        missing: Per stain the patients who have no slide of it.
    """

    slides_dirs: dict[Part, Path]
    labels_csv: Path
    missing: dict[Part, tuple[str, ...]]


def simulate_ki67(
    latents: Latents, rng: np.random.Generator, side_px: int = 640, *, glass: bool = True
) -> UInt8Image:
    """A slide in Ki-67 at 0.5 microns per pixel: marked nuclei brown, the others and the rest pale blue.

    Args:
        latents: More nuclei are marked where proliferation is higher.
        rng: Source of randomness.
        side_px: Side of the square slide.
        glass: Whether there is glass around the tissue.

    Returns:
        uint8 ``(side_px, side_px, 3)``.

    Example:
        >>> simulate_ki67(Latents(0.9, 0.5, 0.5), np.random.default_rng(0), 256).shape
        (256, 256, 3)
    """
    image = np.empty((side_px, side_px, 3), np.uint8)
    field = smooth_noise(rng, side_px, MARK_PX)
    share = POSITIVE[0] + latents.proliferation * (POSITIVE[1] - POSITIVE[0])
    marked = np.clip((field - np.quantile(field, 1 - share)) * 4 + 0.5, 0, 1).astype(np.float32)
    # Cells are as many in all patients, so that only what is marked tells them apart.
    still = Latents(0.5, latents.differentiation, latents.layout)
    top = 0
    for blue, eosin in concentrations(still, side_px, rng, glass=glass):
        here = marked[top : top + len(blue)]
        nuclear = np.clip(blue - 0.3, 0, None)
        pale = COUNTERSTAIN * (blue - nuclear * here) + 0.12 * eosin
        image[top : top + len(blue)] = compose(pale, nuclear * here, BROWN)
        top += len(blue)
    return image


def simulate_two_stains(
    out: str | Path,
    *,
    patients: int = 48,
    signal: Part = "ki67",
    missing: float = 0.0,
    seed: int = 0,
    side_px: int = 640,
    progress: Progress | None = None,
) -> TwoStainFiles:
    """Write ``slides/he``, ``slides/ki67`` and ``labels.csv``: the slide of one stain alone tells the label.

    Slides that exist are kept. The other stain's slide shows tissue of middling proliferation, drawn anew,
    with all that is independent of the label varying as ever.

    Args:
        out: Folder of the cohort.
        patients: How many; a slide of each stain each, but for those missing.
        signal: The stain that tells.
        missing: Share of patients who lack one of the two, either alike.
        seed: Seed of the cohort.
        side_px: Side of the square slides.
        progress: Listener.

    Raises:
        SettingsError: A number cannot be used.
        OutputError: A file cannot be written.
    """
    folder, progress = Path(out), heard(progress)
    if patients < 1 or side_px < SMALLEST_SIDE_PX or not 0 <= missing < 1 or seed < 0 or signal not in PARTS:
        raise SettingsError(
            "Simulate patients with two stains.",
            f"patients={patients}, side_px={side_px}, missing={missing}, seed={seed}, signal={signal!r}.",
            f"Give patients from 1, a side from {SMALLEST_SIDE_PX}, a share below 1, a seed from 0.",
        )
    dirs = {part: folder / "slides" / part for part in PARTS}
    for each in dirs.values():
        each.mkdir(parents=True, exist_ok=True)
    lacking: dict[Part, list[str]] = {part: [] for part in PARTS}
    rows: list[list[object]] = []
    progress.stage("simulate", patients)
    for number in range(patients):
        rng = np.random.default_rng([seed, STREAM, number])
        proliferation, differentiation, layout = (float(each) for each in rng.random(3))
        site, name = SITES[int(rng.integers(len(SITES)))], f"P{number + 1:03d}"
        lacks = PARTS[int(rng.integers(2))] if rng.random() < missing else None
        for place, part in enumerate(PARTS):
            if part == lacks:
                lacking[part].append(name)
                continue
            told = proliferation if part == signal else 0.5
            path = dirs[part] / f"{name}-{part}.tif"
            if not path.exists():
                own = np.random.default_rng([seed, STREAM, number, place])
                latents = Latents(told, differentiation, layout)
                image = (
                    simulate_ki67(latents, own, side_px)
                    if part == "ki67"
                    else render_tissue(latents, draw_stain(site, own), side_px, own, glass=True)
                )
                write_pyramid(path, image, mpp=SLIDE_MPP)
            label = "yes" if proliferation > 0.5 else "no"
            rows.append([name, path.stem, site, label, round(100 * proliferation, 2)])
        progress.advance(1, name)
    write_text(folder / "labels.csv", csv_text(COLUMNS, rows))
    return TwoStainFiles(dirs, folder / "labels.csv", {part: tuple(names) for part, names in lacking.items()})
