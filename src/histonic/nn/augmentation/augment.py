"""Augmentation of whole batches of tiles on their device, after Tellez et al. (2019, arXiv 1902.06543)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from histonic.core.errors import TrainingError
from histonic.nn.augmentation.colour import relight, turn_colours
from histonic.nn.augmentation.draws import Draws
from histonic.nn.augmentation.geometry import REFERENCE_PX, blur, move
from histonic.nn.stain import perturb_stains

PIXELS_AT_ONCE = 200_000
"""Pixels of all tiles that a CPU works on at once: what fits its cache is done sooner."""


@dataclass(frozen=True)
class AugmentRule:
    """How strongly tiles are changed; every tile draws its own values, uniformly within the ranges.

    A step whose range is 0 is left out. Lengths are in pixels of a 128 px tile and grow and shrink with the
    tile: a tile averaged to 64 px is bent and blurred over the same tissue.

    Attributes:
        orient: Turn by a multiple of 90 degrees and mirror: all 8 orientations, equally often.
        scale: Enlarge by 1 - s .. 1 + s about the centre; what comes in at the border is mirrored tissue.
        elastic_alpha: Strength of the elastic displacement, least and most (Simard et al., ICDAR 2003): a
            field of independent values of -1..1 a pixel is smoothed and multiplied by alpha pixels.
        elastic_sigma_px: Standard deviation of the Gaussian that smooths the field, least and most.
        blur_px: Highest standard deviation of the Gaussian blur. The paper writes 0.1 without a unit; a tenth
            of a pixel would change nothing, so the levels have 1 px.
        noise: Highest standard deviation of the Gaussian noise, in colours of 0..1.
        brightness: Multiply by 1 - s .. 1 + s.
        contrast: Multiply the distance from the tile's mean grey by 1 - s .. 1 + s.
        hue: Turn the hue by -s .. s of the full circle.
        saturation: Move the saturation by -s .. s: at -1 the tile is grey, at 1 pale colours are twice as
            strong, see :func:`histonic.nn.augmentation.colour.turn_colours`.
        stain: Multiply the amounts of haematoxylin, eosin and the residual, each on its own, by 1 - s ..
            1 + s, and add -s .. s (natural optical density), see :func:`histonic.nn.stain.perturb_stains`.
    """

    orient: bool = False
    scale: float = 0.0
    elastic_alpha: tuple[float, float] = (0.0, 0.0)
    elastic_sigma_px: tuple[float, float] = (9.0, 11.0)
    blur_px: float = 0.0
    noise: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    stain: float = 0.0

    @property
    def moves(self) -> bool:
        """Whether pixels change places."""
        return self.orient or self.scale > 0 or self.elastic_alpha[1] > 0


_BASIC = AugmentRule(orient=True)
_MORPHOLOGY = replace(_BASIC, scale=0.2, elastic_alpha=(80.0, 120.0), blur_px=1.0, noise=0.1)
_BC = replace(_MORPHOLOGY, brightness=0.35, contrast=0.5)

AUGMENT_LEVELS = {
    "none": AugmentRule(),
    "basic": _BASIC,
    "morphology": _MORPHOLOGY,
    "bc": _BC,
    "hsv-light": replace(_BC, hue=0.1, saturation=0.1),
    "hsv-strong": replace(_BC, hue=1.0, saturation=1.0),
    "hed-light": replace(_BC, stain=0.05),
    "hed-strong": replace(_BC, stain=0.2),
}
"""The levels of the paper by name; each colour level holds those before it."""


@torch.no_grad()
def augment(tiles: Tensor, rule: AugmentRule, generator: torch.Generator) -> Tensor:
    """Change every tile of a batch in its own way: move, blur, colours, light, noise.

    The same generator state gives the same tiles on the same device. Also under autocast everything is
    computed in single precision at least: half precision would place pixels up to half a pixel wrongly.

    Args:
        tiles: Float ``(B, 3, H, H)`` of 0..1; not changed.
        rule: How strongly.
        generator: Of all chance, on the tiles' device.

    Returns:
        ``(B, 3, H, H)`` of 0..1, of the same type; the tiles themselves if the rule changes nothing.

    Raises:
        TrainingError: The tiles are not square RGB tiles of floating-point numbers.

    Example:
        >>> tiles = torch.rand(2, 3, 16, 16)
        >>> changed = augment(tiles, AUGMENT_LEVELS["hed-strong"], torch.Generator().manual_seed(0))
        >>> changed.shape, augment(tiles, AUGMENT_LEVELS["none"], torch.Generator()) is tiles
        (torch.Size([2, 3, 16, 16]), True)
    """
    if tiles.ndim != 4 or tiles.shape[1] != 3 or tiles.shape[2] != tiles.shape[3]:
        raise _unfit(f"They have shape {tuple(tiles.shape)}.")
    if not tiles.is_floating_point():
        raise _unfit(f"They are {tiles.dtype}.")
    if rule == AugmentRule() or not len(tiles):
        return tiles
    with torch.autocast(tiles.device.type, enabled=False):
        if tiles.device.type != "cpu":
            return _changed(tiles, rule, generator)
        few = max(1, PIXELS_AT_ONCE // tiles.shape[-1] ** 2)
        parts = (tiles[first : first + few] for first in range(0, len(tiles), few))
        return torch.cat([_changed(part, rule, generator) for part in parts])


def _changed(tiles: Tensor, rule: AugmentRule, generator: torch.Generator) -> Tensor:
    """New tiles, all steps done."""
    exact = tiles.to(torch.promote_types(tiles.dtype, torch.float32))
    draw = Draws(len(tiles), exact.dtype, tiles.device, generator)
    changed = _shaped(exact, rule, draw)
    _colour_(changed, rule, draw)
    if rule.noise:
        _add_noise(changed, draw.between(0, rule.noise), draw)
    return changed.clamp_(0, 1).to(tiles.dtype)


def _shaped(tiles: Tensor, rule: AugmentRule, draw: Draws) -> Tensor:
    """New tiles with pixels moved and blurred."""
    changed = tiles
    if rule.moves:
        changed = move(tiles, rule.orient, rule.scale, rule.elastic_alpha, rule.elastic_sigma_px, draw)
    if rule.blur_px:
        changed = blur(changed, rule.blur_px * tiles.shape[-1] / REFERENCE_PX, draw)
    return tiles.clone() if changed is tiles else changed


def _colour_(tiles: Tensor, rule: AugmentRule, draw: Draws) -> None:
    """Hue and saturation, stains, brightness and contrast, in place."""
    if rule.hue or rule.saturation:
        tiles.copy_(turn_colours(tiles, draw.around(0, rule.hue), draw.around(0, rule.saturation)))
    if rule.stain:
        factor, addend = draw.around(1, rule.stain, 3), draw.around(0, rule.stain, 3)
        tiles.copy_(perturb_stains(tiles, factor[..., 0, 0], addend[..., 0, 0]))
    if rule.brightness or rule.contrast:
        relight(tiles, draw.around(1, rule.brightness), draw.around(1, rule.contrast))


def _add_noise(tiles: Tensor, spread: Tensor, draw: Draws) -> None:
    """Gaussian noise of standard deviations ``spread (B, 1, 1, 1)``, in place.

    Four tiles have one field of noise, each a mirror image of its own: drawing is the one step that a CPU
    does not share among threads, and took nearly half of the time.
    """
    fields = draw.normal(*tiles.shape[1:], count=-(-len(tiles) // 4))
    for first, axes in enumerate(((), (2,), (3,), (2, 3))):
        part = tiles[first::4]
        part.addcmul_(fields[: len(part)].flip(axes), spread[first::4])


def _unfit(found: str) -> TrainingError:
    return TrainingError("Augment tiles.", found, "Give square RGB tiles (B, 3, H, H) as floats of 0 to 1.")
