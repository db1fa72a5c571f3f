"""One digit among many: images that hold a target or do not, whose size says how hard it is to find.

Pawlowski et al., Needles in haystacks: on classifying tiny objects in large images (2019): nMNIST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SettingsError
from histonic.simulate.low_signal.digits import MNIST_PX, PARTS, Digits, Part

DISTRACTORS = {64: 2, 128: 6, 256: 25, 512: 100, 1024: 400, 2048: 1600, 4096: 6400, 6144: 14400}
"""Digits beside the one that decides, by the side of the canvas in pixels of 28 px digits."""
CELL_PX = 64
"""Side of the squares of 28 px digits, in one of which the target lies wholly."""
TARGET = 3
SUBSET = 11_276
"""Training images of the paper."""
UInt8Image = npt.NDArray[np.uint8]
_IMAGE, _POOL = 51, 52


@dataclass(frozen=True)
class NeedlePlan:
    """What the images of a set are like.

    Attributes:
        canvas: Side of the canvas where digits have 28 px, a row of :data:`DISTRACTORS` or any other.
        distractors: Digits beside the one that decides; None: that of the canvas's row, else by area.
        target: The digit that makes an image positive.
        digit_px: Side of a digit. The canvas is made smaller or larger with it, so that the object-to-image
            ratio stays.
        duplicates: How often a target digit is used at most.
        seed: Of everything.
    """

    canvas: int
    distractors: int | None = None
    target: int = TARGET
    digit_px: int = MNIST_PX
    duplicates: int = 2
    seed: int = 0

    @property
    def side_px(self) -> int:
        """Side of the image in pixels."""
        return round(self.canvas * self.digit_px / MNIST_PX)

    @property
    def cell_px(self) -> int:
        """Side of a square of the truth in pixels."""
        return min(max(round(CELL_PX * self.digit_px / MNIST_PX), self.digit_px), self.side_px)

    @property
    def cells(self) -> int:
        """Squares along a side."""
        return self.side_px // self.cell_px

    @property
    def clutter(self) -> int:
        """Distractors of a positive image; a negative one has one more."""
        if self.distractors is not None:
            return self.distractors
        if self.canvas in DISTRACTORS:
            return DISTRACTORS[self.canvas]
        # The paper's density from 256 px on.
        return max(1, round(25 * (self.canvas / 256) ** 2))

    @property
    def ratio(self) -> float:
        """Object-to-image ratio: area of a digit's box by that of the image.

        Example:
            >>> round(NeedlePlan(64).ratio, 3), round(NeedlePlan(6144).ratio, 6)
            (0.191, 2.1e-05)
        """
        return float(self.digit_px**2 / self.side_px**2)


@dataclass(frozen=True)
class Needle:
    """One image.

    Attributes:
        pixels: uint8 ``(side_px, side_px)``, ink is 255.
        label: 1 if the target is there.
        cells: bool ``(cells, cells)``: the square that holds the target wholly; nowhere in a negative image.
        target_xy: Left upper corner of the target in pixels; None in a negative image.
        digits: ``(n, 3)`` row in the part's digits, x and y, in the order in which they were laid.
    """

    pixels: UInt8Image
    label: int
    cells: npt.NDArray[np.bool_]
    target_xy: tuple[int, int] | None
    digits: npt.NDArray[np.int64]


class NeedleImages(Sequence[Needle]):
    """Images of one part, made when they are asked for; half of them are positive.

    Image ``k`` depends on the plan, the part and ``k`` alone: sets of different lengths begin alike.

    Args:
        plan: What they are like.
        digits: Of the part; targets and distractors come from it alone.
        part: Its name.
        count: How many images; None: as many as the targets allow.

    Raises:
        SettingsError: The part has no target digit or no other, the targets do not suffice, or the canvas is
            smaller than a digit.

    Example:
        >>> from histonic.simulate.low_signal.digits import read_digits
        >>> images = NeedleImages(NeedlePlan(128, digit_px=8), read_digits(side_px=8)["train"], "train", 10)
        >>> [images[k].label for k in range(4)], images[0].pixels.shape
        ([1, 0, 1, 0], (37, 37))
    """

    def __init__(self, plan: NeedlePlan, digits: Digits, part: Part, count: int | None = None) -> None:
        self.plan, self.digits, self.part = plan, digits, part
        asked = f"Make needle images of {plan.side_px} px of the {part} digits of {digits.source}."
        if plan.side_px < plan.digit_px or digits.images.shape[1] != plan.digit_px:
            raise SettingsError(
                asked, f"A digit has {digits.images.shape[1]} px.", f"Use digits of {plan.digit_px} px."
            )
        targets = digits.of(plan.target)
        self._others = np.flatnonzero(digits.labels != plan.target)
        if not len(targets) or not len(self._others):
            raise SettingsError(
                asked, f"There are {len(targets)} of {plan.target}.", "Choose another target."
            )
        most = 2 * plan.duplicates * len(targets)
        self._count = most if count is None else count
        if self._count > most:
            raise SettingsError(
                asked,
                f"{self._count} images need {self._count - self._count // 2} positive ones; {len(targets)} "
                f"targets used {plan.duplicates} times are {most // 2}.",
                f"Give --duplicates {-(-self._count // (2 * len(targets)))} or more, or fewer images.",
            )
        order = np.random.default_rng([plan.seed, _POOL, PARTS.index(part)])
        self._targets = np.concatenate([order.permutation(targets) for _ in range(plan.duplicates)])

    def __len__(self) -> int:
        return self._count

    @cached_property
    def labels(self) -> npt.NDArray[np.int64]:
        """``(N,)`` 0 and 1, without making the images."""
        return np.asarray(np.arange(self._count) % 2 == 0, dtype=np.int64)

    def __getitem__(self, index: int) -> Needle:  # type: ignore[override]
        """Make image ``index``."""
        laid, cells, target_xy = self._plan(index)
        pixels = lay(self.digits.images, laid, self.plan.side_px)
        return Needle(pixels, int(target_xy is not None), cells, target_xy, laid)

    def target_xy(self, index: int) -> tuple[int, int] | None:
        """Left upper corner of the target of an image, which is not made."""
        return self._plan(index)[2]

    def _plan(
        self, index: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], tuple[int, int] | None]:
        """Digits and their places, the square of the target, and its place."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        plan = self.plan
        rng = np.random.default_rng([plan.seed, _IMAGE, PARTS.index(self.part), index])
        positive = index % 2 == 0
        chosen = rng.choice(self._others, plan.clutter + (not positive))
        corners = rng.integers(0, plan.side_px - plan.digit_px + 1, (len(chosen), 2))
        cells = np.zeros((plan.cells, plan.cells), bool)
        laid = np.column_stack([chosen, corners])
        if not positive:
            return laid, cells, None
        row, col = rng.integers(0, plan.cells, 2)
        cells[row, col] = True
        within = rng.integers(0, plan.cell_px - plan.digit_px + 1, 2)
        x, y = int(col * plan.cell_px + within[0]), int(row * plan.cell_px + within[1])
        whole = np.concatenate([laid, [[self._targets[index // 2], x, y]]]).astype(np.int64)
        return whole, cells, (x, y)


def lay(images: UInt8Image, laid: npt.NDArray[np.int64], side_px: int) -> UInt8Image:
    """Digits on a canvas; where they overlap their ink is added up, to 255 at most.

    Args:
        images: uint8 ``(N, S, S)``.
        laid: ``(n, 3)`` row, x and y.
        side_px: Of the canvas.

    Example:
        >>> lay(np.full((1, 1, 1), 200, np.uint8), np.array([[0, 1, 0], [0, 1, 0]]), 2).tolist()
        [[0, 255], [0, 0]]
    """
    canvas = np.zeros((side_px, side_px), np.uint8)
    size = images.shape[1]
    for row, x, y in laid.tolist():
        part = canvas[y : y + size, x : x + size]
        # Saturating: what is left to 255 is all that can be added.
        part += np.minimum(images[row], 255 - part)
    return canvas
