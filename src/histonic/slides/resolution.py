"""What a header says of size and microns per pixel, and whether to believe it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from histonic.core.errors import UnreadableSlideError

PLAUSIBLE_MPP = (0.05, 20.0)
MOST_ANISOTROPY = 0.02
# The largest glass slides, for sections of whole organs, are about 130 x 180 mm.
MOST_SIDE_UM = 200_000.0
MOST_SIDE_PX = 5_000_000
MOST_PIXELS = 10**12


@dataclass(frozen=True)
class HeaderMpp:
    """Microns per pixel of level 0 according to a file's header.

    Attributes:
        mpp: The resolution, None if the header does not say or cannot be believed.
        field: The field that says so.
        refused: Why what the header says is not used; empty if it is, or if it says nothing.
    """

    mpp: float | None = None
    field: str = ""
    refused: str = ""


def assess_mpp(across: float, down: float, field: str) -> HeaderMpp:
    """Believe a resolution that a scanner could have made: 0.05 to 20 µm/px, pixels square to 2 %.

    Image programs write 72 or 96 dots per inch (353 or 265 µm/px) where they know nothing.

    Args:
        across: Microns per pixel along x.
        down: Microns per pixel along y.
        field: The header's field.

    Example:
        >>> assess_mpp(0.25, 0.25, "Aperio MPP").mpp
        0.25
        >>> assess_mpp(352.8, 352.8, "TIFF resolution").refused
        'Its header says 352.8 µm/px (TIFF resolution), which is not the resolution of a scanner.'
    """
    low, high = PLAUSIBLE_MPP
    said = f"{across:.4g}" if across == down else f"{across:.4g} x {down:.4g}"
    if not (low <= across <= high and low <= down <= high):
        why = f"Its header says {said} µm/px ({field}), which is not the resolution of a scanner."
        return HeaderMpp(refused=why)
    if abs(across - down) > MOST_ANISOTROPY * min(across, down):
        return HeaderMpp(refused=f"Its header says {said} µm/px ({field}): the pixels are not square.")
    return HeaderMpp((across + down) / 2, field)


def require_possible_size(path: object, wh: tuple[int, int]) -> None:
    """Memory of masks and thumbnails follows the size of level 0, so that no header may claim any size.

    Args:
        path: The slide, for the message.
        wh: Width and height.

    Raises:
        UnreadableSlideError: No slide is of that size.
    """
    if min(wh) < 1 or max(wh) > MOST_SIDE_PX or wh[0] * wh[1] > MOST_PIXELS:
        raise UnreadableSlideError(
            f"Open the slide {path}.",
            f"It is said to have {wh[0]} x {wh[1]} px, which no slide has.",
            "The file is damaged: copy or export it again.",
        )


def assess_extent(header: HeaderMpp, size_wh: tuple[int, int]) -> HeaderMpp:
    """Believe a resolution only where the slide is no larger than glass slides are made.

    Args:
        header: What the header says.
        size_wh: Width and height of level 0 in pixels.

    Example:
        >>> assess_extent(HeaderMpp(2.5, "TIFF resolution"), (100_000, 80_000)).refused
        'Its header says 2.5 µm/px (TIFF resolution): at 100000 x 80000 px that is a slide of 250 x 200 mm.'
    """
    if header.mpp is None or max(size_wh) * header.mpp <= MOST_SIDE_UM:
        return header
    wide, high = (side * header.mpp / 1000 for side in size_wh)
    return HeaderMpp(
        refused=f"Its header says {header.mpp:.4g} µm/px ({header.field}): "
        f"at {size_wh[0]} x {size_wh[1]} px that is a slide of {wide:.0f} x {high:.0f} mm."
    )


def parse_number(text: str) -> float | None:
    """A number as scanners write it: with a decimal point or comma, maybe with thousands apart.

    Of point and comma the last one is the decimal; one that stands alone is always the decimal, as no scanner
    has thousands of microns per pixel.

    Returns:
        The number; None if the text is none, or not one number only.

    Example:
        >>> parse_number("0,4990"), parse_number("1.234,5"), parse_number("2.5e-1 µm"), parse_number("0.5.1")
        (0.499, 1234.5, 0.25, None)
    """
    found = re.fullmatch(
        r"\s*([-+]?)([\d.,]*\d[.,]?)((?:[eE][-+]?\d{1,3})?)\s*(?:[µμu]m(?:/px)?)?\s*", text, re.ASCII
    )
    if found is None:
        return None
    sign, digits, exponent = found.groups()
    decimal = max(digits.rfind("."), digits.rfind(","))
    if decimal >= 0:
        whole, part = digits[:decimal], digits[decimal + 1 :]
        other = "," if digits[decimal] == "." else "."
        if digits[decimal] in whole or (
            other in whole and not re.fullmatch(rf"\d{{1,3}}(\{other}\d{{3}})+", whole)
        ):
            return None
        digits = f"{whole.replace(other, '')}.{part}"
    try:
        return float(f"{sign}{digits}{exponent}")
    except ValueError:
        return None
