"""The encoder that comes with the package: small, licensed, described, and loadable by its name."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histonic.core.errors import EncoderError
from histonic.encoders.base import Encoder, load_encoder
from histonic.encoders.engines.choice import LEAST_HALF_COSINE, least_cosine
from histonic.encoders.shipped import MULTITASK, ShippedMultitask
from histonic.testing import EncoderContract

WEIGHTS = files("histonic.encoders") / "weights"


class TestShipped(EncoderContract):
    def make(self) -> Encoder:
        return load_encoder(MULTITASK)


def test_it_is_the_architecture_of_the_papers() -> None:
    spec = load_encoder(MULTITASK).spec
    assert (spec.name, spec.architecture, spec.code_size) == (MULTITASK, "nic-appearance", 128)
    assert (spec.tile_px, spec.mpp, spec.licence) == (128, 0.5, "Apache-2.0")


def test_it_is_small_and_has_a_card_with_data_licences_settings_and_results() -> None:
    assert len((WEIGHTS / f"{MULTITASK}.safetensors").read_bytes()) < 4_000_000
    card = (WEIGHTS / f"{MULTITASK}.md").read_text(encoding="utf-8")
    for words in ("CC0", "## Data", "## Validation", "## Settings", "histonic encoder train", "assumed"):
        assert words in card
    assert load_encoder(MULTITASK).fingerprint in card


def test_bfloat16_gives_the_same_codes() -> None:
    tiles = np.random.default_rng(0).integers(0, 255, (32, 128, 128, 3)).astype(np.uint8)
    exact = load_encoder(MULTITASK).encode(tiles)
    short = load_encoder(MULTITASK, precision="bf16").encode(tiles)
    cosine = (exact * short).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(short, axis=1)
    assert cosine.min() > 0.999


def test_real_tiles_keep_in_bfloat16_what_the_file_says(data_dir: Path) -> None:
    files = sorted((data_dir / "patches").glob("*/**/*.jpg"))[::100]
    tiles = np.stack([np.asarray(Image.open(file).convert("RGB").resize((128, 128))) for file in files])
    least = least_cosine(
        load_encoder(MULTITASK).encode(tiles), load_encoder(MULTITASK, precision="bf16").encode(tiles)
    )
    stated = load_encoder(MULTITASK).spec.half_cosine
    assert stated is not None
    assert least >= stated >= LEAST_HALF_COSINE


def test_it_is_no_architecture() -> None:
    encoder = load_encoder(MULTITASK)
    with pytest.raises(EncoderError, match="not an architecture"):
        ShippedMultitask.from_tensors(encoder.spec, {}, "cpu", "32")
