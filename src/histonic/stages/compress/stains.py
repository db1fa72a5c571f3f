"""The stains of slides: what they are brought to, and what each slide's own are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.compressed import EncoderSpec, SlideStain
from histonic.core.errors import EncoderError, SettingsError, SlideError
from histonic.core.grid import TileGrid
from histonic.core.settings import (
    HE_FACTS,
    HE_REFERENCE,
    HIDDEN,
    StainFacts,
    StainNormalisation,
    StainSettings,
)
from histonic.core.units import WH, XY
from histonic.data.tilesets.images import read_image
from histonic.nn.normalisation.estimate import NoStains, estimate_stains, require_like, tissue_pixels
from histonic.nn.normalisation.normaliser import Normaliser
from histonic.slides.base import Slide

WINDOWS = 96
"""Looked at of a slide, spread evenly over its tissue."""
LEAST_SIDE_PX = 64
"""Of a window; tiles are often larger, and then the windows are tiles."""
PIXELS_OF_WINDOW = 2_500
PIXELS_OF_PICTURE = 400_000
MOST_PEN = 0.01
"""Share of a cell under pen up to which it says something of the stains."""


def settled_stain(asked: StainSettings, spec: EncoderSpec, private: bool = False) -> StainSettings:
    """The settings with what the reference came to, and in step with how the encoder was trained.

    Args:
        asked: As given.
        spec: Of the encoder.
        private: Keep the name of a picture out of the results.

    Raises:
        SettingsError: The reference cannot be used, or nothing would be brought to it.
        EncoderError: The encoder was trained on other colours.
    """
    own = spec.stain
    given = asked.normalisation
    if given is None and asked.method in ("macenko", "reinhard"):
        target, name = _reference(asked.reference, private)
        given = StainNormalisation(
            method=asked.method, reference=name, target=target, otherwise=asked.otherwise
        )
    elif asked.reference != HE_REFERENCE and given is None:
        raise SettingsError(
            f"Bring stains to {asked.reference}.",
            f"The method is {asked.method!r}.",
            "Give --stain macenko or --stain reinhard as well.",
        )
    if own is not None:
        if asked.method == "none" or (given is not None and not own.same_colours(given)):
            raise EncoderError(
                f"Use the encoder {spec.name!r} with "
                + (f"stains by {given.words}." if given is not None else "the slides' own stains."),
                f"It was trained on tiles whose stains were normalised by {own.words}.",
                "Leave out --stain and --stain-reference: the slides are then treated as its tiles were.",
            )
        given = given or own.model_copy(update={"otherwise": asked.otherwise})
    method = "none" if given is None else given.method
    return StainSettings(
        method=method, reference=HE_REFERENCE, otherwise=asked.otherwise, normalisation=given
    )


def _reference(reference: str, private: bool) -> tuple[StainFacts, str]:
    """What a reference is in numbers, and its name."""
    if reference == HE_REFERENCE:
        return HE_FACTS, HE_REFERENCE
    path = Path(reference)
    asked = f"Bring stains to those of {reference}."
    try:
        picture = read_image(path)
    except ValueError as error:
        raise SettingsError(asked, str(error), f"Give a picture of tissue, or {HE_REFERENCE}.") from error
    try:
        found = estimate_stains(tissue_pixels(_some(picture.reshape(-1, 3), PIXELS_OF_PICTURE)))
        as_target = StainNormalisation(method="macenko", reference=path.name, target=found)
        require_like(found, as_target)
    except NoStains as error:
        raise SettingsError(
            asked, f"Of this picture {error}.", "Give a picture of well stained tissue, of two stains."
        ) from error
    return found, HIDDEN if private else path.name


def _some(pixels: npt.NDArray[np.uint8], most: int) -> torch.Tensor:
    """Pixels ``(N, 3)``, of many some in places of no pattern."""
    if len(pixels) > most:
        pixels = pixels[np.sort(np.random.default_rng(0).choice(len(pixels), most, replace=False))]
    return torch.from_numpy(np.array(pixels))


def look_at_stains(
    slide: Slide,
    name: str,
    grid: TileGrid,
    cells: npt.NDArray[np.bool_],
    pen: npt.NDArray[np.float32],
    wanted: StainNormalisation,
) -> SlideStain:
    """The stains of a whole slide, from windows spread over its tissue at the resolution of its tiles.

    Args:
        slide: Opened.
        name: For messages.
        grid: Of its tiles.
        cells: ``(R, K)`` bool, those that will be encoded; at least one.
        pen: ``(R, K)`` share of each under pen; those with any are left out where there are others.
        wanted: What they are to be brought to.

    Raises:
        SlideError: They cannot be told or are other stains, and such slides are refused.
    """
    clean = cells & ~(pen > MOST_PEN)
    places = np.argwhere(clean if clean.any() else cells)
    places = places[np.linspace(0, len(places) - 1, min(WINDOWS, len(places))).round().astype(int)]
    side = max(grid.tile_px, LEAST_SIDE_PX)
    back = (side - grid.tile_px) / 2 * grid.mpp / slide.mpp
    corners = [grid.cell_xy((int(row), int(col))) for row, col in places]
    windows = slide.read_many([XY(x - back, y - back) for x, y in corners], WH(side, side), grid.mpp)
    pixels = torch.cat([_some(window.reshape(-1, 3), PIXELS_OF_WINDOW) for window in windows])
    try:
        found = estimate_stains(tissue_pixels(pixels))
        require_like(found, wanted)
    except NoStains as error:
        if wanted.otherwise == "leave":
            return SlideStain(left=str(error))
        raise SlideError(
            f"Bring the stains of {name} to those of {wanted.reference}.",
            f"That cannot be done: {error}.",
            "Keep the colours of such slides (--stain-otherwise leave), use a --stain-reference of the same "
            "stains, or compress without --stain.",
        ) from error
    return SlideStain(facts=found)


def normaliser_of(stain: SlideStain | None, wanted: StainNormalisation | None) -> Normaliser | None:
    """What is done to the tiles of a slide; None: nothing."""
    if stain is None or wanted is None or stain.facts is None:
        return None
    return Normaliser(stain.facts, wanted)
