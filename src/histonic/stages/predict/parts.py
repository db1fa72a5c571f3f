"""Patients of several stains or scales, predicted: whose map is of which part, and that it was made alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path

from histonic.core.cohort import MARK, Patient, bare_name, patients_without
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import BundleError, SettingsError, StoreError
from histonic.core.places.frames import FrameTable
from histonic.core.places.urls import Place
from histonic.core.progress import Progress
from histonic.data.maps.store import MAP_SUFFIX, Store
from histonic.data.tables.issues import list_names
from histonic.models.bundle import Bundle

Given = Sequence[Place | FrameTable]
Compress = Callable[[Bundle, Given, Path, str], Store]


def maps_of_parts(bundle: Bundle, given: Given, folder: Path, compress: Compress) -> list[CompressedSlide]:
    """The maps of folders that hold a folder of slides or maps for each part; names begin with the part.

    Args:
        bundle: That knows the parts.
        given: The folders.
        folder: For maps that are made now, a store a part.
        compress: Makes a store of slides as the bundle says of a part.

    Raises:
        BundleError: A folder holds none that is named like a part.
    """
    names = [part.name for part in bundle.parts]
    found: list[CompressedSlide] = []
    for place, path in enumerate(given):
        here = [name for name in names if isinstance(path, Path) and (path / name).is_dir()]
        if not here or not isinstance(path, Path):
            raise BundleError(
                f"Predict {path} by {bundle.folder}, which joins the parts {', '.join(names)} of a patient.",
                "It is no folder that holds one with such a name.",
                f"Give a folder with {' and '.join(f'{name}/' for name in names)} in it, slides or maps.",
            )
        for name in here:
            inner = path / name
            store = (
                Store.open(inner)
                if any(inner.glob(f"*{MAP_SUFFIX}"))
                else compress(bundle.of_part(name), [inner], folder / str(place) / name, name)
            )
            found += [_named(store.map(slide_id), name) for slide_id in store.slide_ids]
    return found


def masks_of_part(masks: Path, part: str) -> Path | None:
    """The folder of masks of a part; None for a part without any.

    Raises:
        SettingsError: The folder is not divided by parts, though slides of two parts may have one name.
    """
    if not masks.is_dir() or not any(each.is_dir() for each in masks.iterdir()):
        raise SettingsError(
            f"Take the masks in {masks} for slides of several parts.",
            "It has no folder for each part, and slides of two parts may have one name.",
            f"Put them into {masks}/{part} and so on.",
        )
    return masks / part if (masks / part).is_dir() else None


def _named(slide: CompressedSlide, part: str) -> CompressedSlide:
    return replace(slide, slide_id=f"{part}{MARK}{slide.slide_id}")


def patients_by_name(slide_ids: Collection[str]) -> list[Patient]:
    """Patients where no table names them: slides of one name in several parts are one patient's.

    Example:
        >>> [each.slide_ids for each in patients_by_name(["he/a", "ki67/a", "he/b"])]
        [('he/a', 'ki67/a'), ('he/b',)]
    """
    found: dict[str, list[str]] = {}
    for slide_id in sorted(slide_ids):
        found.setdefault(bare_name(slide_id), []).append(slide_id)
    return [Patient(name, tuple(own)) for name, own in sorted(found.items())]


def tell_missing(bundle: Bundle, patients: Sequence[Patient], progress: Progress) -> None:
    """Say which patients lack a part."""
    names = [part.name for part in bundle.parts]
    without = patients_without(names, {each.patient_id: each.slide_ids for each in patients})
    for name, found in without.items():
        progress.say(
            f"{len(found)} of {len(patients)} have no slide of the part {name!r}, and are predicted without: "
            f"{list_names(found)}"
        )


def pairs_of(bundle: Bundle, store: Store, asked: str) -> list[tuple[Bundle, Store]]:
    """What a bundle says of each part, and the store of its maps; one pair where there are no parts.

    Raises:
        BundleError: Only one of the two knows parts, or the store holds a part that the bundle does not know.
        StoreError: The store holds no map.
    """
    if not store.slide_ids:
        raise StoreError(asked, "The store holds no map.", "Make maps with 'histonic compress'.")
    if bool(bundle.parts) != bool(store.parts):
        known, here = (
            ", ".join(names) or "one part alone"
            for names in ([part.name for part in bundle.parts], list(store.parts))
        )
        raise BundleError(
            asked,
            f"The run was trained on {known}, {store.path} holds {here}.",
            "Give a folder of stores with the names of the run's parts."
            if bundle.parts
            else "Give one of its stores.",
        )
    if not bundle.parts:
        return [(bundle, store)]
    return [(bundle.of_part(name), part) for name, part in store.parts.items()]
