"""Crops of small objects on tissue at their true scale: what a tile of a slide shows of them.

A crop that is smaller than the encoder's tile can be blown up to fill it; then the encoder learns objects of
a size that no slide shows it. Here the crop keeps its microns, and real tissue lies around it.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from histonic.core.errors import TileSetError
from histonic.core.files import files_below
from histonic.data.tilesets.images import IMAGE_SUFFIXES, UInt8Array, read_image
from histonic.data.tilesets.listing import Listing, file_stamp
from histonic.data.tilesets.pixels import MOST_ENLARGED, Fit, bring
from histonic.data.tilesets.plan import TileSetSettings

FADE = 0.15
"""Share of a crop's side over which it fades at each border into what lies beside it."""
LEAST_FADE_PX = 1
MOST_TISSUE = 4_000
"""Crops of a split that serve as tissue, at most; they are kept in memory."""
LEAST_PX = 8
"""Side below which a crop on a tile shows nothing that could be learned."""
SPLITS = ("train", "val", "test")
HELD_OUT = (0.7, 0.85)
"""Shares of the pictures of tissue up to which they belong to train, and to val; the rest to test."""
FloatArray = npt.NDArray[np.float32]


class Composer:
    """Lays each crop of a set on tissue at the encoder's resolution.

    The tissue is a grid of crops of the class that shows none of the objects, of the same split, or a piece
    of a picture that was given, of its own part of the pictures; half of each where both are there.
    Everything is turned at random and fades into its neighbours, and the place of the crop is random. What is
    drawn depends on the row and the view alone.

    Args:
        plan: Says ``rest``, ``background``, ``background_mpp``, ``views``, and the crops' resolution.
        listing: The crops.
        tile_px: Side of the encoder's tiles.
        mpp: Their microns per pixel.

    Raises:
        TileSetError: There is nothing to lay the crops on.
    """

    def __init__(self, plan: TileSetSettings, listing: Listing, tile_px: int, mpp: float) -> None:
        self._plan = plan
        self._listing = listing
        self._tile_px = tile_px
        self._mpp = mpp
        self._asked = f"Compose the tile set {plan.name!r} at {mpp} µm/px."
        self._rest = self._rest_rows()
        self._pictures = _shared_out(background_files(plan, self._asked))
        if not self._rest and not self._pictures:
            raise TileSetError(
                self._asked,
                "There is no tissue to lay its crops on.",
                "Name the class that shows none of the objects (rest:), and give the set's splits; or give "
                "pictures of tissue (background: and background_mpp:).",
            )
        if self._pictures and (coarse := (plan.background_mpp or mpp) / mpp) > MOST_ENLARGED:
            raise TileSetError(
                self._asked,
                f"background_mpp is {plan.background_mpp:g}: tissue would be enlarged {coarse:.1f} times.",
                "Give finer pictures, or correct background_mpp.",
            )
        self._tissue = {split: self._readable(rows) for split, rows in self._rest.items()}

    def _readable(self, rows: npt.NDArray[np.int64]) -> dict[int, UInt8Array]:
        """Crops that serve as tissue, brought to the encoder's resolution; without damaged ones."""
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:MOST_TISSUE])
        found = {}
        for row in chosen:
            try:
                found[int(row)] = self._crop(int(row))
            except (OSError, ValueError):
                continue  # told as a failure of its own row
        return found

    def _rest_rows(self) -> dict[str, npt.NDArray[np.int64]]:
        """Rows of the class that shows no object, by split; none where the source gives no splits."""
        if not self._plan.rest:
            return {}
        column = self._plan.label[0] if self._plan.label else "label"
        labels = self._listing.labels.get(column)
        found = np.zeros(0, np.int64) if labels is None else np.flatnonzero(labels == self._plan.rest)
        if not len(found):
            raise TileSetError(
                self._asked,
                f"No tile has the label {self._plan.rest!r}.",
                "Correct 'rest:', the class that shows none of the objects.",
            )
        splits = {split: found[self._listing.split[found] == split] for split in SPLITS}
        return {split: rows for split, rows in splits.items() if len(rows)}

    def views(self, row: int) -> list[UInt8Array]:
        """Tiles ``(tile_px, tile_px, 3)`` that show a crop, as many as the plan has views.

        Raises:
            TileSetError: The crop is too large or too small for a tile, or nothing of its split is there.
            OSError: Crop or tissue cannot be read; also ValueError.
        """
        crop = self._crop(row)
        return [self._laid(row, view, crop) for view in range(self._plan.views)]

    def _laid(self, row: int, view: int, crop: UInt8Array) -> UInt8Array:
        name = zlib.crc32(self._listing.names[row].encode())
        rng = np.random.default_rng([name, row, view])
        split = str(self._listing.split[row])
        grid = self._tissue.get(split)
        pictures = (
            self._pictures.get(split, [])
            if split
            else [each for part in self._pictures.values() for each in part]
        )
        if not grid and not pictures:
            raise TileSetError(
                self._asked,
                f"For {self._listing.where(row)} of the split {split or 'not stated'!r} there is no tissue.",
                "Give the set's splits in its table, or more pictures of tissue.",
            )
        if grid and not (pictures and rng.random() < 0.5):
            canvas = self._of_crops(grid, row, rng)
        else:
            canvas = self._of_picture(pictures, rng)
        return lay(canvas, _turned(crop, rng), rng)

    def _crop(self, row: int) -> UInt8Array:
        """A crop at the encoder's resolution."""
        crop = self._listing.read(row)
        return bring(crop, self.fit_of(row, crop))

    def fit_of(self, row: int, crop: UInt8Array) -> Fit:
        """How a crop is brought to the encoder's resolution.

        Raises:
            TileSetError: It is as large as a tile, too small, or would have to be enlarged too much.
        """
        own_mpp = self._plan.mpp or self._plan.assumed_mpp or self._mpp
        side = min(crop.shape[:2])
        to = round(side * own_mpp / self._mpp)
        where = self._listing.where(row)
        found = f"{where} is {side} px at {own_mpp} µm/px, {to} of the tile's {self._tile_px} px."
        if to >= self._tile_px:
            raise TileSetError(self._asked, found, "It fills a tile: use 'scale: mpp'.")
        if to < LEAST_PX or to > side * MOST_ENLARGED:
            raise TileSetError(self._asked, found, "Use a finer --mpp, or correct the set's.")
        return Fit(float(side), to)

    def _of_crops(self, crops: dict[int, UInt8Array], own: int, rng: np.random.Generator) -> FloatArray:
        """A tile of crops side by side, from a random corner on; the smallest of all decides how dense."""
        rows = [row for row in crops if row != own] or list(crops)
        smallest = min(len(crop) for crop in crops.values())
        step = smallest - fade_px(smallest)
        start = -rng.integers(0, smallest, 2)
        total = np.zeros((self._tile_px, self._tile_px, 3), np.float32)
        weight = np.zeros((self._tile_px, self._tile_px, 1), np.float32)
        for top in range(int(start[0]), self._tile_px, step):
            for left in range(int(start[1]), self._tile_px, step):
                crop = _turned(crops[rows[int(rng.integers(len(rows)))]], rng)
                if top + len(crop) <= 0 or left + len(crop) <= 0:
                    continue
                mask = fading(len(crop))[..., None]
                y, x = (slice(max(0, at), min(self._tile_px, at + len(crop))) for at in (top, left))
                inside = (slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left))
                total[y, x] += mask[inside] * crop[inside]
                weight[y, x] += mask[inside]
        return total / weight

    def _of_picture(self, files: Sequence[Path], rng: np.random.Generator) -> FloatArray:
        """A random square of a picture, at the encoder's resolution; the next one where it cannot be read."""
        first = int(rng.integers(len(files)))
        for file in (*files[first:], *files[:first]):
            try:
                picture = read_image(file)
                break
            except (OSError, ValueError):
                continue
        else:
            raise TileSetError(
                self._asked, "None of the pictures of tissue can be read.", "Correct 'background:'."
            )
        own_mpp = self._plan.background_mpp or self._mpp
        side = round(self._tile_px * self._mpp / own_mpp)
        if side > min(picture.shape[:2]):
            raise TileSetError(
                self._asked,
                f"The picture {file} is {picture.shape[1]} x {picture.shape[0]} px at {own_mpp} µm/px: a "
                f"tile needs {side} px.",
                "Leave it out, or correct background_mpp.",
            )
        top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
        square = picture[top : top + side, left : left + side]
        return _turned(bring(square, Fit(float(side), self._tile_px)), rng).astype(np.float32)


def background_files(plan: TileSetSettings, asked: str) -> list[Path]:
    """The pictures of tissue that a plan names, in a fixed order.

    Raises:
        TileSetError: A folder or file of them is absent, or their resolution is not stated.
    """
    files: list[Path] = []
    for path in plan.background:
        if not path.exists():
            raise TileSetError(asked, f"There is no {path} for the tissue.", "Correct 'background:'.")
        inside = [path] if path.is_file() else files_below(path)
        files += [each for each in inside if each.suffix.lower() in IMAGE_SUFFIXES]
    if files and plan.background_mpp is None:
        raise TileSetError(
            asked, "The resolution of its pictures of tissue is not known.", "State 'background_mpp:'."
        )
    return files


def background_stamp(plan: TileSetSettings) -> str:
    """Hash of names, sizes and times of the pictures of tissue; empty where none are given."""
    files = background_files(plan, f"Compose the tile set {plan.name!r}.")
    return file_stamp(files, Path(files[0].anchor)) if files else ""


def _shared_out(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Each picture to one split, by its name, so that no tissue is in two."""
    parts: dict[str, list[Path]] = {}
    for file in files:
        place = int(hashlib.sha256(file.name.encode()).hexdigest()[:8], 16) / 16**8
        number = sum(place >= share for share in HELD_OUT)
        parts.setdefault(SPLITS[number], []).append(file)
    return parts


def fade_px(side: int) -> int:
    """Pixels over which a crop fades at each border, and by which neighbours overlap."""
    return max(LEAST_FADE_PX, round(FADE * side))


def fading(side: int) -> FloatArray:
    """Weights of a crop ``(side, side)``: 1 in the middle, falling to nearly 0 over the border.

    Example:
        >>> fading(10)[5].tolist()
        [0.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.25]
    """
    border = fade_px(side)
    from_edge = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    line = np.clip(from_edge / border, 0, 1).astype(np.float32)
    return np.minimum(line[:, None], line[None, :])


def lay(canvas: FloatArray, crop: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """A crop on tissue at a random place where all of it is to be seen.

    Args:
        canvas: Tissue, float32 ``(S, S, 3)`` of 0..255.
        crop: uint8 ``(s, s, 3)``, s < S.
        rng: For the place.

    Returns:
        uint8 ``(S, S, 3)``.
    """
    room = len(canvas) - len(crop) + 1
    top, left = (int(rng.integers(0, room)) for _ in range(2))
    mask = fading(len(crop))[..., None]
    laid = canvas.copy()
    part = laid[top : top + len(crop), left : left + len(crop)]
    part += mask * (crop.astype(np.float32) - part)
    return np.asarray(np.clip(laid + 0.5, 0, 255), dtype=np.uint8)


def _turned(pixels: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    turned: UInt8Array = np.rot90(pixels, int(rng.integers(4)))
    mirrored: UInt8Array = turned[:, ::-1] if rng.random() < 0.5 else turned
    return mirrored
