"""Which pages of a TIFF make up the slide; files cut off anywhere, and files left to others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from histonic.core.errors import UnreadableSlideError
from histonic.slides.base import open_slide


def picture(height: int = 600, width: int = 800) -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (height // 20, width // 20, 3)).repeat(20, 0).repeat(20, 1)
    return np.clip(coarse + rng.integers(-20, 20, coarse.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("levels", [1, 2])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, bigtiff: bool, levels: int) -> None:
    path = tmp_path / "a.tif"
    options = {"tile": (64, 64), "photometric": "rgb", "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for level in range(levels):
            image = picture(200, 300)[:: 2**level, :: 2**level].copy()
            writer.write(image, subfiletype=min(level, 1), **options)
    whole = path.read_bytes()
    cut = tmp_path / "cut.svs"
    for share in np.linspace(0.001, 0.9999, 60):
        cut.write_bytes(whole[: max(1, int(share * len(whole)))])
        with pytest.raises(UnreadableSlideError, match=r"cut\.svs"):
            open_slide(cut, mpp=0.5)


def test_a_real_slide_cut_off_is_called_truncated(tmp_path: Path, data_dir: Path) -> None:
    for name in ("CMU-1-Small-Region.svs", "TCGA-CR-7395-01A-01-TS1.svs"):
        whole = (data_dir / "slides" / name).read_bytes()
        for share in (0.05, 0.4, 0.7, 0.85):
            (tmp_path / "cut.svs").write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(UnreadableSlideError, match="truncated"):
                open_slide(tmp_path / "cut.svs")


@pytest.mark.parametrize("content", [b"hello\n", b"II", b"II*\0", b"MM, this is a memo and no slide"])
def test_texts_are_not_called_truncated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.svs").write_bytes(content)
    with pytest.raises(UnreadableSlideError, match="No reader") as caught:
        open_slide(tmp_path / "a.svs")
    assert "tiff: not a TIFF file" in caught.value.found and "openslide: " in caught.value.found


def test_pages_that_are_no_levels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    fine = picture()
    base = {"photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(fine, tile=(128, 128), **base)
        writer.write(fine[::2, ::2].copy(), tile=(128, 128), **base)  # unmarked: another picture
        writer.write(fine[::4, ::4].copy(), tile=(128, 128), subfiletype=1, **base)
        writer.write(fine[::8, ::4].copy(), tile=(128, 128), subfiletype=1, **base)  # another shape
        writer.write(fine[::4, ::4].copy(), subfiletype=1, **base)  # a thumbnail in strips
    with open_slide(path, mpp=0.25) as slide:
        assert slide.native_mpps() == (0.25, 1.0)


def test_trestle_files_are_left_to_openslide(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), tile=(128, 128), photometric="rgb", software="MedScan 1", metadata=None)
    with pytest.raises(UnreadableSlideError, match="overlap"):
        open_slide(path, reader="tiff")
