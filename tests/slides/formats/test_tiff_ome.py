"""Of the images that OME-XML describes, the one that is the slide is asked for planes and resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import open_slide

PIXELS = np.random.default_rng(2).integers(0, 256, (150, 200, 3), dtype=np.uint8)
RGB = {"photometric": "rgb", "tile": (64, 64)}


def facts(mpp: float, axes: str = "YXS") -> dict[str, object]:
    return {"axes": axes, "PhysicalSizeX": mpp, "PhysicalSizeY": mpp}


def test_the_largest_image_is_the_slide_and_has_its_own_resolution(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(255 - PIXELS[:60, :50], photometric="rgb", metadata=facts(9.0))
        writer.write(PIXELS, metadata=facts(0.25), **RGB)
    with open_slide(path) as slide:
        assert slide.mpp == 0.25
        assert np.array_equal(slide.read((0, 0), (200, 150), 0.25), PIXELS)


@pytest.mark.parametrize(
    ("words", "pixels", "axes", "options"),
    [
        ("3 channels are stored apart", PIXELS.transpose(2, 0, 1), "CYX", {"photometric": "minisblack"}),
        ("2 focal plane", np.stack([PIXELS, PIXELS]), "ZYXS", {}),
        ("2 time", np.stack([PIXELS, PIXELS]), "TYXS", {}),
    ],
)
def test_several_planes_are_refused(
    tmp_path: Path, words: str, pixels: np.ndarray, axes: str, options: dict[str, object]
) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = np.ascontiguousarray(pixels)
    tifffile.imwrite(path, pixels, ome=True, metadata=facts(0.5, axes), **{**RGB, **options})
    with pytest.raises(UnreadableSlideError, match=words):
        open_slide(path)


def test_channels_of_one_picture_that_lie_apart_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    planes = np.ascontiguousarray(PIXELS.transpose(2, 0, 1))
    tifffile.imwrite(path, planes, ome=True, metadata=facts(0.5, "SYX"), planarconfig="separate", **RGB)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read((0, 0), (200, 150), 0.5), PIXELS)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [(b'SizeX="200"', b'SizeX="199"', "199 x 150"), (b"</OME>", b"</0ME></OME>", "OME-XML cannot be read")],
)
def test_a_contradiction_is_damage(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, PIXELS, ome=True, metadata=facts(0.5), **RGB)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata.encode().replace(old, new)
    tifffile.imwrite(path, PIXELS, description=text, metadata=None, **RGB)
    with pytest.raises(UnreadableSlideError, match=words):
        open_slide(path)
