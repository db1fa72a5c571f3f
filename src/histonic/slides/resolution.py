"""What a header says of microns per pixel, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass

PLAUSIBLE_MPP = (0.05, 20.0)
MOST_ANISOTROPY = 0.02


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
