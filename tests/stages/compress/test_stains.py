"""Stains normalised slide by slide: what it does to maps, what is refused, and that nothing is mixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import EncoderError, SettingsError, StoreError
from histonic.core.settings import HE_FACTS, HE_REFERENCE, StainNormalisation, StainSettings
from histonic.data.maps.store import Store, read_map
from histonic.encoders.base import encoder_spec, save_encoder
from histonic.simulate.render import render_tissue
from histonic.simulate.slides import Latents
from histonic.simulate.stains import SITE_STAINS, Stain
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import CompressResult, compress
from histonic.stages.compress.stains import settled_stain

SIDE = 640
BROWN = Stain((0.86, 1.18, 0.54), (0.40, 0.86, 1.18), (243.0, 242.0, 244.0))
PALE = Stain((0.86, 1.18, 0.54), (0.13, 0.80, 0.34), (243.0, 242.0, 244.0), (0.06, 0.06))


def tissue(stain: Stain, seed: int) -> np.ndarray:
    return render_tissue(Latents(0.5, 0.5, 0.5), stain, SIDE, np.random.default_rng(seed), glass=True)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for site, stain in SITE_STAINS.items():
        # The same tissue, stained in three sites.
        write_pyramid(folder / f"{site}.tif", tissue(stain, 0), mpp=0.5)
    return folder


def run(slides: Path, out: Path, **values: object) -> CompressResult:
    return compress(slides=[slides], encoder="colour", out=out, device="cpu", **values)  # type: ignore[arg-type]


def codes(store: Path) -> dict[str, np.ndarray]:
    found = {}
    for slide_id in (opened := Store.open(store)).slide_ids:
        made = opened.map(slide_id)
        found[slide_id] = np.asarray(made.features)[:, made.mask].astype(float).mean(axis=1)
    return found


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_sites_come_nearer_to_each_other(slides: Path, tmp_path: Path, method: str) -> None:
    plain, normalised = tmp_path / "plain", tmp_path / method
    run(slides, plain)
    assert not run(slides, normalised, stain=method).failures
    # Means of red, green and blue.
    apart = [np.std([each[:3] for each in codes(store).values()], axis=0) for store in (plain, normalised)]
    assert np.linalg.norm(apart[1]) < np.linalg.norm(apart[0]) / 2, apart
    made = read_map(_map(normalised))
    assert made.settings.stain is not None
    assert made.settings.stain.method == method
    assert made.slide.stain is not None
    assert made.slide.stain.facts is not None
    assert read_map(_map(plain)).settings.stain is None


def _map(store: Path) -> Path:
    return next(path for path in sorted(store.iterdir()) if path.name.startswith("east"))


def test_stains_are_off_unless_asked_for(slides: Path, tmp_path: Path) -> None:
    run(slides, tmp_path / "a")
    run(slides, tmp_path / "b", stain="none")
    facts = [next(path.rglob("zarr.json")).read_text() for path in (tmp_path / "a", tmp_path / "b")]
    assert "stain" not in facts[0]
    assert codes(tmp_path / "a")["north"].tolist() == codes(tmp_path / "b")["north"].tolist()


def test_maps_with_and_without_are_never_mixed(slides: Path, tmp_path: Path) -> None:
    run(slides, tmp_path, stain="macenko", limit=1)
    for other in ("auto", "reinhard", {"method": "macenko", "otherwise": "leave"}):
        with pytest.raises(StoreError, match="stain"):
            run(slides, tmp_path, stain=other)
    run(slides, tmp_path, stain="macenko")


def test_slides_of_other_stains_are_named_and_refused_or_left(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    write_pyramid(folder / "brown.tif", tissue(BROWN, 1), mpp=0.5)
    write_pyramid(folder / "fine.tif", tissue(SITE_STAINS["north"], 2), mpp=0.5)
    write_pyramid(folder / "pale.tif", tissue(PALE, 3), mpp=0.5)
    everything = {"source": "all"}  # the finder takes pale tissue for glass
    result = run(folder, tmp_path / "refused", stain="macenko", tissue=everything)
    assert result.done == ["fine"]
    assert {each.slide_id: each.stage for each in result.failures} == {"brown": "stain", "pale": "stain"}
    assert "brown" in next(each.reason for each in result.failures if each.slide_id == "brown")
    left = run(
        folder, tmp_path / "left", stain={"method": "macenko", "otherwise": "leave"}, tissue=everything
    )
    assert left.done == ["brown", "fine", "pale"]
    store = Store.open(tmp_path / "left")
    stain = store.map("pale").slide.stain
    assert stain is not None
    assert stain.facts is None
    assert "pale" in stain.left
    run(folder, tmp_path / "plain", tissue=everything)
    assert codes(tmp_path / "left")["brown"].tolist() == codes(tmp_path / "plain")["brown"].tolist()
    assert codes(tmp_path / "left")["fine"].tolist() != codes(tmp_path / "plain")["fine"].tolist()


def test_pen_is_not_taken_for_a_stain(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    image = tissue(SITE_STAINS["north"], 2)
    write_pyramid(folder / "clean.tif", image, mpp=0.5)
    marked = image.copy()
    marked[: SIDE // 6] = (40, 60, 170)  # a broad stroke of a blue pen
    write_pyramid(folder / "pen.tif", marked, mpp=0.5)
    run(folder, tmp_path / "store", stain="macenko")
    store = Store.open(tmp_path / "store")
    facts = [store.map(name).slide.stain.facts for name in ("clean", "pen")]
    assert np.abs(np.subtract(facts[0].stains, facts[1].stains)).max() < 0.03


def test_a_dry_run_tells_what_would_fail(tmp_path: Path) -> None:
    folder = tmp_path / "slides"
    folder.mkdir()
    write_pyramid(folder / "brown.tif", tissue(BROWN, 1), mpp=0.5)
    plan = run(folder, tmp_path / "store", stain="macenko", dry_run=True).plan
    assert plan is not None
    assert [each.state for each in plan.slides] == ["fails"]


def test_a_picture_can_be_the_reference(slides: Path, tmp_path: Path) -> None:
    picture = tmp_path / "ours.png"
    Image.fromarray(tissue(SITE_STAINS["south"], 5)).save(picture)
    run(slides, tmp_path / "store", stain={"method": "macenko", "reference": str(picture)})
    made = Store.open(tmp_path / "store")
    assert made.settings.stain.reference == "ours.png"
    south = Store.open(tmp_path / "store").map("south").slide.stain.facts
    assert np.abs(np.subtract(south.stains, made.settings.stain.target.stains)).max() < 0.06


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "macenko", "reference": "absent.png"}, "no such file"),
        ({"reference": "absent.png"}, "The method is 'auto'"),
    ],
)
def test_references_that_cannot_be_used(settings: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settled_stain(StainSettings(**settings), encoder_spec("colour"))


def test_a_white_picture_is_no_reference(tmp_path: Path) -> None:
    Image.new("RGB", (300, 300), (250, 250, 250)).save(tmp_path / "white.png")
    with pytest.raises(SettingsError, match="too pale"):
        settled_stain(
            StainSettings(method="reinhard", reference=str(tmp_path / "white.png")), encoder_spec("colour")
        )


def test_an_encoder_of_normalised_tiles_asks_for_the_same_of_slides(slides: Path, tmp_path: Path) -> None:
    own = StainNormalisation(method="macenko", reference=HE_REFERENCE, target=HE_FACTS)
    path = tmp_path / "own.safetensors"
    save_encoder(path, replace(encoder_spec("colour"), name="own", stain=own), {})
    assert encoder_spec(path).stain == own
    compress(slides=[slides], encoder=str(path), out=tmp_path / "store", device="cpu")
    assert Store.open(tmp_path / "store").settings.stain == own
    run(slides, tmp_path / "same", stain="macenko")
    assert codes(tmp_path / "store")["east"].tolist() == codes(tmp_path / "same")["east"].tolist()
    for other in ("none", "reinhard"):
        with pytest.raises(EncoderError, match="trained on tiles"):
            compress(slides=[slides], encoder=str(path), out=tmp_path / "x", device="cpu", stain=other)
