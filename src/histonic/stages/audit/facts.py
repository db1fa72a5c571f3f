"""What is known of slides and patients beside the tissue: site, scanner, resolution, colour, area, share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from histonic.core.cohort import Patient
from histonic.core.errors import StoreError
from histonic.core.progress import Progress
from histonic.data.maps.facts import StoredAppearance, read_map_facts
from histonic.data.maps.shares import LEAST, TissueShare, percent
from histonic.data.maps.store import Store, map_folder, read_mask
from histonic.metrics.discrimination.confounding import category_features, number_features
from histonic.slides.likeness import Appearance

FloatArray = npt.NDArray[np.float64]
CATEGORIES_AT_MOST = 6
"""So many different resolutions are categories; more are a number."""


@dataclass(frozen=True)
class SlideFacts:
    """One slide.

    Attributes:
        slide_id: Name of the map.
        fingerprint: Hash of the file; empty if not known.
        scanner: As the file says; empty if it does not.
        storage: Format and compression; empty if not known.
        mpp: Microns per pixel of the finest level.
        glass_mm2: Area of the whole picture.
        tissue_mm2: Area of the kept cells.
        appearance: Colour and likeness of its tissue; None if there is no picture.
        share: How much of it is tissue; None if not known.
    """

    slide_id: str
    fingerprint: str
    scanner: str
    storage: str
    mpp: float
    glass_mm2: float
    tissue_mm2: float
    appearance: Appearance | None
    share: TissueShare | None = None


def read_slide_facts(
    store: Store, slide_ids: Sequence[str], progress: Progress, *, stage: str = "facts"
) -> dict[str, SlideFacts]:
    """The facts of some slides of a store; their codes are not read.

    Args:
        store: The store.
        slide_ids: Names of maps.
        progress: Advances once a slide.
        stage: What the progress is called.

    Raises:
        StoreError: A map is damaged.
    """
    progress.stage(stage, len(slide_ids))
    found = {}
    for slide_id in slide_ids:
        found[slide_id] = _slide_facts(store, slide_id)
        progress.advance(note=slide_id)
    return found


def _slide_facts(store: Store, slide_id: str) -> SlideFacts:
    folder = map_folder(store.path, slide_id)
    facts = read_map_facts(folder)
    grid, slide = facts.grid, facts.slide
    mask = read_mask(folder)
    pixel_mm2 = (grid.slide_mpp / 1000) ** 2
    # Of imported features the slide itself may not be known.
    is_imported = bool(facts.encoder.spec.tool)
    knows_size = not is_imported or slide.size_wh is not None
    knows_mpp = not is_imported or slide.mpp is not None
    return SlideFacts(
        slide_id,
        slide.fingerprint,
        slide.scanner,
        slide.storage,
        grid.slide_mpp if knows_mpp else float("nan"),
        grid.slide_wh.w * grid.slide_wh.h * pixel_mm2 if knows_size else float("nan"),
        float(mask.sum()) * (grid.cell_um / 1000) ** 2,
        _appearance(store, slide_id, facts.appearance),
        TissueShare.of_map(facts) if knows_size else None,
    )


def _appearance(store: Store, slide_id: str, kept: StoredAppearance | None) -> Appearance | None:
    if kept is None:  # a map that was not made from a slide file
        return None
    try:
        return Appearance.from_dict(kept.to_dict())
    except ValueError as error:
        raise StoreError(
            f"Read the appearance of slide {slide_id!r} in {store.path}.",
            f"{type(error).__name__}: {error}.",
            "Delete the map and run the same 'histonic compress' command again.",
        ) from error


@dataclass(frozen=True)
class Confounder:
    """One thing beside the tissue that might tell the target.

    Attributes:
        name: Short name, as in tables.
        label: Name in sentences.
        features: ``(n, p)`` for the linear model, p = 0 if it cannot tell anything.
        spread: What values there are, in words.
    """

    name: str
    label: str
    features: FloatArray
    spread: str


def list_confounders(
    patients: Sequence[Patient],
    facts: Mapping[str, SlideFacts],
    columns: Mapping[str, Mapping[str, str]] | None = None,
) -> list[Confounder]:
    """Everything that is known of the patients beside the tissue.

    Args:
        patients: In the order of the rows of the features.
        facts: Of their slides; those without any are treated as not known.
        columns: Further columns of the label table, value per patient.

    Returns:
        Site, further columns, scanner, storage, mpp, colour, tissue, share, glass and slides; also those that
        are the same for all patients (their features have no column).
    """
    slides = [[facts[name] for name in patient.slide_ids if name in facts] for patient in patients]
    found = [_category("site", "the site", [patient.site for patient in patients])]
    for name, values in (columns or {}).items():
        column = [values.get(patient.patient_id, "") for patient in patients]
        found.append(_column(name, column))
    found += [
        _category("scanner", "the scanner", [_joined(own, lambda each: each.scanner) for own in slides]),
        _category("storage", "the file format", [_joined(own, lambda each: each.storage) for own in slides]),
        _resolution(slides),
        _numbers("colour", "the mean colour of the tissue", [_mean_colour(own) for own in slides], ""),
        _numbers(
            "tissue",
            "the area of the tissue",
            [[_mean_log(own, lambda s: s.tissue_mm2)] for own in slides],
            "mm²",
        ),
        _share(slides),
        _numbers(
            "glass",
            "the size of the scan",
            [[_mean_log(own, lambda s: s.glass_mm2)] for own in slides],
            "mm²",
        ),
        _slide_counts(patients),
    ]
    return found


def _column(name: str, values: Sequence[str]) -> Confounder:
    """A column of the table: a number if all its values are numbers and there are many, else a category."""
    numbers = [_to_float(value) for value in values]
    known = [number for number, value in zip(numbers, values, strict=True) if value]
    if all(np.isfinite(known)) and len(set(known)) > CATEGORIES_AT_MOST:
        spread = f"{min(known):.4g} to {max(known):.4g}"
        return Confounder(name, f"the column {name!r}", number_features(np.array(numbers)[:, None]), spread)
    return _category(name, f"the column {name!r}", values)


def _to_float(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def _category(name: str, label: str, values: Sequence[str]) -> Confounder:
    counts = Counter(value or "not given" for value in values)
    shown = ", ".join(f"{value} {count}" for value, count in counts.most_common(8))
    spread = f"{shown} and {len(counts) - 8} more" if len(counts) > 8 else shown
    if len(counts) == 1:
        spread = next(iter(counts)).replace("not given", "not known")
    return Confounder(name, label, category_features(values), spread)


def _joined(slides: Sequence[SlideFacts], value: Callable[[SlideFacts], str]) -> str:
    return " + ".join(sorted({value(each) for each in slides} - {""}))


def _resolution(slides: Sequence[Sequence[SlideFacts]]) -> Confounder:
    means = [float(np.mean([each.mpp for each in own])) if own else float("nan") for own in slides]
    names = [f"{mean:.3g}" if np.isfinite(mean) else "" for mean in means]
    if len(set(names)) <= CATEGORIES_AT_MOST:
        return _category("mpp", "the resolution (mpp)", names)
    return _numbers("mpp", "the resolution (mpp)", [[mean] for mean in means], "µm/px")


def _mean_colour(slides: Sequence[SlideFacts]) -> list[float]:
    """Mean optical density of red, green and blue: in it stains add up."""
    colours = [each.appearance.rgb for each in slides if each.appearance is not None]
    if not colours:
        return [float("nan")] * 3
    return [float(value) for value in np.mean(-np.log10((np.array(colours) + 1) / 256), axis=0)]


def _mean_log(slides: Sequence[SlideFacts], value: Callable[[SlideFacts], float]) -> float:
    numbers = [value(each) for each in slides]
    return float(np.mean(np.log(np.maximum(numbers, 1e-6)))) if numbers else float("nan")


def _share(slides: Sequence[Sequence[SlideFacts]]) -> Confounder:
    """The share of tissue, as the mean of its log odds over the slides of a patient."""
    known = [each.share for own in slides for each in own if each.share is not None]
    # One measure for all: maps of earlier versions know the share of their cells alone.
    by_area = all(share.of_area is not None for share in known)
    rows = []
    for own in slides:
        of_slides = [
            share.of_area if by_area and share.of_area is not None else share.of_cells
            for share in (each.share for each in own)
            if share is not None
        ]
        rows.append(
            [float(np.mean(special.logit(np.clip(of_slides, LEAST, 1 - LEAST))))] if of_slides else [np.nan]
        )
    return _numbers("share", "the share of tissue on the slides", rows, "%")


def _numbers(name: str, label: str, rows: Sequence[Sequence[float]], unit: str) -> Confounder:
    values = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
    known = values[np.isfinite(values).all(axis=1)]
    if not len(known):
        spread = "not known"
    elif unit == "mm²" and known.min() == known.max():
        spread = f"{np.exp(known.min()):.3g} {unit}"
    elif unit == "mm²":
        spread = f"{np.exp(known.min()):.3g} to {np.exp(known.max()):.3g} {unit}"
    elif unit == "%":
        low, high = (percent(float(special.expit(end))) for end in (known.min(), known.max()))
        spread = low if low == high else f"{low} to {high}"
    elif unit:
        spread = f"{known.min():.3g} to {known.max():.3g} {unit}"
    else:
        spread = "optical density " + ", ".join(
            f"{colour} {low:.2f} to {high:.2f}"
            for colour, low, high in zip(
                ("red", "green", "blue"), known.min(axis=0), known.max(axis=0), strict=True
            )
        )
    return Confounder(name, label, number_features(values), spread)


def _slide_counts(patients: Sequence[Patient]) -> Confounder:
    counts = [len(patient.slide_ids) for patient in patients]
    features = number_features(np.log2(np.array(counts, dtype=np.float64))[:, None])
    return Confounder("slides", "the number of slides", features, f"{min(counts)} to {max(counts)}")
