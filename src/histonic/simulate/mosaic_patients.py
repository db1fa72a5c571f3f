"""Patients of a mosaic: the tiles each may show, what drives the tissue, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SettingsError
from histonic.simulate.mosaic_layout import Pattern
from histonic.simulate.patients import draw_follow_up

MosaicKind = Literal["needle", "fraction", "arrangement", "survival"]
FRACTIONS = (0.05, 0.95)
FRACTION_SLOPE = 4.0
RIM_SLOPE = 1.2
"""Log hazard for each unit of the lesion's share, and of a lesion at the rim against one in the core."""
ROWS = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MosaicPlan:
    """What the patients of a mosaic are like.

    Attributes:
        kind: What the label says of the tissue.
        lesion_share: Of the tissue of a slide that has a lesion (needle).
        most_slides: Slides a patient at most; each patient has 1 to so many.
        sites: Number of sites.
        site_effect: Chance that a patient's site follows from the outcome instead of being drawn; 0 is no
            confounding, 1 makes the site tell the outcome as well as it can.
    """

    kind: MosaicKind
    lesion_share: float = 0.05
    most_slides: int = 1
    sites: int = 3
    site_effect: float = 0.0


@dataclass(frozen=True)
class MosaicSlide:
    """One slide: how the lesion lies, and the share of the tissue it is meant to take."""

    slide_id: str
    pattern: Pattern
    share: float


@dataclass(frozen=True)
class MosaicPatient:
    """One patient.

    Attributes:
        patient_id: Name.
        split: ``train`` or ``test``.
        site: Name.
        slides: One or more.
        outcome: Label columns; the fraction is filled in when the cells are counted.
        lesion: Rows of the tiles that may be shown as lesion.
        rest: Rows of the tiles that may be shown elsewhere.
    """

    patient_id: str
    split: str
    site: str
    slides: tuple[MosaicSlide, ...]
    outcome: dict[str, Any]
    lesion: ROWS
    rest: ROWS


def allot_tiles(
    lesion: npt.NDArray[np.bool_], group: npt.NDArray[Any], patients: int, rng: np.random.Generator
) -> list[tuple[ROWS, ROWS]]:
    """Share tiles out so that no group is shown in two patients and each patient has both kinds.

    Args:
        lesion: ``(N,)`` which tiles show the lesion.
        group: ``(N,)`` names; an empty name is a group of its own.
        patients: How many there are.
        rng: Source of randomness.

    Returns:
        For each patient the rows of lesion tiles and of the others.

    Raises:
        SettingsError: There are too few groups.

    Example:
        >>> parts = allot_tiles(np.array([1, 1, 0, 0]) > 0, np.array([""] * 4), 2, np.random.default_rng(0))
        >>> [len(one) + len(other) for one, other in parts]
        [2, 2]
    """
    names = np.array([str(name) or f"\0{row}" for row, name in enumerate(group)])
    _, number = np.unique(names, return_inverse=True)
    counts = np.stack([np.bincount(number, ~lesion), np.bincount(number, lesion)], axis=1)
    patient_of = np.full(len(counts), -1)
    held = np.zeros((patients, 2))
    order = rng.permutation(len(counts))
    # The rarer kind first, large groups first: each goes to the patient who has least of it.
    rarer = int(np.argmin((counts > 0).sum(axis=0)))
    for kind in (rarer, 1 - rarer):
        for each in order[np.argsort(-counts[order, kind], kind="stable")]:
            if patient_of[each] < 0 and counts[each, kind]:
                patient_of[each] = int(np.argmin(held[:, kind]))
                held[patient_of[each]] += counts[each]
    if (held == 0).any():
        rest, shows = (counts > 0).sum(axis=0)
        found = f"{shows} groups of tiles show the lesion, {rest} something else"
        raise SettingsError(
            f"Give {patients} patients tiles of their own.",
            f"{found}; {int((held == 0).any(axis=1).sum())} patients got none of one kind.",
            "Ask for fewer patients, or use a larger tile set.",
        )
    whose = patient_of[number]
    return [
        (np.flatnonzero((whose == one) & lesion), np.flatnonzero((whose == one) & ~lesion))
        for one in range(patients)
    ]


def draw_mosaic_patients(
    plan: MosaicPlan, split: str, tiles: list[tuple[ROWS, ROWS]], rng: np.random.Generator
) -> list[MosaicPatient]:
    """Draw the patients of one split, with outcomes spread evenly over them.

    Args:
        plan: What they are like.
        split: ``train`` or ``test``.
        tiles: Rows of each, from :func:`allot_tiles`.
        rng: Source of randomness.
    """
    count = len(tiles)
    # Even ranks instead of free draws: half of the patients have the lesion, and fractions fill their range.
    ranks = (rng.permutation(count) + rng.random(count)) / count
    others = rng.permutation(np.arange(count) % 2).astype(bool)
    return [
        _draw(plan, split, number, float(ranks[number]), bool(others[number]), own, rng)
        for number, own in enumerate(tiles)
    ]


def _draw(
    plan: MosaicPlan,
    split: str,
    number: int,
    rank: float,
    at_rim: bool,
    tiles: tuple[ROWS, ROWS],
    rng: np.random.Generator,
) -> MosaicPatient:
    name = f"{split}{number + 1:03d}"
    slides = int(rng.integers(1, plan.most_slides + 1))
    ids = [f"{name}-{each + 1}" for each in range(slides)]
    fraction = FRACTIONS[0] + (FRACTIONS[1] - FRACTIONS[0]) * rank
    outcome: dict[str, Any]
    if plan.kind == "needle":
        present = rank >= 0.5
        # One slide of a patient holds the lesion, as one block of a resection does.
        at = int(rng.integers(slides))
        made = [
            MosaicSlide(each, "blob", plan.lesion_share if present and place == at else 0.0)
            for place, each in enumerate(ids)
        ]
        outcome, level = {"lesion": "present" if present else "absent"}, rank
    elif plan.kind == "fraction":
        made = [MosaicSlide(each, "patches", _near(fraction, rng)) for each in ids]
        outcome, level = {"fraction": None}, rank
    elif plan.kind == "arrangement":
        rim = rank >= 0.5
        made = [MosaicSlide(each, "rim" if rim else "core", 0.5) for each in ids]
        outcome, level = {"arrangement": "rim" if rim else "core"}, rank
    else:
        made = [MosaicSlide(each, "rim" if at_rim else "core", _near(fraction, rng)) for each in ids]
        log_hazard = FRACTION_SLOPE * (fraction - 0.5) + RIM_SLOPE * (at_rim - 0.5)
        months, event = draw_follow_up(log_hazard, rng)
        outcome = {"os_months": round(months, 2), "os_event": event}
        # Rough rank of the hazard: its range is split evenly.
        span = FRACTION_SLOPE * (FRACTIONS[1] - FRACTIONS[0]) + RIM_SLOPE
        level = min(max(log_hazard / span + 0.5, 0.0), 0.999)
    drawn, follows = int(rng.integers(plan.sites)), rng.random() < plan.site_effect
    site = int(level * plan.sites) if follows else drawn
    return MosaicPatient(name, split, f"site{site + 1}", tuple(made), outcome, *tiles)


def _near(fraction: float, rng: np.random.Generator) -> float:
    """The fraction of one slide of a patient: slides of a patient differ a little."""
    return float(np.clip(fraction + rng.normal(0, 0.03), 0.02, 0.98))
