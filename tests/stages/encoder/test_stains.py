"""Tile sets in a reference's colours: group by group, kept, and carried by what is trained on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from histonic.core.errors import EncoderError, TileSetError
from histonic.core.progress import Silent
from histonic.core.settings import HE_FACTS, HE_REFERENCE, StainNormalisation, StainSettings
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, read_tile_set
from histonic.encoders.base import encoder_spec
from histonic.nn.normalisation.estimate import estimate_stains
from histonic.stages.compress.stains import settled_stain
from histonic.stages.encoder.stains import with_normalised_stains
from histonic.stages.encoder.train import train_encoder

TO_HE = StainNormalisation(method="macenko", reference=HE_REFERENCE, target=HE_FACTS)
STAINS = {"weak": 0.6, "strong": 1.3}


def write_set(folder: Path, brown: bool = False) -> Path:
    """Two slides that are stained weakly and strongly, a folder a class, a group in each name."""
    rng = np.random.default_rng(0)
    second = (0.27, 0.57, 0.78) if brown else HE_FACTS.stains[1]
    for slide, strength in STAINS.items():
        for number in range(12):
            amounts = rng.exponential((0.7 * strength, 0.5 * strength), (32, 32, 2))
            light = 240 * np.exp(-amounts @ np.array([HE_FACTS.stains[0], second]))
            tile = np.clip(light + rng.normal(0, 1.5, light.shape), 0, 255).round().astype(np.uint8)
            path = folder / "ab"[number % 2] / f"{slide}_{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(tile).save(path)
    return folder


def plan(folder: Path) -> TileSetSettings:
    return TileSetSettings(name="set", path=folder, mpp=1.0, group_pattern=r"/(\w+)_\d+")


def read(folder: Path, cache: Path) -> TileSet:
    return read_tile_set(plan(folder), tile_px=32, mpp=1.0, cache=cache)


def amounts_of(found: TileSet) -> dict[str, float]:
    return {
        name: estimate_stains(
            torch.from_numpy(np.array(found.tiles[found.group == name]).reshape(-1, 3))
        ).amounts[0]
        for name in STAINS
    }


def test_groups_are_brought_to_the_reference_each_by_its_own_stains(tmp_path: Path) -> None:
    plain = read(write_set(tmp_path / "set"), tmp_path / "cache")
    made = with_normalised_stains(plain, TO_HE, tmp_path / "cache", Silent())
    before, after = amounts_of(plain), amounts_of(made)
    assert before["strong"] > 1.7 * before["weak"]
    assert after == pytest.approx(dict.fromkeys(STAINS, HE_FACTS.amounts[0]), rel=0.08)
    assert made.fingerprint != plain.fingerprint
    assert "2 groups each by its own" in made.notes[-1]
    again = with_normalised_stains(plain, TO_HE, tmp_path / "cache", Silent())
    assert again.fingerprint == made.fingerprint
    assert np.array_equal(again.tiles, made.tiles)


def test_wide_tiles_are_normalised_alike(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    wide = read_tile_set(plan(folder), tile_px=16, mpp=1.0, cache=tmp_path / "cache", room=2.0)
    made = with_normalised_stains(wide, TO_HE, tmp_path / "cache", Silent())
    assert made.wide is not None
    for row in (0, 5, len(made.tiles) - 1):
        middle = made.wide.tiles[made.wide.rows[row], 8:24, 8:24].astype(int)
        assert np.abs(middle - made.tiles[row]).max() <= 1


def test_a_set_of_other_stains_is_refused_by_name_or_left(tmp_path: Path) -> None:
    brown = read(write_set(tmp_path / "set", brown=True), tmp_path / "cache")
    with pytest.raises(TileSetError, match="tile set 'set'"):
        with_normalised_stains(brown, TO_HE, tmp_path / "cache", Silent())
    leaving = TO_HE.model_copy(update={"otherwise": "leave"})
    left = with_normalised_stains(brown, leaving, tmp_path / "cache", Silent())
    assert np.array_equal(left.tiles, brown.tiles)
    assert "24 of 24 tiles are left as they are" in left.notes[-1]


def test_an_encoder_carries_what_its_tiles_were_brought_to(tmp_path: Path) -> None:
    run = train_encoder(
        sets=[
            {"name": "set", "path": write_set(tmp_path / "set"), "mpp": 1.0, "group_pattern": r"/(\w+)_\d+"}
        ],
        out=tmp_path / "run",
        stain="macenko",
        tile_px=32,
        mpp=1.0,
        code_size=4,
        trunk="nic-small",
        batch=8,
        steps=1,
        max_epochs=1,
        device="cpu",
    )
    spec = encoder_spec(run / "encoder.safetensors")
    assert spec.stain is not None
    assert spec.stain.same_colours(TO_HE)
    with pytest.raises(EncoderError, match="trained on tiles"):
        settled_stain(StainSettings(method="none"), spec)
    later = train_encoder(
        sets=[{"name": "set", "path": tmp_path / "set", "mpp": 1.0, "group_pattern": r"/(\w+)_\d+"}],
        out=tmp_path / "later",
        weights=run / "encoder.safetensors",
        tile_px=32,
        mpp=1.0,
        code_size=4,
        trunk="nic-small",
        batch=8,
        steps=1,
        max_epochs=1,
        device="cpu",
    )
    went_on = encoder_spec(later / "encoder.safetensors").stain
    assert went_on is not None and went_on.same_colours(TO_HE)
