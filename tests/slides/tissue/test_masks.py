"""Masks made elsewhere: read from pictures and polygons, refused in words."""

from __future__ import annotations

import contextlib
import json
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from histonic.core.errors import MaskError
from histonic.slides.formats.array import ArraySlide
from histonic.slides.tissue.masks import read_tissue_mask


def slide_of(width: int = 800, height: int = 400) -> ArraySlide:
    return ArraySlide(np.full((height, width, 3), 200, np.uint8), mpp=0.5)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_masks_from_images(tmp_path: Path, suffix: str) -> None:
    mask = np.zeros((40, 80), np.uint8)
    mask[:, 40:] = 7
    path = tmp_path / f"m{suffix}"
    if suffix == ".png":
        Image.fromarray(mask).save(path)
    else:
        tifffile.imwrite(path, mask)
    found = read_tissue_mask(path, slide_of())
    assert np.array_equal(found.mask, mask > 0) and found.mpp == pytest.approx(5.0)


def test_an_opaque_alpha_channel_is_no_tissue(tmp_path: Path) -> None:
    rgba = np.zeros((40, 80, 4), np.uint8)
    rgba[..., 3] = 255
    rgba[:20, :, 0] = 255
    Image.fromarray(rgba).save(tmp_path / "m.png")
    assert read_tissue_mask(tmp_path / "m.png", slide_of()).mask.mean() == 0.5


@pytest.mark.parametrize("wrapped", ["collection", "list", "feature", "geometry", "multi"])
def test_masks_from_qupath(tmp_path: Path, wrapped: str) -> None:
    outer = [[100, 50], [500, 50], [500, 350], [100, 350]]  # not closed, on purpose
    hole = [[200, 100], [400, 100], [400, 200], [200, 200], [200, 100]]
    geometry: dict[str, object] = {"type": "Polygon", "coordinates": [outer, hole]}
    if wrapped == "multi":
        geometry = {"type": "MultiPolygon", "coordinates": [[outer, hole]]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}}
    content: object = {
        "collection": {"type": "FeatureCollection", "features": [feature]},
        "list": [feature],
        "feature": feature,
        "geometry": geometry,
        "multi": [feature],
    }[wrapped]
    (tmp_path / "m.geojson").write_text(json.dumps(content))
    found = read_tissue_mask(tmp_path / "m.geojson", slide_of())
    assert found.mask.shape == (400, 800) and found.mpp == 0.5
    assert found.mask.sum() == pytest.approx(400 * 300 - 200 * 100, rel=0.02)
    assert found.mask[60, 110] and not found.mask[150, 300] and not found.mask[10, 10]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.png", b"no picture", "cannot be read"),
        ("m.tif", b"no picture", "cannot be read"),
        ("m.geojson", b"{", "no GeoJSON"),
        ("m.geojson", b'{"features": []}', "no GeoJSON"),
        ("m.geojson", b'{"type": "FeatureCollection", "features": []}', "no polygon"),
        ("m.geojson", b"[" * 100_000, "no GeoJSON"),
        ("m.geojson", b'{"type": "Polygon", "coordinates": [[[NaN, 1], [2, 3], [4, 5]]]}', "no number"),
        ("m.geojson", b'{"type": "Polygon", "coordinates": [[[1e999, 1], [2, 3], [4, 5]]]}', "no number"),
        ("m.geojson", b'{"type": "Polygon", "coordinates": [[["1" , 1], {}]]}', "no GeoJSON"),
        ("m.geojson", b'"text"', "no GeoJSON"),
        ("m.txt", b"x", "PNG, TIFF or GeoJSON"),
        ("absent.png", None, "no such file"),
    ],
)
def test_wrong_masks(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MaskError, match=words):
        read_tissue_mask(tmp_path / name, slide_of())


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((80, 80), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(MaskError, match="another shape"):
        read_tissue_mask(tmp_path / "m.png", slide_of())


def write_polygons(path: Path, rings: list[list[list[float]]]) -> Path:
    geometries = [None, *({"type": "Polygon", "coordinates": [ring]} for ring in rings)]
    features = [{"type": "Feature", "geometry": geometry} for geometry in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_polygons_over_the_border_and_beside_the_slide(tmp_path: Path) -> None:
    over = [[-300.0, -300.0], [200.0, -300.0], [200.0, 100.0], [-300.0, 100.0]]
    beside = [[2000.0, 2000.0], [2100.0, 2000.0], [2100.0, 2100.0]]
    found = read_tissue_mask(
        write_polygons(tmp_path / "m.geojson", [over, beside, over[:2]]), slide_of()
    ).mask
    assert found.sum() == pytest.approx(200 * 100, rel=0.02) and found[:99, :199].all()


def test_thousands_of_polygons_on_a_large_slide_are_drawn_fast(tmp_path: Path) -> None:
    rings = [
        [[x, y], [x + 40.0, y], [x + 40.0, y + 40.0], [x, y + 40.0]]
        for x in np.arange(0, 40_000, 400.0)
        for y in np.arange(0, 20_000, 1000.0)
    ]
    path = write_polygons(tmp_path / "m.geojson", rings)
    slide = ArraySlide(np.broadcast_to(np.uint8(200), (20_000, 40_000, 3)), mpp=0.5)
    began = time.perf_counter()
    mask = read_tissue_mask(path, slide).mask
    assert time.perf_counter() - began < 5
    assert mask.shape == (2048, 4096)
    assert mask.mean() == pytest.approx(len(rings) * 40**2 / 8e8, rel=0.6)


def test_a_gigantic_png_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.ones((40, 80), np.uint8)).save(tmp_path / "m.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(MaskError, match="smaller"):
        read_tissue_mask(tmp_path / "m.png", slide_of())


def png(width: int, height: int) -> bytes:
    """A PNG whose header alone is large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [12_000, 200_000])
def test_pictures_that_are_large_by_their_header_alone(tmp_path: Path, side: int) -> None:
    (tmp_path / "m.png").write_bytes(png(side, side))
    tifffile.imwrite(tmp_path / "m.tif", np.ones((40, 80), np.uint8), rowsperstrip=40, metadata=None)
    with tifffile.TiffFile(tmp_path / "m.tif") as tiff:
        tags = tiff.pages[0].tags
        places = [tags[name].valueoffset for name in ("ImageWidth", "ImageLength", "RowsPerStrip")]
    data = bytearray((tmp_path / "m.tif").read_bytes())
    for at in places:
        data[at : at + 4] = struct.pack("<I", side)
    (tmp_path / "m.tif").write_bytes(bytes(data))
    tracemalloc.start()
    for name in ("m.png", "m.tif"):
        with pytest.raises(MaskError, match=r"cannot come from|Image size|200000 x 200000"):
            read_tissue_mask(tmp_path / name, slide_of(400, 400))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_damaged_masks_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(np.full((40, 80), 9, np.uint8)).save(tmp_path / "m.png")
    tifffile.imwrite(tmp_path / "m.tif", np.full((40, 80), 9, np.uint8), compression="deflate")
    for name in ("m.png", "m.tif"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for at in rng.integers(0, len(whole), 3):
                damaged[at] = int(rng.integers(0, 256))
            (tmp_path / name).write_bytes(bytes(damaged))
            with contextlib.suppress(MaskError):
                read_tissue_mask(tmp_path / name, slide_of())


def test_planes_of_a_tiff_mask_may_lie_apart(tmp_path: Path) -> None:
    planes = np.zeros((3, 40, 80), np.uint8)
    planes[1, :, 40:] = 255
    tifffile.imwrite(tmp_path / "m.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_tissue_mask(tmp_path / "m.tif", slide_of()).mask, planes[1] > 0)
