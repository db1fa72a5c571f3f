"""Slides at a URL: the same pixels by few bytes, and clear words where they cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fixtures.ranges import Served, serving
from histonic.core.errors import UnreadableSlideError
from histonic.core.grid import TileGrid
from histonic.core.places.urls import Url
from histonic.slides.base import open_slide
from histonic.slides.fingerprint import fingerprint_file
from histonic.slides.formats.pyramid import write_pyramid
from histonic.slides.formats.tiff import TiffSlide
from histonic.slides.sources import remote
from histonic.slides.sources.remote import PAGE_BYTES, RemoteFile
from histonic.slides.tiles import walk_tiles

QUERY = "X-Amz-Signature=KEY"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("served")
    rng = np.random.default_rng(8)
    write_pyramid(place / "case 1.ome.tif", rng.integers(0, 256, (2304, 3072, 3), np.uint8), mpp=0.5)
    (place / "numbers.bin").write_bytes(rng.bytes(1_000_000))
    return place


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(remote, "WAIT_S", 0.0)
    with serving(folder) as served:
        yield served


def slide_url(server: Served) -> str:
    return f"{server.url}/case%201.ome.tif?{QUERY}"


def refused(url: str, words: str) -> None:
    with pytest.raises(UnreadableSlideError, match=words) as caught:
        open_slide(url, default_mpp=0.5)
    told = str(caught.value)
    assert str(Url(url)) in told and "KEY" not in told and caught.value.todo
    assert caught.value.__suppress_context__ or "KEY" not in repr(caught.value.__context__)


def test_pixels_facts_and_fingerprint_are_those_of_the_file(server: Served, folder: Path) -> None:
    with open_slide(slide_url(server)) as slide, open_slide(folder / "case 1.ome.tif") as local:
        assert (slide.name, str(slide.path)) == ("case 1", f"{server.url}/case%201.ome.tif")
        assert slide.native_mpps() == local.native_mpps() and slide.storage == local.storage
        for mpp in (0.5, 1.0, 3.1):
            assert np.array_equal(
                slide.read((-9, 100), (300, 200), mpp), local.read((-9, 100), (300, 200), mpp)
            )
        assert slide.fingerprint == local.fingerprint == fingerprint_file(Url(slide_url(server)))


def test_a_pass_over_tissue_fetches_little_more_than_its_tiles(server: Served, folder: Path) -> None:
    with TiffSlide.open(folder / "case 1.ome.tif") as local:
        grid = TileGrid.over(local.size_wh, slide_mpp=0.5, tile_px=128, mpp=0.5)
        mask = np.zeros(grid.shape, bool)
        mask[3:9, 4:12] = mask[11:14, 14:22] = True
        tiles = [each for _, part in walk_tiles(local, grid, mask, 32) for each in part]
        regions = [(4 * 128, 3 * 128, 8 * 128, 6 * 128), (14 * 128, 11 * 128, 8 * 128, 3 * 128)]
        needed = {key for region in regions for key in local._touched(0, region)}
        payload = sum(count for key in needed for _, count in local._levels[0].places(key.tile))
    with TiffSlide.open(RemoteFile.open(Url(slide_url(server)))) as slide:
        header = server.sent
        found = [each for _, part in walk_tiles(slide, grid, mask, 32) for each in part]
        assert np.array_equal(found, tiles)
        assert 0.5 * payload < server.sent - header < 1.3 * payload
        assert header < 400_000 and payload > 1_000_000
        assert len(server.asked) < 60


@pytest.mark.parametrize("cache_bytes", [8 * PAGE_BYTES, 400_000])
def test_what_is_kept_is_bounded(server: Served, folder: Path, cache_bytes: int) -> None:
    data = (folder / "numbers.bin").read_bytes()
    rng = np.random.default_rng(1)
    with closing(RemoteFile.open(Url(f"{server.url}/numbers.bin"), cache_bytes=cache_bytes)) as file:
        for _ in range(30):
            at, count = (int(each) for each in (rng.integers(1_000_000), rng.integers(50_000)))
            file.announce([(at, count // 3), (at + count // 2, count // 3), (999_990, 40)])
            assert file.read_at(at, count) == data[at : at + count]
            assert sum(map(len, file._pages.values())) <= cache_bytes
        assert file.read_at(999_999, 5) == data[-1:] and file.read_at(2_000_000, 5) == b""
        assert file.bytes_fetched == server.sent


def test_announced_ranges_are_fetched_together_and_once(server: Served, folder: Path) -> None:
    with closing(RemoteFile.open(Url(f"{server.url}/numbers.bin"))) as file:
        before, asked = server.sent, len(server.asked)
        ranges = [(at, 20_000) for at in range(100_000, 300_000, 20_000)]
        file.announce(ranges)
        assert len(server.asked) == asked + 1 and server.sent - before < 205_000
        for at, count in ranges:
            file.read_at(at, count)
        file.announce(ranges)
        assert len(server.asked) == asked + 1


def test_a_short_cut_is_mended_and_a_long_one_told(server: Served) -> None:
    server.cuts = 2
    with open_slide(slide_url(server)) as slide:
        server.cuts = 1
        slide.read((0, 0), (64, 64), 0.5)
        server.cuts = 10**6
        with pytest.raises(UnreadableSlideError, match=r"connection is cut .*4 tries") as caught:
            slide.read((2000, 2000), (64, 64), 0.5)
    assert "case%201" in caught.value.asked and "KEY" not in str(caught.value)


@pytest.mark.parametrize("cuts", range(4, 24, 4))
def test_a_cut_while_it_is_opened_does_not_look_like_damage(server: Served, cuts: int) -> None:
    server.cuts = cuts
    try:
        open_slide(slide_url(server)).close()
    except UnreadableSlideError as error:
        assert "connection is cut" in error.found


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"not let it be read \(401\)"),
        (403, r"not let it be read \(403\)"),
        (404, r"no such file \(404\)"),
        (418, "answers 418"),
        (503, r"answer 503; 4 tries"),
    ],
)
def test_answers_of_the_server_are_told(server: Served, status: int, words: str) -> None:
    server.status = status
    refused(slide_url(server), words)
    assert len(server.asked) <= 2 * remote.TRIES


def test_a_file_that_is_not_there_any_more(server: Served) -> None:
    with open_slide(slide_url(server)) as slide:
        server.status = 404
        with pytest.raises(UnreadableSlideError, match="no such file"):
            slide.read((2000, 2000), (64, 64), 0.5)


def test_a_server_without_ranges_is_refused(server: Served, folder: Path) -> None:
    server.ranges = False
    refused(slide_url(server), "does not answer ranges")
    assert server.sent < 2 * (folder / "case 1.ome.tif").stat().st_size


def test_nobody_answers(server: Served) -> None:
    refused(f"http://127.0.0.1:1/a.svs?{QUERY}", "does not answer")


def test_other_formats_have_to_be_downloaded(server: Served, folder: Path) -> None:
    (folder / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 9_000)
    refused(f"{server.url}/a.dcm?{QUERY}", "only tiled TIFF.*not a TIFF file")
    with pytest.raises(UnreadableSlideError, match="'openslide' reads files on a disk"):
        open_slide(slide_url(server), reader="openslide")


def test_other_file_systems(folder: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/case.tif", (folder / "case 1.ome.tif").read_bytes())
    try:
        with open_slide("memory://bucket/case.tif") as slide, open_slide(folder / "case 1.ome.tif") as local:
            assert np.array_equal(slide.read((5, 5), (200, 90), 1.0), local.read((5, 5), (200, 90), 1.0))
            assert slide.fingerprint == local.fingerprint
        refused("memory://bucket/absent.tif", "no such file")
    finally:
        system.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("package", "url"),
    [("fsspec", "https://h.org/a.svs"), ("s3fs", "s3://bucket/a.svs"), ("aiohttp", "http://h/a.svs")],
)
def test_without_the_package_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str, url: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        UnreadableSlideError, match=rf"(?s)need {package}, .*pip install 'histonic\[remote\]'"
    ) as caught:
        open_slide(f"{url}?{QUERY}")
    assert "KEY" not in str(caught.value)


def test_an_unknown_scheme_is_named() -> None:
    refused("gopher://h.org/a.svs", "scheme 'gopher' is not known")
