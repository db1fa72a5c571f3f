"""The slides and pictures of a miniature, in the file formats of the challenges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

from histonic.core.files import replacing_file
from histonic.simulate.patients import Latents
from histonic.simulate.slides import SLIDE_MPP, simulate_slide, simulate_tissue
from histonic.simulate.stains import SITES
from histonic.slides.formats.pyramid import write_pyramid

UInt8Image = npt.NDArray[np.uint8]
SIDE_PX = 640
"""Of a slide: five cells of the shipped encoder."""
APERIO_TILE_PX = 240
SLIDES, LABELS = 1, 2
"""Streams of randomness."""


@dataclass(frozen=True)
class Subject:
    """What drives an image.

    Attributes:
        latents: Of its tissue.
        site: Its stain.
        rng: For everything else of it.
    """

    latents: Latents
    site: str
    rng: np.random.Generator


def subject(seed: int, number: int, site: int = 0) -> Subject:
    """The same whatever else is drawn.

    Args:
        seed: Of the miniature.
        number: Of the image.
        site: Number of the hospital.
    """
    rng = np.random.default_rng([seed, SLIDES, number])
    latents = Latents(*(float(value) for value in rng.random(3)))
    return Subject(latents, SITES[site % len(SITES)], rng)


def write_tiff(path: Path, drawn: Subject, *, side_px: int = SIDE_PX, mpp: float = SLIDE_MPP) -> None:
    """A pyramidal TIFF whose resolution tags say ``mpp``."""
    write_pyramid(path, simulate_slide(drawn.latents, drawn.site, drawn.rng, side_px), mpp=mpp)


def write_svs(path: Path, drawn: Subject, *, side_px: int = SIDE_PX) -> None:
    """A TIFF as Aperio's scanners write it, whose description says the resolution."""
    image = simulate_slide(drawn.latents, drawn.site, drawn.rng, side_px)
    description = (
        f"Aperio Image Library v11.2.1 \r\n{side_px}x{side_px} [0,0 {side_px}x{side_px}] "
        f"({APERIO_TILE_PX}x{APERIO_TILE_PX}) JPEG/RGB Q=80|AppMag = 20|MPP = {SLIDE_MPP:.4f}"
    )
    with replacing_file(path) as partial, tifffile.TiffWriter(partial) as writer:
        writer.write(
            image,
            tile=(APERIO_TILE_PX, APERIO_TILE_PX),
            photometric="rgb",
            compression="jpeg",
            compressionargs={"level": 80},
            subsampling=(2, 2),
            description=description,
            metadata=None,
            software=False,
        )


def tissue(drawn: Subject, wh: tuple[int, int]) -> UInt8Image:
    """Tissue without glass, uint8 ``(h, w, 3)``."""
    side = max(256, *wh)
    side += -side % 4
    return simulate_tissue(side, drawn.rng, drawn.latents, drawn.site)[: wh[1], : wh[0]]


def write_picture(path: Path, image: UInt8Image) -> None:
    """A plain picture in the format of its ending, without a word on its resolution."""
    with replacing_file(path) as partial:
        Image.fromarray(image).save(partial)
