"""HDF5 files as other tools write them: opened, attributes as plain values, damage told by slide."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from histonic.core.units import WH
from histonic.data.exchange.tile_features import Floats, Matrix, unreadable

NEAR = 0.02
"""By how much downsamples that are meant to be the same may differ: levels have whole pixels."""
PADDING_PX = 512
"""By how much a level may be larger than what it shows: some pyramids are padded to whole tiles."""
UNKNOWN_PADDING = 0.5
"""By how much downsamples may differ where the size of the level is not told."""
MAGNIFICATION_TOLERANCE = 0.15
"""Of a side at level 0: magnifications are microns per pixel, rounded to what lenses are sold as."""
ERRORS = (OSError, KeyError, ValueError, TypeError, RuntimeError)
"""What h5py raises on damaged files."""


@contextmanager
def opened(path: Path, slide_id: str) -> Iterator[Any]:
    """The open file.

    Raises:
        SlideError: It is absent or damaged, or lacks what is read of it.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except ERRORS as error:
        told = " ".join(str(error).split())
        absent = re.search(r"object '([^']+)' doesn't exist", told)
        if absent:
            raise unreadable(
                slide_id,
                path,
                f"It has no {absent[1]!r}.",
                "Write the file anew, with features and positions.",
            ) from error
        raise unreadable(
            slide_id, path, f"It cannot be read: {told}.", "Copy it again or make it anew."
        ) from error


def hold(paths: Iterable[Path], test: Callable[[Any], bool]) -> bool:
    """Whether HDF5 files are of some kind: the first that can be opened decides, damaged ones say nothing."""
    for path in paths:
        try:
            with h5py.File(path, "r") as file:
                try:
                    return bool(test(file))
                except ERRORS:
                    return False
        except OSError:
            continue
    return False


def matrix_in(path: Path, slide_id: str, name: str) -> Callable[[], AbstractContextManager[Matrix]]:
    """Opens the features of a file by the name of their data set."""

    @contextmanager
    def open_() -> Iterator[Matrix]:
        with opened(path, slide_id) as file:
            yield file[name]

    return open_


def plain(attributes: Any) -> dict[str, Any]:
    """Attributes as plain values; TRIDENT writes None as the text None."""
    return {str(key): _plain(value) for key, value in attributes.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        # An array of one is its value, as some scripts write numbers.
        return _plain(value.item()) if value.size == 1 else value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return None if value == "None" else value


def positive(values: Mapping[str, Any], name: str, slide_id: str, path: Path) -> float | None:
    """A number above zero; None if it is not there.

    Raises:
        SlideError: It is something else.
    """
    value = values.get(name)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise unreadable(slide_id, path, f"Its attribute {name!r} is {value!r}.")
    return number


def level_downsample(values: Mapping[str, Any], slide_id: str, path: Path) -> float:
    """By how much the level of CLAM's patches is smaller than level 0, in whose pixels they lie.

    CLAM divides the sizes of both levels, so that padding makes the number smaller: where width and height
    differ, the larger is the nearer one.

    Raises:
        SlideError: It is a level above 0 and the file does not say, or its attributes contradict each other.
    """
    level, told = values.get("patch_level"), values.get("downsample")
    sides = told if isinstance(told, list) else [told]
    downs = [positive({"downsample": each}, "downsample", slide_id, path) for each in sides]
    try:
        number = 0.0 if level is None else float(level)
    except (TypeError, ValueError):
        number = float("nan")
    if not (number >= 0 and number.is_integer()):
        raise unreadable(slide_id, path, f"Its attribute 'patch_level' is {level!r}.")
    known = [each for each in downs if each is not None]
    if not known and number:
        raise unreadable(
            slide_id,
            path,
            f"Its patches are of level {number:g}, and it does not say how much smaller that is.",
            "Write that beside 'patch_level' as the attribute 'downsample', such as 4.0, or make it anew.",
        )
    least, most = min(known, default=1.0), max(known, default=1.0)
    is_square = len(known) in (0, len(downs)) and most <= (1 + _room(values)) * least
    is_other = level is not None and bool(known) and (number > 0) != (most > 1 + NEAR)
    if not is_square or is_other:
        at = "" if level is None else f"'patch_level' is {number:g}, "
        raise unreadable(
            slide_id,
            path,
            f"Its attributes contradict each other: {at}'downsample' is {told!r}.",
            "Patches of level 0 have the downsample 1, those of other levels a larger one, the same for "
            "width and height: correct them, or make the file anew.",
        )
    return known[0] if known and most <= (1 + NEAR) * least else most


def _room(values: Mapping[str, Any]) -> float:
    """By how much the downsamples of width and height may differ, as a share."""
    size = values.get("level_dim")
    try:
        least = float(np.min(np.asarray(size, np.float64))) if size is not None else 0.0
    except (TypeError, ValueError):
        least = 0.0
    return max(NEAR, PADDING_PX / least) if least > 0 else UNKNOWN_PADDING


def padding_note(values: Mapping[str, Any]) -> str:
    """What is to be said of downsamples that differ between width and height; empty if they do not."""
    sides = values.get("downsample")
    told = [float(each) for each in sides] if isinstance(sides, list) else [1.0]
    if max(told) <= (1 + NEAR) * min(told):
        return ""
    return (
        f"'downsample' is {told[0]:g} of the width and {told[-1]:g} of the height, as of levels that are "
        f"padded to whole tiles; {max(told):g} is used"
    )


def require_one_side(
    slide_id: str,
    path: Path,
    tile_px: float | None,
    side: float | None,
    own: float | None,
    target: float | None,
) -> None:
    """Refuse a side at level 0 that is not the one of the magnifications: one of them is wrong.

    Args:
        slide_id: Of the slide.
        path: Of its file.
        tile_px: ``patch_size``; where one of the four is not known, nothing is refused.
        side: ``patch_size_level0``.
        own: ``level0_magnification``.
        target: ``target_magnification``.

    Raises:
        SlideError: They contradict each other.
    """
    if side is None or tile_px is None or own is None or target is None:
        return
    wanted = tile_px * own / target
    if abs(side - wanted) > 1 + MAGNIFICATION_TOLERANCE * wanted:
        raise unreadable(
            slide_id,
            path,
            f"Its attributes contradict each other: {tile_px:g} px at {target:g}x are {wanted:g} px of "
            f"level 0 ({own:g}x), but its tiles are said to be {side:g} px wide there.",
            "Correct 'patch_size', 'patch_size_level0' or the magnifications, or make the file anew.",
        )


def size_of(width: float | None, height: float | None) -> WH | None:
    """A size in pixels where both sides are known."""
    return None if width is None or height is None else WH(round(width), round(height))


def positions(values: Any, slide_id: str, path: Path, columns: int = 2) -> Floats:
    """Positions ``(N, 2)``: the first two columns.

    Raises:
        SlideError: They have another shape, or are no finite numbers.
    """
    xy = np.asarray(values, np.float64)
    if xy.size == 0:
        return np.empty((0, 2))
    if xy.ndim == 3 and len(xy) == 1:  # of whole slides, squeezed or not
        xy = xy[0]
    if xy.ndim != 2 or xy.shape[1] != columns:
        raise unreadable(slide_id, path, f"Its positions have the shape {xy.shape}, not (N, {columns}).")
    if not np.isfinite(xy).all():
        raise unreadable(slide_id, path, "Some positions are no finite numbers.")
    return xy[:, :2]
