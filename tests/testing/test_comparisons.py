"""Files as histonic and OpenSlide see them: equal where both are right, and a planted fault is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from histonic.slides.formats.pyramid import write_pyramid
from histonic.testing import comparisons
from histonic.testing.comparisons import compare_slide


def tissue(height: int = 1500, width: int = 2100) -> np.ndarray:
    image = np.full((height, width, 3), 244, np.uint8)
    noise = np.random.default_rng(0).integers(-30, 30, (height // 2, width // 2, 1))
    image[height // 4 : height // 4 + height // 2, 300 : 300 + width // 2] = np.clip(
        np.array([190, 110, 170]) + noise, 0, 255
    )
    return image


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.tif"
    write_pyramid(path, tissue(), mpp=0.5)
    return path


def test_a_plain_pyramid_is_the_same(slide: Path) -> None:
    found = compare_slide(slide)
    assert (found.verdict, found.findings) == ("same", [])
    assert [level.wh for level in found.levels] == [(2100, 1500), (525, 375)]
    assert found.levels[0].regions == 16 and found.levels[0].equal == 1
    assert found.ours["µm/px"] == 0.5 and found.theirs["openslide.vendor"] == "generic-tiff"
    assert found.tissue["agreement"] > 0.99
    assert found.tissue["histonic"] == pytest.approx(0.25, abs=0.03)


class _Shifted(comparisons.OpenSlideSlide):
    """A reader with a fault: one pixel to the right, of another resolution."""

    def _read_pixels(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        return super()._read_pixels(level, x + 1, y, width, height)


def test_a_fault_is_named(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "open_slide", lambda path, **given: _Shifted.open(path, mpp=0.25))
    found = compare_slide(slide)
    assert found.verdict == "different" and found.levels[0].mean > 1
    assert found.findings == ["resolution: 0.25 µm/px, by OpenSlide 0.5 µm/px"]


def test_what_one_alone_opens(slide: Path, tmp_path: Path) -> None:
    Image.fromarray(tissue()).save(tmp_path / "a.jpg")
    found = compare_slide(tmp_path / "a.jpg")
    assert found.verdict == "histonic only" and "0.5 µm/px assumed" in found.findings[0]
    assert "refused" in found.theirs and found.tissue["histonic"] > 0.2
    (tmp_path / "b.svs").write_bytes(b"no slide")
    found = compare_slide(tmp_path / "b.svs")
    assert found.verdict == "neither" and "No reader" in found.ours["refused"]
    assert compare_slide(tmp_path / "absent.svs").verdict == "neither"


def test_no_free_text_of_the_header_is_kept(tmp_path: Path) -> None:
    said = (
        "Aperio Image Library v1\r\n1000x800 (240x240) JPEG Q=70|AppMag = 20|User = Doe|MPP = 0.5|Title = Roe"
    )
    tifffile.imwrite(
        tmp_path / "s.svs", tissue(800, 1000), tile=(240, 240), photometric="rgb", compression="jpeg",
        description=said, metadata=None,
    )  # fmt: skip
    found = compare_slide(tmp_path / "s.svs")
    assert found.theirs["aperio.MPP"] == "0.5" and found.theirs["openslide.vendor"] == "aperio"
    assert "Doe" not in repr(found) and "Roe" not in repr(found)
    assert not any(
        key in found.theirs for key in ("aperio.User", "tiff.ImageDescription", "openslide.comment")
    )


def test_numbers_that_are_none_are_left_out() -> None:
    given = {
        "aperio.MPP": "Roe 0.5",
        "aperio.AppMag": "20",
        "openslide.level[0].width": "7",
        "aperio.Date": "1",
    }
    assert comparisons._safe(given) == {"aperio.AppMag": "20", "openslide.level[0].width": "7"}


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"])
def test_real_slides(data_dir: Path, name: str) -> None:
    found = compare_slide(data_dir / "slides" / name)
    assert found.verdict in ("same", "nearly the same") and found.levels
    assert found.tissue["agreement"] > 0.98
