"""The static folder holds what the server would answer, goes on after a kill, and spares other folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.command_line import typed
from fixtures.views import MPP, ViewedRun, write_viewed
from histonic.app.view.content import open_viewed
from histonic.app.view.export import export
from histonic.app.view.settings import ViewSettings
from histonic.core.compressed import CellMap
from histonic.core.errors import UnreadableSlideError
from histonic.core.progress import Silent
from histonic.data.maps.cell_maps import read_cell_map, write_cell_map
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


def test_an_export_into_the_same_folder_writes_what_differs(tmp_path: Path) -> None:
    viewed = write_viewed(tmp_path / "own")
    hidden = shutil.move(viewed.slides / "P001-A.tif", tmp_path / "P001-A.tif")

    def exported() -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
        assert typed("view", str(viewed.run), "--export", "site", cwd=tmp_path).code == 0
        names = json.loads((tmp_path / "site/data/index.json").read_text())["slides"]
        paths = {name: tmp_path / f"site/data/slides/{k}/slide.json" for k, name in enumerate(names)}
        facts = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
        return facts, {name: path.stat().st_ino for name, path in paths.items() if path.is_file()}

    first, files = exported()
    assert first["P001-A"]["tiles"] is None and exported()[1] == files
    # A slide comes to hand, and a map is made anew with other numbers under the same words.
    shutil.move(hidden, viewed.slides / "P001-A.tif")
    folder = viewed.run / "explain/integrated-gradients/msi/P000-A/values.zarr"
    cells = read_cell_map(folder)
    values = np.asarray(cells.values).copy()
    values.ravel()[[-1, -2]] = values.ravel()[[-2, -1]]
    shutil.rmtree(folder)
    write_cell_map(folder, CellMap("P000-A", values, cells.grid, "what the cell adds"), {})
    second, changed = exported()
    assert second["P001-A"]["tiles"] is not None
    assert {name for name in files if changed[name] != files[name]} == {"P000-A", "P001-A"}
    assert second["P000-A"] == first["P000-A"] | {"made_of": second["P000-A"]["made_of"]}
    # Networks that were trained anew are said, too.
    (viewed.run / "bundle/bundle.json").write_text('{"other": 1}')
    third, _ = exported()
    assert any("other networks" in note for each in third["P000-A"]["layers"] for note in each["notes"])


def test_a_slide_that_cannot_be_read_any_more_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, viewed_run: ViewedRun
) -> None:
    settings = ViewSettings(what=viewed_run.slides / "P000-A.tif")
    viewed = open_viewed(settings)
    export(viewed, tmp_path / "site", settings, Silent())
    assert (tmp_path / "site/data/slides/0/slide.json").is_file()

    def broken(_: int) -> None:
        raise UnreadableSlideError("Open it.", "It is broken.", "Look at it.")

    monkeypatch.setattr(viewed, "described", broken)
    export(viewed, tmp_path / "site", settings, Silent())
    assert not (tmp_path / "site/data/slides/0").exists()
