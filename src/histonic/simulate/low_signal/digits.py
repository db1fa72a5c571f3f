"""Handwritten digits in three parts that share no digit: MNIST's files, or those of scikit-learn."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from histonic.core.errors import SettingsError

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
MNIST_PX = 28
MNIST_VALIDATION = 5_000
"""Of MNIST's 60,000 training digits; the other 55,000 are learned from."""
SHARES = {"train": 0.6, "val": 0.15, "test": 0.25}
"""Of scikit-learn's 1,797 digits, which have no parts of their own."""
FILES = {
    "train": ("train-images", "train-labels"),
    "test": ("t10k-images", "t10k-labels"),
}
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
MOST_DIGITS = 1_000_000
UInt8Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Digits:
    """Digits of one part.

    Attributes:
        images: uint8 ``(N, S, S)``, ink is 255.
        labels: ``(N,)`` 0 to 9.
        source: Where they come from.
    """

    images: UInt8Image
    labels: npt.NDArray[np.int64]
    source: str

    def of(self, digit: int) -> npt.NDArray[np.int64]:
        """Rows of one class."""
        return np.flatnonzero(self.labels == digit)


def read_digits(folder: Path | None = None, side_px: int = MNIST_PX, seed: int = 0) -> dict[Part, Digits]:
    """Digits of a side, in parts for training, validation and test.

    Args:
        folder: With MNIST's IDX files (``train-images-idx3-ubyte``, ``t10k-...``, packed by gzip or not):
            55,000, 5,000 and 10,000 digits. None: scikit-learn's 1,797 digits of 8 px, drawn into parts by
            the seed; their writers are not known, so parts may share writers, never a digit.
        side_px: Side of the digits; others are made larger or smaller.
        seed: Of the parts of scikit-learn's digits.

    Raises:
        SettingsError: A file is absent, damaged, or no MNIST file.

    Example:
        >>> digits = read_digits(side_px=8)
        >>> [len(part.labels) for part in digits.values()], digits["train"].images.shape[1:]
        ([1078, 270, 449], (8, 8))
    """
    if folder is not None:
        return _mnist(folder, side_px)
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = np.round(bunch.images * 255 / 16).astype(np.uint8)
    order = np.random.default_rng([seed, 41]).permutation(len(images))
    ends = np.round(np.cumsum([SHARES[part] for part in PARTS]) * len(images)).astype(int)
    rows = np.split(order, ends[:-1])
    return {
        part: Digits(resized(images[own], side_px), bunch.target[own].astype(np.int64), "scikit-learn")
        for part, own in zip(PARTS, rows, strict=True)
    }


def resized(images: UInt8Image, side_px: int) -> UInt8Image:
    """Images ``(N, S, S)`` of another side; made smaller by areas, larger by straight lines."""
    if images.shape[1] == side_px:
        return images
    how = Image.Resampling.BOX if side_px < images.shape[1] else Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(each).resize((side_px, side_px), how)) for each in images])


def _mnist(folder: Path, side_px: int) -> dict[Part, Digits]:
    found = {}
    for which, (images, labels) in FILES.items():
        pixels = _read_idx(_file(folder, images), IMAGES_MAGIC, 3)
        numbers = _read_idx(_file(folder, labels), LABELS_MAGIC, 1).astype(np.int64)
        if len(pixels) != len(numbers) or pixels.shape[1] != pixels.shape[2] or numbers.max(initial=0) > 9:
            raise SettingsError(
                f"Read the digits in {folder}.",
                f"{images} has {len(pixels)} images of {pixels.shape[1:]}, {labels} {len(numbers)} labels up "
                f"to {numbers.max(initial=0)}.",
                "Copy MNIST's files again.",
            )
        found[which] = (resized(pixels, side_px), numbers)
    images_of, labels_of = found["train"]
    held = min(MNIST_VALIDATION, len(labels_of) // 12)
    whole = found["test"]
    return {
        "train": Digits(images_of[held:], labels_of[held:], "MNIST"),
        "val": Digits(images_of[:held], labels_of[:held], "MNIST"),
        "test": Digits(whole[0], whole[1], "MNIST"),
    }


def _file(folder: Path, stem: str) -> Path:
    """A file of MNIST, in the names in which it is kept."""
    kind = "idx3" if stem.endswith("images") else "idx1"
    names = [f"{stem}{join}{kind}-ubyte{end}" for join in ("-", ".") for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise SettingsError(
        f"Read the digits in {folder}.",
        f"There is no {names[0]}, packed by gzip or not.",
        "Give the folder with MNIST's four files, or leave it out: scikit-learn's digits are used then.",
    )


def _read_idx(path: Path, magic: int, axes: int) -> UInt8Image:
    asked = f"Read the digits in {path}."
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            found, *shape = struct.unpack(f">{1 + axes}I", file.read(4 * (1 + axes)))
            if found != magic or shape[0] > MOST_DIGITS or max(shape[1:], default=0) > 1024:
                raise SettingsError(
                    asked, f"It begins with {found}, {shape}, and is no IDX file of MNIST.", "Copy it again."
                )
            count = math.prod(shape)
            data = file.read(count)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise SettingsError(asked, f"It cannot be read: {error}.", "Copy it again.") from error
    if len(data) != count:
        raise SettingsError(asked, f"It ends after {len(data):,} of {count:,} bytes.", "Copy it again.")
    return np.frombuffer(data, np.uint8).reshape(shape)
