"""What is found in a run, a store and a slide file, and what is said where something is gone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from fixtures.views import MPP, SIZE_WH, ViewedRun, write_viewed
from histonic.app.view.content import Viewed, _notes_path, open_viewed
from histonic.app.view.layers import Layer
from histonic.app.view.settings import ViewSettings
from histonic.core.errors import HistonicError, RunError, SettingsError, StoreError, UnreadableSlideError
from histonic.core.objects.objects import Objects
from histonic.core.places.urls import Url
from histonic.data.maps.quality import CellQuality
from histonic.data.maps.remote.mirror import FACTS_ONLY, copy_folder
from histonic.data.maps.remote.published import VERSION_FILE, publish_map
from histonic.slides.formats.pyramid import write_pyramid


def view(what: Path | str, **more: Any) -> Viewed:
    return open_viewed(ViewSettings(what=what, **more))


def number_of(viewed: Viewed, slide_id: str) -> int:
    return [slide.slide_id for slide in viewed.slides].index(slide_id)


def described(viewed: Viewed, slide_id: str) -> Any:
    found = viewed.described(number_of(viewed, slide_id))
    assert found is not None
    return found


def test_a_run_has_its_cases_in_the_order_of_the_report(viewed_run: ViewedRun) -> None:
    viewed = view(viewed_run.run)
    verdicts = [case["targets"][0]["verdict"] for case in viewed.cases]
    assert len(viewed.cases) == 6 and verdicts == sorted(verdicts, reverse=True)
    assert {case["patient_id"]: case["explained"] for case in viewed.cases}["P000"] == ["msi"]
    assert viewed.notes_path == viewed_run.run.with_name("run.notes.csv")
    assert viewed.described(6) is None and viewed.described(-1) is None


def test_slide_map_and_explanations_are_found(viewed_run: ViewedRun) -> None:
    found = described(view(viewed_run.run), "P000-A")
    assert found.source is not None and (found.size_wh, found.mpp, found.notes) == (SIZE_WH, MPP, ())
    names = [layer.name for layer in found.layers]
    assert names[0] == "msi: what speaks for “instable” (integrated-gradients)"
    assert names[1] == "tissue that was used"
    assert "see 'histonic report'" in found.layers[0].warning


def test_layers_of_one_question_have_one_scale(viewed_run: ViewedRun) -> None:
    viewed = view(viewed_run.run)
    strong, weak = (described(viewed, name).layers[0] for name in ("P000-A", "P001-A"))
    assert strong.scale == weak.scale == pytest.approx(1.0, rel=0.05)
    assert any("a small part of the scale" in note for note in weak.notes)


def test_cells_that_stand_out_are_those_of_the_values(viewed_run: ViewedRun) -> None:
    layer: Layer = described(view(viewed_run.run), "P000-A").layers[0]
    numbers = layer.numbers()
    rows, cols = layer.grid.shape
    assert numbers["most"][0] == [rows - 1, cols - 1, 1.0] and numbers["least"][0] == [1, 0, -1.0]
    assert layer.facts()["step"] == 128.0 and layer.tile_box(rows, 0) is None
    assert layer.tile_box(1, 2) == ((256.0, 128.0), 128, 0.5)


def test_a_mask_has_no_cells_that_stand_out(viewed_run: ViewedRun) -> None:
    layer: Layer = described(view(viewed_run.run), "P000-A").layers[1]
    numbers = layer.numbers()
    assert layer.kind == "mask" and numbers["most"] == numbers["least"] == []


def test_without_the_file_the_thumbnail_is_shown(viewed_run: ViewedRun) -> None:
    found = described(view(viewed_run.run), "P002-A")
    assert found.source is None and found.thumbnail is not None and "not at hand" in found.notes[0]
    assert found.layers[0].name == "tissue that was used"


def test_slides_that_moved_are_found(tmp_path: Path) -> None:
    made = write_viewed(tmp_path / "made")
    shutil.move(made.slides, tmp_path / "elsewhere")
    assert described(view(made.run), "P000-A").source is None
    found = described(view(made.run, slides=tmp_path / "elsewhere"), "P000-A")
    assert found.source is not None and found.source.path == tmp_path / "elsewhere" / "P000-A.tif"


def test_another_file_of_that_name_is_not_shown(tmp_path: Path) -> None:
    made = write_viewed(tmp_path / "made")
    shutil.copy(made.slides / "P001-A.tif", made.slides / "P000-A.tif")
    found = described(view(made.run), "P000-A")
    assert found.source is None and "not the file that was compressed" in found.notes[0]


def test_without_a_store_explanations_still_lie_over_the_slide(tmp_path: Path) -> None:
    made = write_viewed(tmp_path / "made")
    shutil.rmtree(made.store)
    viewed = view(made.run, slides=made.slides)
    found = described(viewed, "P000-A")
    assert found.source is not None and found.size_wh == SIZE_WH and found.layers[0].kind == "signed"
    gone = described(viewed, "P005-A")
    assert gone.source is None and gone.thumbnail is not None and not gone.layers


def test_maps_of_an_object_store_are_fetched_when_they_are_looked_at(
    viewed_run: ViewedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "home"))
    url = f"memory://{uuid4().hex}/store"
    for folder in viewed_run.store.glob("*.zarr"):
        publish_map(Objects(Url(url)), folder, b"picture")
    viewed = view(viewed_run.run, store=url)
    found = described(viewed, "P000-A")
    assert found.notes == () and found.layers[1].name == "tissue that was used"
    assert np.isfinite(found.layers[1].read().values).any()
    held = {path.parent.name: path.read_text() for path in copy_folder(Url(url)).glob(f"*/{VERSION_FILE}")}
    assert [name for name in held if not held[name].endswith(FACTS_ONLY)] == ["P000-A.zarr"]


def test_a_store_is_shown_from_its_url(
    viewed_run: ViewedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fsspec")
    monkeypatch.setenv("HISTONIC_CACHE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    url = f"memory://{uuid4().hex}/my%20store"
    for folder in viewed_run.store.glob("*.zarr"):
        publish_map(Objects(Url(url)), folder, b"picture")
    viewed = view(url)
    assert (viewed.title, viewed.kind, viewed.notes_path.parent) == ("my store", "store", tmp_path)
    assert re.fullmatch(r"[0-9a-f]{32}-my-store-[0-9a-f]{8}\.notes\.csv", viewed.notes_path.name)
    names = [layer.name for layer in described(viewed, "P000-A").layers]
    assert names[0] == "tissue that was used"
    with pytest.raises(SettingsError, match="is no finished run"):
        view(url, beside=viewed_run.run)
    with pytest.raises(StoreError, match="No map published by 'histonic compress --out URL' lies there"):
        view(f"memory://{uuid4().hex}/slide.svs")


def test_each_url_has_its_own_file_of_notes_in_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = (
        "s3://a/store",
        "s3://b/x/store",
        "s3://a/x-store",
        "s3://a/x/store",
        "s3://a/%2Ftmp%2Fx",
        "s3://a",
    )
    odd = ("s3://a/..%2F..%2Fx", "s3://a/b%00c", f"s3://a/{'é' * 200}", "s3://", "s3://a/\udc80")
    paths = [_notes_path(Url(url)) for url in (*urls, *odd)]
    assert len({path.name for path in paths}) == len(paths)
    for path in paths:
        path.write_text("note")
        assert path.parent == tmp_path and path.name[0] not in ".-" and path.name.endswith(".notes.csv")
    assert paths[0].name.startswith("a-store-")
    same = ("s3://a/store/", "s3://me:secret@a/store?signature=xyz")
    assert {_notes_path(Url(url)) for url in same} == {paths[0]}


def test_a_store_that_cannot_be_asked_is_named_and_the_run_is_shown(viewed_run: ViewedRun) -> None:
    found = described(view(viewed_run.run, store="nowhere://bucket/store"), "P000-A")
    assert found.layers[0].kind == "signed" and "not at hand: " in found.notes[0]
    assert "nowhere" in found.notes[0]


def test_the_report_says_which_maps_may_show_nothing(tmp_path: Path) -> None:
    made = write_viewed(tmp_path / "made")
    target = {"task": {"name": "msi"}, "against_chance": "covers", "crossed": True}
    (made.run / "report.json").write_text(json.dumps({"targets": [target]}))
    assert "holds chance" in described(view(made.run), "P000-A").layers[0].warning
    (made.run / "report.json").write_text("[]")
    assert "see 'histonic report'" in described(view(made.run), "P000-A").layers[0].warning


def test_two_runs_stand_beside_each_other(viewed_run: ViewedRun, tmp_path: Path) -> None:
    other = Path(shutil.copytree(viewed_run.run, tmp_path / "other"))
    viewed = view(viewed_run.run, beside=other)
    groups = [layer.group for layer in described(viewed, "P000-A").layers]
    assert viewed.models == ["run", "other"] and groups[:2] == ["run", "other"]
    assert viewed.cases[0]["other"][0]["target"] == "msi"


def test_a_store_has_a_case_a_map(viewed_run: ViewedRun) -> None:
    viewed = view(viewed_run.store)
    assert [case["patient_id"] for case in viewed.cases] == ["P000-A", "P001-A", "P002-A"]
    assert described(viewed, "P001-A").source is not None and not viewed.targets


def test_a_slide_file_alone(viewed_run: ViewedRun, tmp_path: Path) -> None:
    found = described(view(viewed_run.slides / "P000-A.tif"), "P000-A")
    assert (found.size_wh, found.mpp, found.layers) == (SIZE_WH, MPP, ())
    from PIL import Image

    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "field.png")
    unknown = described(view(tmp_path / "field.png"), "field")
    assert unknown.mpp is None and "--mpp" in unknown.notes[-1]
    assert described(view(tmp_path / "field.png", mpp=0.25), "field").mpp == 0.25
    assert len(view(viewed_run.slides).slides) == 2


def test_what_cannot_be_viewed_is_refused(viewed_run: ViewedRun, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        view(tmp_path / "gone")
    (tmp_path / "begun" / ".partial-a.zarr").mkdir(parents=True)
    with pytest.raises(HistonicError) as caught:
        view(tmp_path / "begun")
    assert "slide" in caught.value.found and "URL" not in str(caught.value)
    (tmp_path / "a.svs").write_bytes(b"no slide")
    with pytest.raises(UnreadableSlideError):
        view(tmp_path / "a.svs")
    with pytest.raises(SettingsError, match="Give two runs"):
        view(viewed_run.store, beside=viewed_run.run)
    with pytest.raises(RunError):
        view(viewed_run.run, beside=tmp_path)


def test_quality_becomes_layers(viewed_run: ViewedRun) -> None:
    from histonic.app.view.layers import store_layers
    from histonic.data.maps.store import Store, map_folder, read_map

    store = Store.open(viewed_run.store)
    grid = read_map(map_folder(store.path, "P000-A")).grid
    shape = tuple(grid.shape)
    pen, folds, focus = (np.zeros(shape, np.float32) for _ in range(3))
    pen[0] = np.nan
    pen[2, 3], folds[3, 1], focus[4, 4] = 0.9, 0.5, -3.0
    layers = {each.name: each for each in store_layers(store, "P000-A", grid, CellQuality(pen, folds, focus))}
    kinds = layers["quality: what spoils cells"].read().values
    assert (kinds[2, 3], kinds[3, 1], kinds[4, 4], kinds[5, 5]) == (1, 2, 3, 0) and np.isnan(kinds[0]).all()
    assert layers["quality: focus"].read().values[4, 4] == -3
    assert layers["quality: share of pen"].read().values[2, 3] == pytest.approx(0.9)


def test_classes_of_tiles_are_those_of_the_heads(tmp_path: Path) -> None:
    from histonic.app.view.layers import store_layers
    from histonic.core.compressed import CompressedSlide, SlideDescription
    from histonic.core.grid import TileGrid
    from histonic.data.maps.store import Store, encoder_path
    from histonic.data.maps.writer import write_map
    from histonic.encoders.base import describe, load_encoder
    from histonic.encoders.tile_heads import heads_beside, load_slide_heads

    encoder = load_encoder("histonic-mtl")
    grid = TileGrid.over((384, 256), slide_mpp=0.5, tile_px=128, mpp=0.5)
    mask = np.array([[True, False, True], [True, True, True]])
    codes = np.random.default_rng(0).normal(size=(encoder.spec.code_size, 2, 3)).astype(np.float16) * mask
    slide = CompressedSlide("s", codes, mask, grid, describe(encoder), SlideDescription(fingerprint="s"))
    write_map(tmp_path / "s.zarr", slide)
    encoder.save(encoder_path(tmp_path))
    shipped = heads_beside("histonic-mtl")
    assert shipped is not None
    shutil.copy(shipped, tmp_path / "heads.safetensors")
    heads, _ = load_slide_heads(shipped)
    layers = [each for each in store_layers(Store.open(tmp_path), "s", grid, None) if each.kind == "classes"]
    assert [each.match for each in layers] == [
        f"class-{task.name}" for task in heads.tasks if task.is_classification
    ]
    import torch

    found, head = layers[0].read(), heads[layers[0].match.removeprefix("class-")]
    code = torch.tensor(codes[:, 1, 2], dtype=torch.float32)[None]
    share = head.predict(head(code))[0]
    assert found.values[1, 2] == int(share.argmax()) and np.isnan(found.values[0, 1])
    assert found.strength is not None and found.strength[1, 2] == pytest.approx(float(share.max()), abs=1e-4)


def test_pyramids_and_cells_agree_on_the_frame(tmp_path: Path) -> None:
    """The page lays cells over level-0 pixels, as the pyramid does tiles."""
    write_pyramid(tmp_path / "a.tif", np.zeros((300, 400, 3), np.uint8), mpp=0.5)
    found = described(view(tmp_path / "a.tif"), "a")
    assert found.size_wh == (400, 300)
