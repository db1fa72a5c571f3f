"""The static folder holds what the server would answer, goes on after a kill, and spares other folders."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fixtures.command_line import typed
from fixtures.views import MPP, ViewedRun
from histonic.slides.base import open_slide


@pytest.fixture(scope="module")
def exported(viewed_run: ViewedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "site"
    done = typed("view", str(viewed_run.run), "--export", str(out), cwd=out.parent)
    assert done.code == 0 and str(out / "index.html") in done.out
    return out


def test_all_addresses_of_the_page_are_files(exported: Path) -> None:
    index = json.loads((exported / "data/index.json").read_text())
    assert index["notes"] is False and len(index["slides"]) == 6
    assert (exported / "static/openseadragon/LICENSE").is_file()
    for number in range(6):
        folder = exported / "data/slides" / str(number)
        facts = json.loads((folder / "slide.json").read_text())
        assert (folder / "small.jpg").is_file()
        assert (folder / "tiles.dzi").is_file() == (facts["tiles"] is not None)
        for layer in range(len(facts["layers"])):
            numbers = json.loads((folder / f"layers/{layer}.json").read_text())
            cells = [*numbers["most"], *numbers["least"]] if facts["tiles"] else []
            assert all((folder / f"layers/{layer}/{row}_{col}.jpg").is_file() for row, col, _ in cells)


def test_tiles_are_the_slide(exported: Path, viewed_run: ViewedRun) -> None:
    number = json.loads((exported / "data/index.json").read_text())["slides"].index("P000-A")
    tile = np.asarray(Image.open(exported / f"data/slides/{number}/tiles_files/11/0_0.jpg"), float)
    with open_slide(viewed_run.slides / "P000-A.tif") as slide:
        assert np.abs(tile - slide.read((0, 0), (255, 255), MPP)).mean() < 12


def test_a_coarser_export_has_fewer_levels(viewed_run: ViewedRun, tmp_path: Path) -> None:
    slide = str(viewed_run.slides / "P000-A.tif")
    done = typed("view", slide, "--export", "site", "--export-mpp", "2", cwd=tmp_path)
    folder = tmp_path / "site/data/slides/0"
    facts = json.loads((folder / "slide.json").read_text())
    assert done.code == 0 and (facts["tiles"]["width"], facts["tiles"]["factor"]) == (325, 4)
    assert sorted(int(path.name) for path in (folder / "tiles_files").iterdir()) == list(range(10))
    assert facts["width"] == 1300


def test_an_export_goes_on_and_takes_no_other_folder(viewed_run: ViewedRun, tmp_path: Path) -> None:
    slide = str(viewed_run.slides / "P000-A.tif")
    assert typed("view", slide, "--export", "site", cwd=tmp_path).code == 0
    tile = tmp_path / "site/data/slides/0/tiles_files/0/0_0.jpg"
    before = tile.stat().st_mtime_ns
    (tmp_path / "site/index.html").unlink()
    assert typed("view", slide, "--export", "site", cwd=tmp_path).code == 0
    assert tile.stat().st_mtime_ns == before and (tmp_path / "site/index.html").is_file()
    other = typed("view", str(viewed_run.store), "--export", "site", cwd=tmp_path)
    assert other.code == 2 and "holds something else" in other.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/paper.txt").write_text("")
    mine = typed("view", slide, "--export", "mine", cwd=tmp_path)
    assert mine.code == 2 and [path.name for path in (tmp_path / "mine").iterdir()] == ["paper.txt"]
