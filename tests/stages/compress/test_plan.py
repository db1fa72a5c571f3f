"""A dry run says what the compression then does, and writes nothing; a limit takes the first slides."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from histonic.app.cli import histonic
from histonic.core.errors import OutputError, SettingsError, StoreError
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.store import Store, map_folder
from histonic.encoders.base import load_encoder
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.compress.plan import BYTES_BESIDE_CODES, QUALITY_BYTES, CompressPlan, Pace

SHARES = {"s0": 40, "s1": 50, "s2": 45, "s3": 3, "s4": 0, "s5": 50}
"""Per cent of each slide that its mask takes as tissue."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of slides with masks; one of them holds no tissue, and one is no slide."""
    place = tmp_path_factory.mktemp("cohort")
    pixels = np.random.default_rng(0).integers(120, 200, (640, 640, 3), np.uint8)
    rows = ["path,mask"]
    for name, share in SHARES.items():
        write_pyramid(place / f"{name}.tif", pixels, mpp=0.5)
        mask = np.zeros((100, 100), np.uint8)
        mask[:share, :] = 255
        Image.fromarray(mask).save(place / f"{name}.png")
        rows.append(f"{name}.tif,{name}.png")
    (place / "torn.svs").write_bytes(b"II*\0")
    (place / "slides.csv").write_text("\n".join([*rows, "torn.svs,"]), encoding="utf-8")
    return place


def given(folder: Path, out: Path, **more: object) -> dict[str, object]:
    # A cell of s3 holds 3 / 20 of tissue.
    rule = {"min_cell_share": 0.1}
    return {"slides": [folder / "slides.csv"], "encoder": "colour", "out": out, "tissue": rule, **more}


def plan_of(**values: object) -> CompressPlan:
    plan = compress(**values, dry_run=True).plan
    assert plan is not None
    return plan


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_dry_run_says_what_is_done_then_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "store"
    before = times(folder)
    plan = plan_of(**given(folder, out))
    assert not out.parent.exists() and times(folder) == before
    states = {each.slide_id: each.state for each in plan.slides}
    assert states == dict.fromkeys(("s0", "s1", "s2", "s3", "s5"), "to do") | {"s4": "fails", "torn": "fails"}
    result = compress(**given(folder, out))
    assert result.done == [name for name, state in states.items() if state == "to do"]
    assert result.tiles == plan.cells
    reasons = {each.slide_id: each.reason for each in plan.slides if each.state == "fails"}
    assert {each.slide_id: " ".join(each.reason.split()) for each in result.failures} == reasons
    # The noise of such tiles can hardly be made smaller, and the plan is an upper bound.
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert size <= plan.bytes
    assert list(plan.outliers) == result.outliers
    assert [(each.slide_id, each.kind) for each in result.outliers] == [("s4", "nothing"), ("s3", "less")]


def test_maps_that_are_there_are_not_counted_again(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    compress(**given(folder, out, limit=2))
    before = times(out)
    plan = plan_of(**given(folder, out))
    assert times(out) == before
    assert [each.state for each in plan.slides] == [
        "there",
        "there",
        "to do",
        "to do",
        "fails",
        "to do",
        "fails",
    ]
    # Rows of cells with a tenth of tissue: 45 % reach into the third of five, 3 % into the first, 50 % into
    # the third.
    assert [each.share.cells for each in plan.slides if each.share] == [10, 15, 15, 5, 0, 15]
    assert plan.cells == 15 + 5 + 15
    assert plan.count("there") == 2 and plan.lines()[0] == (
        "dry run: 3 to do (35 cells), 2 there already, 2 would fail; nothing was written"
    )


def test_the_pace_is_measured_and_time_is_that_of_the_slower_part(folder: Path, tmp_path: Path) -> None:
    plan = plan_of(**given(folder, tmp_path / "store"))
    assert plan.pace is not None and plan.pace.slides == 3
    assert plan.pace.tiles == 10 + 15 + 15
    assert plan.pace.read_s > 0 and plan.pace.encode_s > 0
    slow = CompressPlan(Path("s"), plan.slides, 1000, 5.0, Pace(40, 0.01, 0.05, 3), 10, 20, ())
    assert slow.seconds == pytest.approx(50.0)
    fast = CompressPlan(Path("s"), plan.slides, 1000, 5.0, Pace(40, 0.01, 0.005, 3), 10, 20, ())
    assert fast.seconds == pytest.approx(15.0)
    assert fast.lines()[1] == (
        "time: about 15 s on this machine alone (measured on 40 tiles of 3 slides: 100 tiles/s are read, "
        "200 encoded)"
    )
    unmeasured = CompressPlan(Path("s"), plan.slides, 1000, 5.0, None, 30, 20, ())
    assert unmeasured.seconds is None
    assert unmeasured.lines()[1].startswith("time: not measured")
    assert unmeasured.lines()[2].endswith("that may be too little")


def test_a_slow_encoder_is_measured_on_few_tiles(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    class Slow:
        spec = load_encoder("colour").spec
        fingerprint = "slow"

        def encode(self, tiles: np.ndarray) -> np.ndarray:
            sizes.append(len(tiles))
            time.sleep(0.02)
            return np.zeros((len(tiles), self.spec.code_size), np.float32)

    monkeypatch.setattr("histonic.stages.compress.compress.encoder_of", lambda *_, **__: Slow())
    monkeypatch.setattr("histonic.stages.compress.plan.FIRST_TILES", 4)
    monkeypatch.setattr("histonic.stages.compress.plan.PROBE_S", 0.01)
    plan = plan_of(**given(folder, tmp_path / "store", orientations=8))
    assert sizes == [4, 4, 4, 4]  # one to make ready, one a slide
    assert plan.pace is not None and plan.pace.tiles == 12
    assert plan.pace.encode_s >= 8 * 0.02 / 4  # a turned tile is encoded like an upright one
    # Upright codes and those of eight orientations.
    assert plan.bytes == 60 * (18 * 2 * 9 + QUALITY_BYTES) + 5 * BYTES_BESIDE_CODES


def test_what_the_run_would_refuse_the_dry_run_refuses(folder: Path, tmp_path: Path) -> None:
    compress(**given(folder, tmp_path / "store", limit=1))
    with pytest.raises(StoreError, match="other settings"):
        plan_of(**given(folder, tmp_path / "store", orientations=8))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file stands where a folder is needed"):
        plan_of(**given(folder, tmp_path / "file" / "store"))
    write_pyramid(tmp_path / "ward" / "s0.tif", np.full((640, 640, 3), 150, np.uint8), mpp=0.5)
    other = given(folder, tmp_path / "store") | {"slides": [tmp_path / "ward"]}
    assert "another file" in plan_of(**other).slides[0].reason
    with pytest.raises(SettingsError, match="A mask is given for s0"):
        plan_of(**(given(folder, tmp_path / "new") | {"tissue": "all"}))


def test_the_first_slides_of_the_shard_are_taken(folder: Path, tmp_path: Path) -> None:
    assert compress(**given(folder, tmp_path / "store", limit=2)).done == ["s0", "s1"]
    again = compress(**given(folder, tmp_path / "store", limit=2))
    assert (again.done, again.skipped) == ([], ["s0", "s1"])
    assert compress(**given(folder, tmp_path / "store", limit=1, shard="2/2")).skipped == ["s1"]
    assert compress(**given(folder, tmp_path / "store", limit=9)).skipped == ["s0", "s1"]
    assert "limit" not in (tmp_path / "store" / "settings.yaml").read_text(encoding="utf-8")


def test_shares_are_kept_with_each_map_and_in_a_table(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    result = compress(**given(folder, store))
    facts = read_map_facts(map_folder(store, "s1"))
    assert facts.tissue is not None
    assert (facts.tissue.of_area, facts.tissue.of_cells, facts.cells) == (0.5, 0.6, 15)
    with (store / "tissue.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["slide_id"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(SHARES)
    assert rows["s1"]["share_of_area"] == "0.5" and rows["s1"]["tissue_from"] == "mask"
    assert float(rows["s1"]["scan_mm2"]) == pytest.approx(0.32**2)
    assert float(rows["s1"]["tissue_mm2"]) == pytest.approx(0.32**2 / 2)
    assert rows["s3"]["stands_out"] == "less" and rows["s3"]["words"] == result.outliers[1].words
    assert rows["s4"]["stands_out"] == "nothing" and rows["s4"]["cells"] == "0"
    assert {each.slide_id for each in result.shares} == set(Store.open(store).slide_ids) | {"s4"}


def test_the_command_says_it_in_lines(folder: Path, tmp_path: Path) -> None:
    words = ["compress", str(folder / "slides.csv"), "--encoder", "colour", "--out", str(tmp_path / "store")]
    words += ["--tissue-min-cell-share", "0.1"]
    plan = CliRunner().invoke(histonic, [*words, "--dry-run"])
    assert plan.exit_code == 1 and not (tmp_path / "store").exists()
    for part in ("to do    ", "tissue 50 % of the slide (15 cells)", "fails    ", "5 to do (60 cells)"):
        assert part in plan.output
    done = CliRunner().invoke(histonic, words)
    assert done.exit_code == 1
    assert "Tissue is 45 % of the median slide (3.0 % to 50 %, 5 slides)." in done.output
    less = "look at  s3  far less tissue than its neighbours: 3.0 % of the slide, "
    assert less in done.output and less in plan.output
    good = CliRunner().invoke(histonic, [*words, "--dry-run", "--limit", "1"])
    assert good.exit_code == 0 and "0 to do (0 cells), 1 there already" in good.output
