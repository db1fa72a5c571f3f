"""Haematoxylin and eosin: from stain concentrations to colours, a different shade in each site."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from histonic.core.errors import SettingsError

FloatImage = npt.NDArray[np.float32]
UInt8Image = npt.NDArray[np.uint8]
SITES = ("east", "north", "south")


@dataclass(frozen=True)
class Stain:
    """How one slide was stained and scanned.

    Attributes:
        haematoxylin: Optical density in red, green and blue at concentration 1.
        eosin: The same for eosin.
        glass: Colour of the empty slide.
        strength: Factors on the two concentrations.
    """

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    glass: tuple[float, float, float]
    strength: tuple[float, float] = (1.0, 1.0)


SITE_STAINS = {
    "east": Stain((0.86, 1.18, 0.54), (0.13, 0.80, 0.34), (243.0, 242.0, 244.0)),
    "north": Stain((0.98, 1.12, 0.48), (0.08, 0.74, 0.27), (245.0, 243.0, 246.0), (1.05, 0.95)),
    "south": Stain((0.76, 1.16, 0.62), (0.17, 0.78, 0.44), (241.0, 238.0, 238.0), (0.95, 1.08)),
}


def draw_stain(site: str, rng: np.random.Generator) -> Stain:
    """The stain of one slide: that of its site, a little stronger or weaker from slide to slide.

    Args:
        site: One of :data:`SITES`.
        rng: Source of the slide's deviation.

    Raises:
        SettingsError: There is no such site.

    Example:
        >>> draw_stain("north", np.random.default_rng(0)).glass
        (245.0, 243.0, 246.0)
    """
    if site not in SITE_STAINS:
        raise SettingsError(
            "Stain a slide.", f"There is no site {site!r}.", f"Use one of {', '.join(SITES)}."
        )
    usual = SITE_STAINS[site]
    deviation = np.exp(rng.normal(0.0, 0.07, 2))
    strength = (usual.strength[0] * float(deviation[0]), usual.strength[1] * float(deviation[1]))
    return Stain(usual.haematoxylin, usual.eosin, usual.glass, strength)


def compose(haematoxylin: FloatImage, eosin: FloatImage, stain: Stain) -> UInt8Image:
    """Colours of two stain concentrations, by the law of Beer and Lambert.

    Args:
        haematoxylin: Concentration, float32 ``(H, W)``; 0 is glass, about 1 a nucleus.
        eosin: Concentration, float32 ``(H, W)``.
        stain: Optical densities and the colour of glass.

    Returns:
        uint8 ``(H, W, 3)``.

    Example:
        >>> empty = np.zeros((1, 1), np.float32)
        >>> compose(empty, empty, SITE_STAINS["north"]).tolist()
        [[[245, 243, 246]]]
    """
    image = np.empty((*haematoxylin.shape, 3), np.uint8)
    densities = zip(stain.haematoxylin, stain.eosin, stain.glass, strict=True)
    factors = [
        (np.float32(h * stain.strength[0]), np.float32(e * stain.strength[1]), np.float32(glass))
        for h, e, glass in densities
    ]
    for channel, (h, e, glass) in enumerate(factors):
        light = np.exp(-(haematoxylin * h + eosin * e)) * glass + np.float32(0.5)
        image[:, :, channel] = np.clip(light, 0.0, 255.0)
    return image
