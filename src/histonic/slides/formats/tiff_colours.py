"""From the samples of a TIFF page to RGB: depth, palette, grey, alpha; what cannot be shown is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[Any]
Block = npt.NDArray[np.uint8]
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6
NAMES = {
    4: "a transparency mask",
    5: "CMYK",
    8: "CIE L*a*b*",
    9: "ICC L*a*b*",
    10: "ITU L*a*b*",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
}
JPEG_FAMILY = (7, 33003, 33004, 33005, 34712)
JPEG2000_YCBCR = 33003
PREMULTIPLIED, ALPHA = 1, 2
MOST_BITS = 16
UPRIGHT = 1


class UnshownError(Exception):
    """Colours or samples of a kind that cannot be turned into RGB.

    Args:
        found: Of which kind.
        todo: How RGB is made of it, where that is more than saving it in another format.
    """

    def __init__(self, found: str, todo: str = "") -> None:
        super().__init__(found)
        self.todo = todo


SCALE = (
    "Only who made it knows which values are black and white: scale it to 8 bits a channel there (ImageJ: "
    "set Brightness/Contrast, then Image > Type > RGB Color), and save it as RGB."
)
CONVERT = (
    "Convert its colours to RGB, for instance: vips colourspace IN 'OUT.tif[tile,pyramid,compression=jpeg,"
    "bigtiff]' srgb. Compare it with what the scanner's own program shows."
)


@dataclass(frozen=True)
class Colours:
    """How the samples of a page become RGB.

    Attributes:
        photometric: TIFF's number: 0 white is zero, 1 black is zero, 2 RGB, 3 palette, 6 YCbCr (which the
            decoder of JPEG turns into RGB).
        bits: Bits per sample, 1 to 16; white is ``2 ** bits - 1``.
        alpha: 0 there is none, 1 the colours are multiplied by it already, 2 they are not.
        palette: uint8 ``(2 ** bits, 3)`` RGB of each index, None for other kinds.
        ycbcr: The decoder leaves luma and chroma, as Aperio's JPEG 2000 has them.
    """

    photometric: int
    bits: int = 8
    alpha: int = 0
    palette: Block | None = None
    ycbcr: bool = False

    def to_rgb(self, samples: Samples) -> Block:
        """RGB on white.

        Args:
            samples: ``(h, w, S)`` as decoded, 0 to ``2 ** bits - 1``.

        Returns:
            uint8 ``(h, w, 3)``.

        Example:
            >>> Colours(WHITE_IS_ZERO, bits=1).to_rgb(np.array([[[1], [0]]])).tolist()
            [[[0, 0, 0], [255, 255, 255]]]
        """
        if self.palette is not None:
            return self.palette[samples[..., 0]]
        eight = _to_8_bits(samples, self.bits)
        if self.ycbcr:
            eight = ycbcr_to_rgb(eight)
        count = 1 if self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) else 3
        colour = eight[..., :count]
        if self.photometric == WHITE_IS_ZERO:
            colour = 255 - colour
        if self.alpha:
            colour = _on_white(colour, eight[..., count : count + 1], self.alpha == PREMULTIPLIED)
        rgb: Block = np.repeat(colour, 3, axis=2) if count == 1 else colour
        return rgb


def colours_of(page: Any) -> Colours:
    """How a page's samples become RGB.

    Raises:
        UnshownError: They cannot: floating point, more than 16 bits, CMYK, several grey channels ...
    """
    bits = page.bitspersample
    if not isinstance(bits, int | np.integer):
        raise UnshownError(f"its samples have {' and '.join(map(str, bits))} bits")
    if page.dtype is None or page.dtype.kind not in "ub" or int(bits) > MOST_BITS:
        kind = "no number" if page.dtype is None else f"{page.dtype}"
        raise UnshownError(
            f"its samples are {kind} of {bits} bits; read are whole numbers without sign of 1 to 16 bits",
            SCALE,
        )
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    compression, bits = int(page.compression), int(bits)
    extra = tuple(int(each) for each in page.extrasamples or ())
    if photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, YCBCR):
        raise UnshownError(f"its colours are stored as {NAMES.get(photometric, photometric)}", CONVERT)
    if photometric == YCBCR and (compression not in JPEG_FAMILY or int(page.planarconfig) == 2):
        raise UnshownError("its colours are stored as YCbCr, but not compressed by JPEG")
    if compression in JPEG_FAMILY[:1] and bits != 8:
        raise UnshownError(f"it is JPEG with {bits} bits")
    if int(page.imagedepth) > 1:
        raise UnshownError("it is a stack of planes")
    orientation = int(page.tags.valueof("Orientation", default=UPRIGHT))
    if UPRIGHT < orientation <= 8:
        raise UnshownError(
            f"it is stored turned or mirrored (orientation {orientation}), and read as it is stored it would "
            "not lie as other programs show it"
        )
    count = 3 if photometric in (RGB, YCBCR) else 1
    if samples < count:
        raise UnshownError(f"its colours have {samples} channel(s), not {count}")
    alpha = extra[0] if extra and samples > count and extra[0] in (PREMULTIPLIED, ALPHA) else 0
    if count == 1 and samples > 1 + bool(alpha):
        raise UnshownError(f"it has {samples} channels and does not say that they are red, green and blue")
    if photometric == PALETTE:
        if samples > 1 or bits > 8:
            raise UnshownError(f"it has a palette, but {samples} channels of {bits} bits")
        return Colours(photometric, bits, palette=_palette(page.colormap, bits))
    return Colours(photometric, bits, alpha, ycbcr=compression == JPEG2000_YCBCR)


def _palette(colormap: Any, bits: int) -> Block:
    values = np.asarray(colormap, np.uint32) if colormap is not None else np.zeros(0)
    if values.shape != (3, 2**bits):
        raise UnshownError(f"its palette does not have {2**bits} colours")
    # The standard asks for 16 bits, but some programs write 8.
    scaled = values if values.max() < 256 else (values + 128) // 257
    table: Block = np.ascontiguousarray(scaled.T.astype(np.uint8))
    return table


def _to_8_bits(samples: Samples, bits: int) -> Block:
    if bits == 8:
        eight: Block = samples
        return eight
    white = 2**bits - 1
    scaled: Block = ((samples.astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    return scaled


def _on_white(colour: Block, alpha: Block, premultiplied: bool) -> Block:
    opaque = alpha.astype(np.uint16)
    if premultiplied:
        added: Block = np.minimum(colour.astype(np.uint16) + (255 - opaque), 255).astype(np.uint8)
        return added
    mixed: Block = ((colour * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)
    return mixed


def _share(factor: float, unit: int = 1) -> npt.NDArray[np.int64]:
    """``factor`` times each of the 256 chroma values in 1/``unit``, halves rounded away from zero."""
    values = factor * unit * (np.arange(256) - 128)
    away: npt.NDArray[np.int64] = np.copysign(np.floor(np.abs(values) + 0.5), values).astype(np.int64)
    return away


# Green gets two shares, which are rounded together.
FINE = 65_536
RED_OF_CR = _share(1.402).astype(np.int16)
BLUE_OF_CB = _share(1.772).astype(np.int16)
GREEN_OF_CB = _share(-0.34414, FINE) + FINE // 2
GREEN_OF_CR = _share(-0.71414, FINE)


def ycbcr_to_rgb(samples: Block) -> Block:
    """Luma and chroma to RGB as in JFIF; Aperio's JPEG 2000 streams do not carry the transform."""
    luma, blue, red = samples[..., 0].astype(np.int16), samples[..., 1], samples[..., 2]
    green = (GREEN_OF_CB[blue] + GREEN_OF_CR[red]) // FINE
    rgb = np.stack([luma + RED_OF_CR[red], luma + green.astype(np.int16), luma + BLUE_OF_CB[blue]], axis=-1)
    return np.clip(rgb, 0, 255).astype(np.uint8)
