"""A frozen encoder and a projection behind it: one file, the same codes, its own fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from histonic.core.compressed import ProjectionDescription
from histonic.core.errors import EncoderError
from histonic.encoders.base import EncoderSpec, fingerprint_of, load_encoder, save_encoder
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.networks.projected import (
    ProjectedEncoder,
    Projection,
    base_spec,
    projected_tensors,
)
from histonic.testing import EncoderContract


def frozen(features: int = 12) -> NicEncoder:
    torch.manual_seed(0)
    return NicEncoder(EncoderSpec("base", "nic", 128, 0.5, features), NicNetwork(features))


def projected(hidden: int = 0, precision: str = "32") -> ProjectedEncoder:
    base = frozen()
    spec = replace(
        base.spec,
        name="short",
        architecture="projected:nic",
        code_size=5,
        projection=ProjectionDescription(12, hidden),
    )
    torch.manual_seed(1)
    projection = Projection(12, 5, hidden)
    projection.fit_scale([np.random.default_rng(0).normal(3, 2, (50, 12))])
    own = {name: value.numpy() for name, value in projection.state_dict().items()}
    tensors = projected_tensors(base.tensors, own)
    return ProjectedEncoder.from_tensors(spec, tensors, "cpu", precision)


class TestLinear(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        return projected()


class TestTwoLayers(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        return projected(hidden=7)


def tiles() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("hidden", [0, 7])
def test_codes_are_the_projection_of_the_frozen_codes(hidden: int) -> None:
    encoder = projected(hidden)
    features = frozen().encode(tiles())
    np.testing.assert_allclose(
        encoder.encode(tiles()), encoder.projection.codes(features), rtol=1e-4, atol=1e-5
    )
    if not hidden:
        layer = encoder.projection.layers[0]
        scaled = (features - encoder.projection.mean.numpy()) / encoder.projection.spread.numpy()
        by_hand = scaled @ layer.weight.numpy().T + layer.bias.numpy()  # type: ignore[operator,union-attr]
        np.testing.assert_allclose(encoder.encode(tiles()), by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_frozen_part_is_known_by_its_fingerprint(tmp_path: Path, precision: str) -> None:
    projected().save(tmp_path / "e.safetensors")
    loaded = load_encoder(tmp_path / "e.safetensors", precision=precision)
    assert isinstance(loaded, ProjectedEncoder)
    own = frozen()
    assert loaded.base.fingerprint == fingerprint_of(own.spec, own.tensors, precision)


def test_the_standardisation_is_that_of_the_features() -> None:
    given = np.random.default_rng(0).normal([5, -3], [2, 0.1], (4000, 2))
    given[:, 1] = -3
    projection = Projection(2, 1)
    projection.fit_scale(given[start : start + 700] for start in range(0, 4000, 700))
    assert projection.mean.tolist() == pytest.approx(given.mean(0).tolist())
    # A number that never varied says nothing, and is not to be blown up where it does.
    assert projection.spread.tolist() == pytest.approx([given[:, 0].std(), 1.0])
    assert projection.codes(np.zeros((0, 2))).shape == (0, 1)


def test_features_are_cut_off_where_the_projection_says(tmp_path: Path) -> None:
    free, bound = Projection(2, 1), Projection(2, 1, most_deviations=5.0)
    bound.load_state_dict(free.state_dict())
    features = np.array([[0.3, -40.0], [1e4, -2.0]])
    np.testing.assert_array_equal(bound.codes(features), free.codes(features.clip(-5, 5)))
    assert (bound.codes(features) != free.codes(features)).all()

    encoder = projected()
    described = encoder.spec.projection
    assert described is not None
    spec = replace(encoder.spec, projection=replace(described, most_deviations=0.1))
    save_encoder(tmp_path / "e.safetensors", spec, encoder.tensors)
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert loaded.fingerprint != encoder.fingerprint
    assert np.abs(loaded.encode(tiles()) - encoder.encode(tiles())).max() > 1e-3


def test_files_from_before_there_was_a_limit_are_known_by_the_same_fingerprint() -> None:
    spec = replace(frozen().spec, architecture="projected:nic", code_size=5)
    with_field = fingerprint_of(replace(spec, projection=ProjectionDescription(12, 7)), {})
    facts = ["projected:nic", 128, 0.5, 5, spec.normalisation, "32", {"features": 12, "hidden": 7}]
    assert with_field == hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def test_files_that_are_none(tmp_path: Path) -> None:
    encoder = projected()
    with pytest.raises(EncoderError, match="of the architecture 'nic'"):
        base_spec(frozen().spec)
    tensors = encoder.tensors
    wrong = {name: value for name, value in tensors.items() if "layers.0.bias" not in name}
    save_encoder(tmp_path / "w.safetensors", encoder.spec, wrong)
    with pytest.raises(EncoderError, match="projection does not fit"):
        load_encoder(tmp_path / "w.safetensors")
    colour = replace(encoder.spec, architecture="projected:colour")
    save_encoder(tmp_path / "c.safetensors", colour, tensors)
    with pytest.raises(EncoderError, match="no network"):
        load_encoder(tmp_path / "c.safetensors")
    with pytest.raises(EncoderError, match="family of architectures"):
        load_encoder("projected")
