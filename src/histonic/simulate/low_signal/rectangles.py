"""Two rectangles of equal digits in a field of digits; the class is that of the tilted one.

The synthetic task of Tellez et al., Neural Image Compression for gigapixel histopathology image analysis,
TPAMI (2019): 50,000 images of 3600 px, 650 GB, which are made here when they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SettingsError
from histonic.simulate.low_signal.digits import PARTS, Digits, Part

SIDE_PX, DIGIT_PX = 3600, 9
DENSITY = 0.162
"""Share of the grid's places that hold a digit: 25,920 of 400 x 400."""
LONG_SIDES = (0.01, 0.5)
"""Of a rectangle, by the side of the image: 36 to 1800 px. Its short side is half of that."""
INK = 63
"""Pixels above it are white, all others black."""
CLASSES = 10
TRIES = 200
UInt8Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
_STREAM, _DIGITS = 61, 62


@dataclass(frozen=True)
class RectanglePlan:
    """What the images of a set are like.

    Attributes:
        side_px: Side of an image.
        digit_px: Side of a digit, and step of the grid on which digits lie.
        density: Share of the places that hold a digit.
        long_sides: Least and greatest long side of a rectangle, by the side of the image.
        seed: Of everything.
        classes: Digits from 0 on that a rectangle can hold; all ten lie elsewhere.
    """

    side_px: int = SIDE_PX
    digit_px: int = DIGIT_PX
    density: float = DENSITY
    long_sides: tuple[float, float] = LONG_SIDES
    seed: int = 0
    classes: int = CLASSES

    def __post_init__(self) -> None:
        low, high = self.long_sides
        if not 2 <= self.classes <= CLASSES:
            raise SettingsError(
                "Make images of rectangles.", f"There are {self.classes} classes.", "Give 2 to 10 classes."
            )
        if self.side_px % self.digit_px or not 0 < low <= high <= 0.5 or not 0 < self.density <= 1:
            raise SettingsError(
                "Make images of rectangles.",
                f"side_px is {self.side_px}, digit_px {self.digit_px}, density {self.density:g}, long sides "
                f"{low:g} to {high:g} of the image.",
                "Give a side that is a multiple of the digit's, a density up to 1, long sides up to 0.5.",
            )

    @property
    def places(self) -> int:
        """Places of the grid along a side."""
        return self.side_px // self.digit_px


@dataclass(frozen=True)
class Rectangle:
    """One rectangle.

    Attributes:
        corners: ``(4, 2)`` x and y in pixels, in turn.
        digit: What lies in it.
        long_side: In pixels.
        angle: Of the long side, in degrees from the x axis.
    """

    corners: FloatArray
    digit: int
    long_side: float
    angle: int

    def holds(self, points: FloatArray) -> npt.NDArray[np.bool_]:
        """Which points ``(n, 2)`` lie in it."""
        centre, turn = self.corners.mean(axis=0), np.radians(self.angle)
        off = points - centre
        along = off @ np.array([np.cos(turn), np.sin(turn)])
        across = off @ np.array([-np.sin(turn), np.cos(turn)])
        inside: npt.NDArray[np.bool_] = (np.abs(along) <= self.long_side / 2) & (
            np.abs(across) <= self.long_side / 4
        )
        return inside


@dataclass(frozen=True)
class RectangleImage:
    """One image.

    Attributes:
        pixels: uint8 ``(side_px, side_px)``, 0 or 255.
        lesion: The tilted rectangle, whose digit is the label.
        distractor: The upright one, of another digit.
    """

    pixels: UInt8Image
    lesion: Rectangle
    distractor: Rectangle

    @property
    def label(self) -> int:
        """0 to 9."""
        return self.lesion.digit


class RectangleImages(Sequence[RectangleImage]):
    """Images of one part, made when they are asked for; image ``k`` depends on plan, part and ``k`` alone.

    Labels go round: as many images as there are classes hold each digit once. The sides of the two rectangles
    are drawn apart, evenly between the least and the greatest. Rectangles lie within the image and, if there
    is room, do not touch; where they do, the tilted one lies above.

    Args:
        plan: What they are like.
        digits: Of the part.
        part: Its name.
        count: How many.

    Raises:
        SettingsError: The digits are of another size, or a class has none.

    Example:
        >>> from histonic.simulate.low_signal.digits import read_digits
        >>> plan = RectanglePlan(side_px=360)
        >>> images = RectangleImages(plan, read_digits(side_px=9)["train"], "train", 20)
        >>> images[3].pixels.shape, sorted(image.label for image in images)[:4]
        ((360, 360), [0, 0, 1, 1])
    """

    def __init__(self, plan: RectanglePlan, digits: Digits, part: Part, count: int) -> None:
        self.plan, self.part, self._count = plan, part, count
        self._rows = [digits.of(digit) for digit in range(CLASSES)]
        if digits.images.shape[1] != plan.digit_px or not all(len(rows) for rows in self._rows):
            raise SettingsError(
                "Make images of rectangles.",
                f"The {part} digits have {digits.images.shape[1]} px and "
                f"{sum(len(rows) > 0 for rows in self._rows)} of {CLASSES} classes.",
                f"Give digits of all classes, of {plan.digit_px} px.",
            )
        self._ink = digits.images > INK

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> RectangleImage:  # type: ignore[override]
        """Make image ``index``."""
        lesion, distractor = self.rectangles(index)
        corners, kinds, rng = self._laid(index)
        return RectangleImage(self._painted(corners, kinds, rng), lesion, distractor)

    def layout(self, index: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Left upper corners ``(n, 2)`` as x and y, and classes ``(n,)``, of all digits of an image."""
        return self._laid(index)[:2]

    def _laid(self, index: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], np.random.Generator]:
        plan = self.plan
        lesion, distractor = self.rectangles(index)
        rng = np.random.default_rng([plan.seed, _DIGITS, PARTS.index(self.part), index])
        places = plan.places**2
        chosen = np.sort(rng.permutation(places)[: round(plan.density * places)])
        corners = np.column_stack([chosen % plan.places, chosen // plan.places]) * float(plan.digit_px)
        corners += rng.uniform(-plan.digit_px / 2, plan.digit_px / 2, corners.shape)
        corners = np.clip(np.round(corners), 0, plan.side_px - plan.digit_px)
        centres: FloatArray = np.asarray(corners + plan.digit_px / 2, dtype=np.float64)
        kinds = rng.integers(0, CLASSES, len(chosen))
        # The tilted one last: it lies above.
        for each in (distractor, lesion):
            kinds[each.holds(centres)] = each.digit
        return corners.astype(np.int64), kinds, rng

    def rectangles(self, index: int) -> tuple[Rectangle, Rectangle]:
        """The tilted and the upright rectangle of an image, which is not made."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        seeds = [self.plan.seed, _STREAM, PARTS.index(self.part)]
        # Ten after ten in an order of their own.
        turn, place = divmod(index, self.plan.classes)
        order = np.random.default_rng([*seeds, turn, 7]).permutation(self.plan.classes)
        return self._place(int(order[place]), np.random.default_rng([*seeds, index]))

    def _place(self, label: int, rng: np.random.Generator) -> tuple[Rectangle, Rectangle]:
        low, high = (share * self.plan.side_px for share in self.plan.long_sides)
        sides = rng.uniform(low, high, 2)
        angles = (int(rng.choice([45, 135])), int(rng.choice([0, 90])))
        digits = (label, int((label + rng.integers(1, self.plan.classes)) % self.plan.classes))
        found = [self._rectangle(*each, rng) for each in zip(digits, sides, angles, strict=True)]
        for _ in range(TRIES):
            if not _touch(*found):
                break
            found = [self._rectangle(*each, rng) for each in zip(digits, sides, angles, strict=True)]
        return found[0], found[1]

    def _rectangle(self, digit: int, side: float, angle: int, rng: np.random.Generator) -> Rectangle:
        turn = np.radians(angle)
        along = np.array([np.cos(turn), np.sin(turn)]) * side / 2
        across = np.array([-np.sin(turn), np.cos(turn)]) * side / 4
        shape = np.array([along + across, along - across, -along - across, -along + across])
        reach = np.abs(shape).max(axis=0)
        centre = rng.uniform(reach, self.plan.side_px - reach)
        return Rectangle(shape + centre, digit, float(side), angle)

    def _painted(
        self, corners: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> UInt8Image:
        drawn = rng.random(len(kinds))
        rows = np.empty(len(kinds), np.int64)
        for kind, own in enumerate(self._rows):
            here = kinds == kind
            rows[here] = own[(drawn[here] * len(own)).astype(np.int64)]
        canvas = np.zeros((self.plan.side_px, self.plan.side_px), np.uint8)
        number, down, right = np.nonzero(self._ink[rows])
        canvas[corners[number, 1] + down, corners[number, 0] + right] = 255
        return canvas


def _touch(one: Rectangle, other: Rectangle) -> bool:
    """Whether two rectangles overlap: no side of either parts them."""
    for first, second in ((one, other), (other, one)):
        turn = np.radians(first.angle)
        for axis in (np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])):
            a, b = first.corners @ axis, second.corners @ axis
            if a.max() < b.min() or b.max() < a.min():
                return False
    return True
