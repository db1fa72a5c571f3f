"""From the plan of a slide to its picture: textures, nuclei and stain, band by band."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from histonic.simulate.cells import place_nuclei
from histonic.simulate.patients import Latents
from histonic.simulate.stains import FloatImage, Stain, UInt8Image, compose
from histonic.simulate.textures import (
    FIBRE_DIRECTIONS,
    fibre_textures,
    grain_texture,
    heighten,
    mosaic_edges,
    smooth_noise,
    widen,
    window,
)
from histonic.simulate.tissue import COARSE, FAR_PX, TissueLayout, add_cell_bodies, draw_layout

# Few enough rows that the intermediate values of a band stay in the cache of the processor.
BAND_PX = 64


def render_tissue(
    latents: Latents, stain: Stain, side_px: int, rng: np.random.Generator, *, glass: bool
) -> UInt8Image:
    """Draw one slide, uint8 ``(side_px, side_px, 3)``.

    Args:
        latents: What drives nuclei and their layout.
        stain: Colours.
        side_px: Side of the slide.
        rng: Source of randomness.
        glass: Whether there is glass around the tissue.
    """
    image = np.empty((side_px, side_px, 3), np.uint8)
    top = 0
    for haematoxylin, eosin in concentrations(latents, side_px, rng, glass=glass):
        image[top : top + len(eosin)] = compose(haematoxylin, eosin, stain)
        top += len(eosin)
    return image


def concentrations(
    latents: Latents, side_px: int, rng: np.random.Generator, *, glass: bool
) -> Iterator[tuple[FloatImage, FloatImage]]:
    """Concentrations of haematoxylin and eosin in bands of rows, each float32 ``(h, side_px)``."""
    plan = draw_layout(latents, side_px, rng, glass=glass)
    canvas, nested, lone = place_nuclei(latents, plan, rng)
    walls = mosaic_edges(nested / COARSE, plan.nests > -COARSE, FAR_PX / COARSE) * COARSE
    add_cell_bodies(plan.nests, lone, rng.uniform(10.0, 16.0, len(lone)))
    layers = _layers(plan, walls, rng)
    for top in range(0, side_px, BAND_PX):
        height = min(BAND_PX, side_px - top)
        yield _stained(layers.band(top, height), canvas[:, top : top + height])


@dataclass(frozen=True)
class _Band:
    """Maps and textures of some rows at full resolution."""

    maps: dict[str, FloatImage]
    fibres: FloatImage
    grain: FloatImage


@dataclass(frozen=True)
class _Layers:
    """Maps at full width but coarse height, and where each endless texture begins."""

    width: int
    maps: dict[str, FloatImage]
    weights: tuple[FloatImage, ...]
    corners: tuple[tuple[int, int], ...]

    def band(self, top: int, height: int) -> _Band:
        """The maps and textures of ``height`` rows from ``top`` on."""
        first, last = top // COARSE, -(-(top + height) // COARSE) + 1
        maps = {name: heighten(layer[first:last], COARSE)[:height] for name, layer in self.maps.items()}
        weights = [heighten(layer[first:last], COARSE)[:height] for layer in self.weights]
        textures = [
            window(texture, (corner[0] + top, corner[1]), height, self.width)
            for texture, corner in zip((*fibre_textures(), grain_texture()), self.corners, strict=True)
        ]
        fibres = np.zeros((height, self.width), np.float32)
        for weight, texture in zip(weights, textures[:-1], strict=True):
            fibres += weight * texture
        return _Band(maps, fibres, textures[-1])


def _layers(plan: TissueLayout, walls: FloatImage, rng: np.random.Generator) -> _Layers:
    shade = np.asarray(1 + 0.10 * smooth_noise(rng, len(plan.tissue), 40.0), np.float32)
    maps = {name: getattr(plan, name) for name in ("tissue", "nests", "lumens", "fat", "septa")}
    maps.update(walls=walls, shade=shade)
    corners = rng.integers(0, 1024, (FIBRE_DIRECTIONS + 1, 2))
    return _Layers(
        plan.side_px,
        {name: widen(layer, COARSE, plan.side_px) for name, layer in maps.items()},
        tuple(widen(weight, COARSE, plan.side_px) for weight in _fibre_weights(plan.directions)),
        tuple((int(row), int(col)) for row, col in corners),
    )


def _fibre_weights(directions: FloatImage) -> list[FloatImage]:
    """How much each texture of fixed direction counts where fibres run in ``directions``."""
    close = [np.cos(directions - k * np.pi / FIBRE_DIRECTIONS) ** 2 for k in range(FIBRE_DIRECTIONS)]
    weights = [np.clip(2 * value - 1, 0, 1) for value in close]
    # Independent textures add up like squares: so the blend has the contrast of one of them.
    power = np.sqrt(sum(weight**2 for weight in weights))
    return [np.asarray(weight / power, np.float32) for weight in weights]


def _stained(band: _Band, canvas: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Haematoxylin and eosin of a band; ``canvas`` holds nuclei, what they cover, and blood."""
    nuclear, cover, blood = canvas
    maps, fibres, grain = band.maps, band.fibres, band.grain
    tissue = _soft(maps["tissue"] + 3.0 * fibres, 2.0)
    nest = _soft(maps["nests"] + fibres + 1.2 * grain, 5.0)
    lumen = _soft(maps["lumens"] + 1.5 * grain, 3.0)
    fat = _soft(maps["fat"] + 2.0 * fibres, 2.0) * _soft(maps["septa"] - 2.2 + 0.4 * fibres, 1.6)
    wall = np.clip(1 - maps["walls"] / 2, 0, 1)
    body = maps["shade"] * tissue * (1 - fat) * (1 - lumen)
    clefts = np.clip((fibres + 1.6) * 2.5, 0.06, 1.0)
    stroma_eosin = np.clip(0.70 + 0.15 * fibres + 0.05 * grain, 0.1, None) * clefts
    cell_eosin = 0.56 + 0.08 * grain + 0.16 * wall
    eosin = (stroma_eosin + (cell_eosin - stroma_eosin) * nest) * body * (1 - 0.5 * cover)
    stroma_blue, cell_blue = (0.06 + 0.02 * fibres) * clefts, 0.15 + 0.05 * grain + 0.04 * wall
    background = np.clip(stroma_blue + (cell_blue - stroma_blue) * nest, 0, None)
    return background * body * (1 - cover) + nuclear, np.maximum(eosin, blood)


def _soft(distance: FloatImage, width_px: float) -> FloatImage:
    """A mask from 0 to 1 with an edge ``width_px`` wide where ``distance`` crosses 0."""
    return np.asarray(np.clip(distance / width_px + 0.5, 0, 1), np.float32)
