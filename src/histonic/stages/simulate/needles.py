"""Needle images as files: nMNIST of Pawlowski et al., Needles in haystacks (2019)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Unpack

import numpy as np

from histonic.core.files import replacing_file, write_csv
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.simulate.low_signal.digits import PARTS, Digits, Part, read_digits
from histonic.simulate.low_signal.needles import NeedleImages, NeedlePlan
from histonic.stages.simulate.folder import claim, make_all
from histonic.stages.simulate.settings import NeedleKeywords, NeedleSettings

COLUMNS = ("img_path", "label", "split", "target_x", "target_y")
DECIDES = ("canvas", "distractors", "target", "digit_px", "duplicates", "seed")


@dataclass(frozen=True)
class _Job:
    """One image to write."""

    plan: NeedlePlan
    digits: Path | None
    part: Part
    index: int
    count: int
    path: Path


def simulate_needles(
    settings: NeedleSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[NeedleKeywords],
) -> Path:
    """Write images of digits, half of which hold the target digit among others.

    Digits of training, validation and test images are not shared. Images that exist are kept when the same
    command is given again, also with other numbers of images.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``canvas=512``, ``train=1000``, ``out="needles"``.

    Returns:
        The folder: ``images/PART-NUMBER.npz`` (``image`` uint8 ``(S, S)``, ``cells`` bool, where the target
        lies), and ``needles.csv`` with img_path, label, split, target_x and target_y (pixels).

    Raises:
        SettingsError: A setting is wrong, the digits cannot be read or do not suffice, or the folder holds
            others.
        OutputError: A file cannot be written.
    """
    resolved = resolve(NeedleSettings, settings, values)
    listener = heard(progress)
    plan = NeedlePlan(**{key: getattr(resolved, key) for key in DECIDES})
    digits = _digits(resolved.digits, plan.digit_px, plan.seed)
    counts = {part: getattr(resolved, part) for part in PARTS}
    sets = {part: NeedleImages(plan, digits[part], part, count) for part, count in counts.items()}
    source = digits["train"].source
    facts = {**{key: getattr(resolved, key) for key in DECIDES}, "source": source}
    claim(resolved.out, "needles", facts)
    listener.say(
        f"digits of {source}; images of {plan.side_px} px, 1 target among {plan.clutter} others, "
        f"object-to-image ratio {100 * plan.ratio:.3g} %"
    )
    jobs, rows = [], []
    for part, images in sets.items():
        for index in range(len(images)):
            name = f"images/{part}-{index:06d}.npz"
            jobs.append(_Job(plan, resolved.digits, part, index, len(images), resolved.out / name))
            rows.append({"img_path": name, "label": int(images.labels[index]), "split": part})
    waiting = [job for job in jobs if not job.path.is_file()]
    listener.stage("needles", len(jobs))
    listener.advance(len(jobs) - len(waiting), "kept")
    make_all(_write, waiting, resolved.processes, listener)
    for row, job in zip(rows, jobs, strict=True):
        found = sets[job.part].target_xy(job.index)
        row.update(
            {"target_x": "" if found is None else found[0], "target_y": "" if found is None else found[1]}
        )
    write_csv(resolved.out / "needles.csv", COLUMNS, rows)
    return resolved.out


@lru_cache(maxsize=2)
def _digits(folder: Path | None, side_px: int, seed: int) -> dict[Part, Digits]:
    return read_digits(folder, side_px, seed)


def _write(job: _Job) -> str:
    digits = _digits(job.digits, job.plan.digit_px, job.plan.seed)[job.part]
    needle = NeedleImages(job.plan, digits, job.part, job.count)[job.index]
    with replacing_file(job.path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, image=needle.pixels, cells=needle.cells)
    return job.path.stem
