"""Stores of other tools' features: made, resumed, refused by slide, and used by all that comes after."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from fixtures.command_line import typed
from fixtures.tools import Tiles, cohort, write_arrays, write_clam, write_stamp, write_trident
from histonic.core.errors import BundleError, SettingsError, StoreError, TableError
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.store import Store, map_folder
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.audit.audit import audit
from histonic.stages.exchange.headers import imported_encoder
from histonic.stages.exchange.importing import import_features
from histonic.stages.exchange.tensors import TorchFiles
from histonic.stages.explain.explain import explain
from histonic.stages.predict.external import external_test
from histonic.stages.predict.predict import predict
from histonic.stages.report.report import write_report
from histonic.stages.train.train import train_slides
from histonic.stages.verify.verify import verify

TRIDENT = Path("20x_224px_0px_overlap") / "features_uni_v1"


def with_arrays(slide: Tiles, mask: np.ndarray, features: np.ndarray) -> Tiles:
    """The same slide with other tiles."""
    other = copy.copy(slide)
    object.__setattr__(other, "mask", mask)
    object.__setattr__(other, "features", features)
    return other


def require_map(store: Path, slide: Tiles) -> None:
    found = Store.open(store).map(slide.slide_id)
    np.testing.assert_array_equal(found.mask, slide.mask)
    np.testing.assert_array_equal(found.features[:], slide.features)


def test_an_import_is_the_map_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    slides = cohort()
    write_trident(tmp_path / "job", slides)
    table = tmp_path / "slides.csv"
    table.write_text("slide_id,mpp\ns0.svs,0.25\ns1.svs,0.2502\ns2.svs,0.2498\n")
    given = {"folder": tmp_path / "job", "out": tmp_path / "store", "slides": table}
    result = import_features(**given)
    assert result.done == ["s0", "s1", "s2"] and not result.failures and result.tool == "TRIDENT"
    for slide in slides:
        require_map(tmp_path / "store", slide)
    store = Store.open(tmp_path / "store")
    spec = store.encoder.spec
    assert (spec.name, spec.tool, spec.tile_px, spec.mpp) == ("uni_v1", "TRIDENT", 224, 0.5)
    # The true scale of each slide is in its grid.
    assert [store.map(each).grid.mpp for each in store.slide_ids] == [0.5, 0.5004, 0.4996]
    assert verify(paths=[tmp_path / "store"])[0].faults == ()
    again = import_features(**given)
    assert (again.done, again.skipped) == ([], ["s0", "s1", "s2"])
    with h5py.File(tmp_path / "job" / TRIDENT / "s1.h5", "a") as file:
        file["features"][:] = file["features"][:] + 1
    changed = import_features(**given)
    assert changed.skipped == ["s0", "s2"]
    assert [(each.slide_id, each.stage) for each in changed.failures] == [("s1", "features")]
    assert import_features(**given, replace=True).done == ["s1"]
    assert not store.failures()


def test_the_encoder_is_called_by_tool_name_tile_and_resolution() -> None:
    one = imported_encoder("TRIDENT", "uni", 224, 0.5, 1024)
    assert one == imported_encoder("TRIDENT", "uni", 224, 0.5, 1024)
    others = [
        imported_encoder(*given)
        for given in (
            ("CLAM", "uni", 224, 0.5, 1024),
            ("TRIDENT", "uni_v2", 224, 0.5, 1024),
            ("TRIDENT", "uni", 256, 0.5, 1024),
            ("TRIDENT", "uni", 224, 0.25, 1024),
            ("TRIDENT", "uni", 224, 0.5, 1536),
        )
    ]
    assert len({each.fingerprint for each in (one, *others)}) == 6


def spoil(folder: Path, number: int, fault: str) -> None:
    """Give the file of one slide a fault."""
    with h5py.File(folder / TRIDENT / f"s{number}.h5", "a") as file:
        features, coords = file["features"][:], file["coords"]
        if fault == "nan":
            features[1, 0] = np.nan
        elif fault == "inf":
            features[1, 0] = np.inf
        elif fault == "large":
            features[1, 0] = 70_000
        elif fault == "rows":
            features = features[:-1]
        elif fault == "size":
            features = np.hstack([features, features])
        elif fault == "zeros":
            features[:] = 0
        elif fault == "same":
            features[:] = features[0]
        elif fault == "absent":
            del file["coords"]
        elif fault == "overlap":
            coords.attrs["overlap"] = 112
        elif fault == "lattice":
            coords[0, 0] += 50
        elif fault == "tile":
            coords.attrs["patch_size"], coords.attrs["target_magnification"] = 448, 40
        elif fault == "twice":
            coords.attrs["target_magnification"] = 10
        elif fault == "empty":
            told = dict(coords.attrs)
            features = features[:0]
            del file["coords"]
            file["coords"] = np.empty((0, 2), np.int64)
            file["coords"].attrs.update(told)
        del file["features"]
        file["features"] = features


FAULTS = {
    "nan": "NaN", "inf": "NaN or infinity", "large": "7e+04", "rows": "rows of features",
    "size": "8 numbers", "overlap": "overlap", "lattice": "no one lattice", "tile": "448 px",
    "empty": "no tile", "zeros": "nothing but zeros", "same": "the same numbers", "absent": "has no 'coords'",
    "twice": "224 px at 10x are 896 px",
}  # fmt: skip


def test_one_slide_with_a_fault_is_listed_and_the_others_go_on(tmp_path: Path) -> None:
    slides = cohort(len(FAULTS) + 12)
    write_trident(tmp_path / "job", slides)
    for number, fault in enumerate(FAULTS):
        spoil(tmp_path / "job", number, fault)
    rows = [f"s{number},{'' if number == len(FAULTS) else 0.25}" for number in range(len(slides))]
    (tmp_path / "t.csv").write_text("\n".join(["slide_id,mpp", *rows]) + "\n")
    shown = typed("import", "job", "--out", "store", "--slides", "t.csv", cwd=tmp_path)
    assert shown.code == 1 and "Traceback" not in shown.err
    failures = {each.slide_id: each for each in Store.open(tmp_path / "store").failures()}
    assert sorted(failures) == sorted(f"s{number}" for number in range(len(FAULTS) + 1))
    for number, words in enumerate(FAULTS.values()):
        assert words in failures[f"s{number}"].reason, (words, failures[f"s{number}"])
        assert f"s{number}.h5" in shown.out
    assert "microns per pixel" in failures[f"s{len(FAULTS)}"].reason
    assert len(Store.open(tmp_path / "store").slide_ids) == len(slides) - len(FAULTS) - 1
    for slide in slides[len(FAULTS) + 1 :]:
        require_map(tmp_path / "store", slide)


def test_a_resolution_is_guessed_only_if_that_is_asked_for(tmp_path: Path) -> None:
    write_trident(tmp_path / "job", cohort(1))
    refused = import_features(folder=tmp_path / "job", out=tmp_path / "store")
    assert "--mpp-from-magnification" in refused.failures[0].reason and not refused.done
    import_features(folder=tmp_path / "job", out=tmp_path / "store", mpp_from_magnification=True)
    slide = Store.open(tmp_path / "store").map("s0").slide
    assert (slide.mpp, slide.mpp_source) == (0.25, "guessed from the magnification")


def test_a_cohort_of_clam_with_shifted_pieces_stays_within_its_bounds(tmp_path: Path) -> None:
    (slide,) = cohort(1, rows=12, cols=14)
    lower = slide.cells[:, 0] > 6
    xy = slide.xy + np.where(lower[:, None], (100, 150), (0, 0))
    write_clam(tmp_path / "clam", [slide], xy=xy)
    result = import_features(folder=tmp_path / "clam", out=tmp_path / "store", features="resnet50", mpp=0.25)
    assert result.done == ["s0"] and result.dropped == 0
    found = Store.open(tmp_path / "store").map("s0")
    # 100 and 150 of 448 pixels: no tile leaves its cell.
    require_map(tmp_path / "store", slide)
    assert f"{int(lower.sum())} of {len(xy)} tiles" in result.moved["s0"] and "0.33" in result.moved["s0"]
    assert "moved" in found.reader.note
    crowded = slide.xy + np.where(lower[:, None], (0, -448 * 5 + 30), (0, 0))
    write_clam(tmp_path / "crowded", [slide], xy=crowded)
    refused = import_features(
        folder=tmp_path / "crowded", out=tmp_path / "other", features="resnet50", mpp=0.25
    )
    assert "come to a cell" in refused.failures[0].reason


def test_a_store_holds_one_encoder(tmp_path: Path) -> None:
    slides = cohort(1)
    write_arrays(tmp_path / "a", slides)
    given = {"out": tmp_path / "store", "tile_px": 224, "mpp": 0.25}
    import_features(folder=tmp_path / "a", features="one", **given)
    with pytest.raises(StoreError, match="'one'"):
        import_features(folder=tmp_path / "a", features="two", **given)
    with pytest.raises(SettingsError, match="no folder of positions"):
        import_features(
            folder=tmp_path / "a" / "features", features="x", out=tmp_path / "b", coords=tmp_path / "n"
        )


def test_a_wrong_slide_table_is_named(tmp_path: Path) -> None:
    write_trident(tmp_path / "job", cohort(1))
    given = {"folder": tmp_path / "job", "out": tmp_path / "store", "slides": tmp_path / "t.csv"}
    for text, words in (
        ("slide_id,mpp\ns0,0.25\ns0,0.5\n", "second time"),
        ("slide_id,mpp\ns0,-1\n", "'-1'"),
        ("patient,mpp\na,1\n", "neither a column slide_id nor path"),
    ):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(TableError, match=words):
            import_features(**given)


def test_slides_at_hand_give_resolution_size_and_picture(tmp_path: Path) -> None:
    (slide,) = cohort(1, tile_px=64, scale=1, slide_mpp=0.5)
    write_clam(tmp_path / "clam", [slide])
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 200, (slide.wh[1], slide.wh[0], 3), dtype=np.uint8)
    write_pyramid(tmp_path / "s0.tif", pixels, mpp=0.5)
    write_pyramid(tmp_path / "big.tif", np.tile(pixels, (2, 2, 1)), mpp=0.5)
    table = tmp_path / "t.csv"
    table.write_text("slide_id,path\ns0,s0.tif\n")
    given = {"folder": tmp_path / "clam", "slides": table, "features": "x"}
    result = import_features(out=tmp_path / "store", **given)
    assert result.pictures == 1 and result.done == ["s0"]
    facts = read_map_facts(map_folder(tmp_path / "store", "s0"))
    assert facts.slide.mpp == 0.5 and facts.appearance is not None and facts.slide.file == "s0.tif"
    assert Store.open(tmp_path / "store").thumbnail("s0") is not None
    require_map(tmp_path / "store", slide)
    # Other features of the same slide, whose file is as it was.
    changed = with_arrays(slide, slide.mask, (slide.features + 1) * slide.mask)
    write_clam(tmp_path / "clam", [changed])
    assert import_features(out=tmp_path / "store", **given).failures[0].stage == "features"
    assert import_features(out=tmp_path / "store", replace=True, **given).done == ["s0"]
    require_map(tmp_path / "store", changed)
    write_clam(tmp_path / "clam", [slide])
    table.write_text("slide_id,path\ns0,absent.tif\n")
    assert "where no file is" in import_features(out=tmp_path / "none", **given).failures[0].reason
    table.write_text("slide_id,path\ns0,big.tif\n")
    refused = import_features(out=tmp_path / "other", **given)
    assert "a slide of 320 x 384 px" in refused.failures[0].reason


def test_a_slide_of_few_patches_has_the_step_of_the_others(tmp_path: Path) -> None:
    whole = cohort(3, tile_px=64, scale=1, slide_mpp=0.5)
    sparse = np.zeros_like(whole[0].mask)
    sparse[0, 0] = sparse[0, 2] = True  # a gap of two patches is the only one
    whole[0] = with_arrays(whole[0], sparse, whole[0].features * sparse)
    write_clam(tmp_path / "clam", whole)
    result = import_features(folder=tmp_path / "clam", out=tmp_path / "store", features="x", mpp=0.5)
    assert result.done == ["s0", "s1", "s2"]
    grids = [Store.open(tmp_path / "store").map(each.slide_id).grid for each in whole]
    assert {grid.stride_px for grid in grids} == {64}
    assert np.argwhere(Store.open(tmp_path / "store").map("s0").mask).tolist() == [[0, 0], [0, 2]]


def test_steps_are_not_mixed_in_a_store(tmp_path: Path) -> None:
    slides = cohort(3)
    write_trident(tmp_path / "job", slides[:2])
    given = {"folder": tmp_path / "job", "out": tmp_path / "store", "mpp": 0.25}
    assert len(import_features(**given).done) == 2
    file = tmp_path / "job" / TRIDENT / "s1.h5"
    with h5py.File(file, "a") as opened:
        opened["coords"][:] = opened["coords"][:] * 2
        opened["coords"].attrs["overlap"] = -224
        for name in ("level0_width", "level0_height"):
            opened["coords"].attrs[name] = 2 * opened["coords"].attrs[name]
    found = import_features(**{**given, "out": tmp_path / "other"})
    assert len(found.failures) == 1 and "apart, those of the store" in found.failures[0].reason


def test_a_tensor_that_wants_a_gradient_is_read(tmp_path: Path) -> None:
    torch.save(torch.ones(3, 4, requires_grad=True), tmp_path / "a.pt")
    np.testing.assert_array_equal(TorchFiles().read(tmp_path / "a.pt"), np.ones((3, 4)))


def test_an_odd_file_fails_alone(tmp_path: Path) -> None:
    write_arrays(tmp_path / "job", cohort())
    (tmp_path / "job" / "coords" / "s1.npy").unlink()
    np.save(tmp_path / "job" / "coords" / "s1.npy", np.array([["a", "b"]]))
    given = {"folder": tmp_path / "job", "coords": tmp_path / "job" / "coords", "tile_px": 224, "mpp": 0.25}
    result = import_features(out=tmp_path / "store", features="x", **given)
    assert [each.slide_id for each in result.failures] == ["s1"] and result.done == ["s0", "s2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cohorts of TRIDENT and one of STAMP as stores, tables, and a run on the first and third."""
    folder = tmp_path_factory.mktemp("trained")
    rng = np.random.default_rng(0)
    for name, write, more in (
        ("one", write_trident, {"mpp": 0.25}),
        ("two", write_trident, {"mpp": 0.25}),
        ("microns", write_stamp, {}),
    ):
        slides, rows = cohort(12, rows=6, cols=6, size=4), []
        for number, slide in enumerate(slides):
            slide.slide_id = f"{name}{number:02d}"
            slide.features = slide.features + np.float16(2 * (number % 2)) * slide.mask
            rows.append((f"P{name}{number}", slide.slide_id, ["no", "yes"][number % 2], rng.exponential(20)))
        write(folder / f"files_{name}", slides)
        import_features(folder=folder / f"files_{name}", out=folder / name, **more)
        table = pd.DataFrame(rows, columns=["patient_id", "slide_id", "msi", "age"])
        table.to_csv(folder / f"{name}.csv", index=False)
    for name in ("one", "microns"):
        train_slides(
            store=folder / name, labels=folder / f"{name}.csv", target=["msi"], out=folder / f"run_{name}",
            folds=3, aggregator="abmil", max_epochs=3, initialisations=1, device="cpu",
        )  # fmt: skip
    return folder


def test_a_run_on_imported_features_is_reported_and_verified(trained: Path) -> None:
    write_report(run=trained / "run_one", resamples=100)
    page = (trained / "run_one" / "report.html").read_text(encoding="utf-8")
    assert "uni_v1" in page
    assert [each.faults for each in verify(paths=[trained / "one", trained / "run_one"])] == [(), ()]


def test_an_audit_tells_what_was_not_seen(tmp_path: Path) -> None:
    slides = cohort(12, rows=6, cols=6)
    import_features(folder=write_stamp(tmp_path / "in", slides), out=tmp_path / "store")
    rows = [f"P{number},s{number},{'no' if number % 2 else 'yes'}" for number in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["patient_id,slide_id,msi", *rows]) + "\n")
    found = audit(store=tmp_path / "store", labels=tmp_path / "t.csv", target=["msi"])
    assert found.slides == 12 and not found.count("error")
    assert any("compared by their files only" in finding.line() for finding in found.findings)
    spread = {each.confounder: each.spread for each in found.confounders}
    # Not known is no number: neither the scan's size nor its share of tissue is that of the tiles' box.
    assert {spread[name] for name in ("mpp", "glass", "share", "colour")} == {"not known"}
    assert spread["tissue"].endswith("mm²")


def test_explanations_have_a_tile_a_cell_where_pixels_are_known(trained: Path) -> None:
    result = explain(run=trained / "run_one", slide=["one03"], method="attention", checks=False)
    folder = result.folder / "msi" / "one03"
    content = json.loads((folder / "tiles.geojson").read_text(encoding="utf-8"))
    tissue = Store.open(trained / "one").map("one03")
    # The slide's own fingerprint may stay while features are replaced: kept explanations know both.
    assert result.records[0].inputs.slide != tissue.slide.fingerprint
    assert len(content["features"]) == int(tissue.mask.sum())
    corners = {tuple(each["geometry"]["coordinates"][0][0]) for each in content["features"]}
    assert corners == {(col * 448, row * 448) for row, col in np.argwhere(tissue.mask)}
    assert all(each["properties"]["objectType"] == "tile" for each in content["features"])
    result = explain(run=trained / "run_microns", slide=["microns03"], method="attention", checks=False)
    folder = result.folder / "msi" / "microns03"
    assert (folder / "overlay.png").is_file() and not list(folder.glob("*.geojson"))
    assert "no GeoJSON" in result.records[0].picture_note


def test_another_cohort_is_tested_and_predicted_and_other_features_are_refused(trained: Path) -> None:
    external_test(run=trained / "run_one", store=trained / "two", labels=trained / "two.csv")
    assert (trained / "run_one" / "external" / "external" / "predictions" / "msi.csv").is_file()
    by_run = predict(bundle=trained / "run_one", slides=[trained / "two"], out=trained / "a.csv")
    by_bundle = predict(
        bundle=trained / "run_one" / "bundle", slides=[trained / "two"], out=trained / "b.csv"
    )
    assert by_run.rows == by_bundle.rows == 12
    assert (trained / "a.csv").read_bytes() == (trained / "b.csv").read_bytes()
    for call in (
        lambda: predict(bundle=trained / "run_one", slides=[trained / "microns"], out=trained / "c.csv"),
        lambda: external_test(run=trained / "run_one", store=trained / "microns", labels=trained / "two.csv"),
        lambda: predict(bundle=trained / "run_one", slides=[trained / "slide.svs"], out=trained / "c.csv"),
    ):
        (trained / "slide.svs").touch()
        with pytest.raises(BundleError, match="TRIDENT"):
            call()


def test_a_projection_of_another_encoder_is_refused(trained: Path) -> None:
    shown = typed("project", "one", "--encoder", "colour", "--out", "p", cwd=trained)
    assert shown.code == 2 and "projects nothing" in shown.err and not (trained / "p").exists()


def test_a_few_tiles_of_zeros_are_said_and_many_at_the_end_are_refused(tmp_path: Path) -> None:
    few, many = cohort(2, rows=12, cols=14)
    few.features[:, few.cells[4, 0], few.cells[4, 1]] = 0
    for row, col in many.cells[5:]:
        many.features[:, row, col] = 0
    write_trident(tmp_path / "job", [few, many])
    shown = typed("import", "job", "--out", "store", "--mpp", "0.25", cwd=tmp_path)
    assert shown.code == 1 and "Traceback" not in shown.err
    assert "s0: 1 of" in shown.out + shown.err and "the first in row 4" in shown.out + shown.err
    (failure,) = Store.open(tmp_path / "store").failures()
    assert failure.slide_id == "s1" and "From row 5 to the last" in failure.reason
    assert Store.open(tmp_path / "store").slide_ids == ["s0"]
