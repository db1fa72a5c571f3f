"""Stores made shorter without slides: equal to compressing anew, resumed, refused for others' maps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from histonic.core.compressed import EncoderDescription, ProjectionDescription
from histonic.core.errors import EncoderError, StoreError
from histonic.core.progress import Silent
from histonic.data.maps.facts import read_map_facts
from histonic.data.maps.quality import read_quality
from histonic.data.maps.store import Store, map_folder
from histonic.data.maps.writer import write_map
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.networks.projected import ProjectedEncoder, Projection, projected_tensors
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.project.project import _say_precision, project
from histonic.stages.verify.verify import verify


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slides, an encoder of 40 numbers, its projection to 6, and the store of the first."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        image = np.full((1200, 1500, 3), 245, np.uint8)
        image[200:1000, 300:1300] = rng.integers(90, 200, (800, 1000, 3))
        (folder / "slides").mkdir(exist_ok=True)
        write_pyramid(folder / "slides" / f"{name}.tif", image, mpp=0.5)
    torch.manual_seed(0)
    base = NicEncoder(EncoderSpec("base", "nic", 128, 0.5, 40), NicNetwork(40))
    base.save(folder / "base.safetensors")
    spec = replace(
        base.spec, name="short", architecture="projected:nic", code_size=6,
        projection=ProjectionDescription(40),
    )  # fmt: skip
    own = {name: value.numpy() for name, value in Projection(40, 6).state_dict().items()}
    tensors = projected_tensors(base.tensors, own)
    ProjectedEncoder.from_tensors(spec, tensors, "cpu", "32").save(folder / "short.safetensors")
    for name, orientations in (("store", 1), ("turned", 8)):
        compress(
            slides=[str(folder / "slides")],
            encoder=str(folder / "base.safetensors"),
            out=folder / name,
            orientations=orientations,
        )
    return folder


@pytest.mark.parametrize("store", ["store", "turned"])
def test_a_projected_store_is_that_of_the_slides_compressed_anew(
    given: Path, tmp_path: Path, store: str
) -> None:
    turns = 8 if store == "turned" else 1
    result = project(store=given / store, encoder=given / "short.safetensors", out=tmp_path / "out")
    assert result.done == ["a", "b"] and result.cells > 0
    compress(
        slides=[str(given / "slides")],
        encoder=str(given / "short.safetensors"),
        out=tmp_path / "anew",
        orientations=turns,
    )
    short, anew = Store.open(tmp_path / "out"), Store.open(tmp_path / "anew")
    assert short.encoder == anew.encoder
    for slide_id in anew.slide_ids:
        one, other = short.map(slide_id), anew.map(slide_id)
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_allclose(one.features[:], other.features[:], rtol=4e-3, atol=4e-3)
        if turns > 1:
            np.testing.assert_allclose(one.orientations[:], other.orientations[:], rtol=4e-3, atol=4e-3)
        mine, theirs = (read_map_facts(map_folder(tmp_path / name, slide_id)) for name in ("out", "anew"))
        assert mine.made_from() == theirs.made_from() and mine.tissue == theirs.tissue
        quality = read_quality(map_folder(tmp_path / "out", slide_id))
        assert quality is not None and np.isfinite(quality.pen).any()
        assert (tmp_path / "out" / "thumbnails" / f"{slide_id}.jpg").exists() == (
            tmp_path / "anew" / "thumbnails" / f"{slide_id}.jpg"
        ).exists()
    assert [found.faults for found in verify(paths=[tmp_path / "out"])] == [()]


def test_it_goes_on_where_it_stopped_to_the_same_bytes(given: Path, tmp_path: Path) -> None:
    known = {"store": given / "store", "encoder": given / "short.safetensors", "out": tmp_path / "out"}
    project(**known)
    facts = read_map_facts(map_folder(tmp_path / "out", "a")).content
    broken = map_folder(tmp_path / "out", "b") / "zarr.json"
    broken.write_text(json.dumps({"attributes": {}}), encoding="utf-8")
    with pytest.raises(StoreError):
        project(**known)
    import shutil

    shutil.rmtree(map_folder(tmp_path / "out", "b"))
    again = project(**known)
    assert (again.done, again.skipped) == (["b"], ["a"])
    assert read_map_facts(map_folder(tmp_path / "out", "a")).content == facts


def test_maps_of_another_encoder_are_refused(given: Path, tmp_path: Path) -> None:
    torch.manual_seed(9)
    NicEncoder(EncoderSpec("base", "nic", 128, 0.5, 40), NicNetwork(40)).save(tmp_path / "other.safetensors")
    compress(slides=[str(given / "slides")], encoder=str(tmp_path / "other.safetensors"), out=tmp_path / "s")
    with pytest.raises(EncoderError, match="codes of another one"):
        project(store=tmp_path / "s", encoder=given / "short.safetensors", out=tmp_path / "out")
    with pytest.raises(EncoderError, match="projects nothing"):
        project(store=given / "store", encoder=given / "base.safetensors", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(StoreError, match="another encoder"):
        project(store=given / "store", encoder=given / "short.safetensors", out=tmp_path / "s")


def test_a_store_is_not_projected_into_itself(given: Path) -> None:
    with pytest.raises(StoreError, match="the store itself"):
        project(store=given / "store", encoder=given / "short.safetensors", out=given / "slides/../store")


@pytest.mark.parametrize(("cosine", "says"), [(0.998, True), (0.9999, False), (None, False)])
def test_codes_that_are_less_exact_than_a_compression_would_choose_are_said(
    given: Path, cosine: float | None, says: bool
) -> None:
    store, told = Store.open(given / "store"), Told()
    spec = EncoderSpec("short", "projected:nic", 128, 0.5, 6, half_cosine=cosine)
    _say_precision(spec, store, told)
    assert not told.lines
    half = store.settings.model_copy(update={"precision": "bf16"})
    _say_precision(spec, SimpleNamespace(path=store.path, settings=half), told)  # type: ignore[arg-type]
    assert ["cosine of 0.998" in line for line in told.lines] == [True] * says


class Told(Silent):
    """What was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_stores_are_never_mixed(given: Path, tmp_path: Path) -> None:
    known = {"encoder": given / "short.safetensors", "out": tmp_path / "out"}
    project(store=given / "store", **known)
    with pytest.raises(StoreError, match="other settings"):
        project(store=given / "turned", **known)
    image = np.full((1000, 1000, 3), 245, np.uint8)
    image[200:800, 200:800] = np.random.default_rng(5).integers(90, 200, (600, 600, 3))
    (tmp_path / "others").mkdir()
    write_pyramid(tmp_path / "others" / "a.tif", image, mpp=0.5)
    compress(
        slides=[str(tmp_path / "others")], encoder=str(given / "base.safetensors"), out=tmp_path / "other"
    )
    with pytest.raises(StoreError, match="made of another slide"):
        project(store=tmp_path / "other", **known)
    assert project(store=given / "store", **known).skipped == ["a", "b"]


def test_imported_codes_are_projected_where_it_is_said_whose_they_are(given: Path, tmp_path: Path) -> None:
    own = Store.open(given / "store")
    for name, spec in (
        ("imported", EncoderSpec("base", "elsewhere:TRIDENT", 128, 0.5, 40)),
        ("coarser", EncoderSpec("base", "elsewhere:TRIDENT", 128, 1.0, 40)),
    ):
        made = EncoderDescription(name="base", fingerprint=name, spec=spec)
        for slide_id in own.slide_ids:
            write_map(tmp_path / name / f"{slide_id}.zarr", replace(own.map(slide_id), encoder=made))
    asked = {"encoder": given / "short.safetensors", "out": tmp_path / "out"}
    with pytest.raises(EncoderError, match="--same-encoder"):
        project(store=tmp_path / "imported", **asked)
    with pytest.raises(EncoderError, match="1 µm/px"):
        project(store=tmp_path / "coarser", same_encoder=True, **asked)
    with pytest.raises(EncoderError):
        wrong = EncoderDescription(name="base", fingerprint="x", spec=own.encoder.spec)
        write_map(tmp_path / "wrong" / "a.zarr", replace(own.map("a"), encoder=wrong))
        project(store=tmp_path / "wrong", same_encoder=True, **asked)
    assert project(store=tmp_path / "imported", same_encoder=True, **asked).done == ["a", "b"]
    project(store=given / "store", encoder=given / "short.safetensors", out=tmp_path / "native")
    found, native = Store.open(tmp_path / "out"), Store.open(tmp_path / "native")
    np.testing.assert_array_equal(found.map("a").features[:], native.map("a").features[:])
    # The same numbers, but nobody can vouch for the encoder behind them.
    assert found.encoder.fingerprint != native.encoder.fingerprint and found.encoder.spec.tool == "TRIDENT"
    assert not (tmp_path / "out" / "encoder.safetensors").exists()
    assert verify(paths=[tmp_path / "out"])[0].faults == ()
    assert project(store=tmp_path / "imported", same_encoder=True, **asked).skipped == ["a", "b"]
