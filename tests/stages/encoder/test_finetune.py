"""Fine-tuning through the loss of slides: the loss falls, the file is an encoder, misuse is refused."""

from __future__ import annotations

import numpy as np
import pytest

from histonic import compress, load_encoder
from histonic.core.errors import EncoderError, SettingsError
from histonic.core.task import Task
from histonic.data.maps.store import Store
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.encoder.finetune import finetune_encoder

TASK = Task("dark", "binary", ("dark",), ("no", "yes"))
TARGETS = {f"s{number}": float(number % 2) for number in range(4)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    rng = np.random.default_rng(0)
    for slide_id, dark in TARGETS.items():
        image = rng.integers(120, 170, (256, 384, 3), dtype=np.uint8)
        image[:, :, 1] -= 50
        if dark:
            image[:128, :128] //= 2
        write_pyramid(folder / f"{slide_id}.tif", image, mpp=0.5)
    compress(slides=[folder], encoder="histonic-mtl", out=folder / "store", precision="32", engine="eager")
    return folder / "store"


def test_loss_falls_and_the_result_is_an_encoder(store, tmp_path) -> None:
    path = tmp_path / "tuned.safetensors"
    found = finetune_encoder("histonic-mtl", store, TARGETS, TASK, path, epochs=4, learning_rate=1e-4)
    assert found.losses[-1] < found.losses[0]
    before, after = load_encoder("histonic-mtl"), load_encoder(path)
    assert after.spec.name == "histonic-mtl-dark" and after.fingerprint != before.fingerprint
    tiles = np.random.default_rng(1).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    change = np.abs(after.encode(tiles) - before.encode(tiles))
    assert 0 < change.max() < 10
    again = finetune_encoder("histonic-mtl", store, TARGETS, TASK, path, epochs=4, learning_rate=1e-4)
    assert again.losses == found.losses and load_encoder(path).fingerprint == after.fingerprint


def test_what_cannot_be_trained_is_refused(store, tmp_path) -> None:
    out = tmp_path / "tuned.safetensors"
    with pytest.raises(EncoderError, match="no network"):
        finetune_encoder("colour", store, TARGETS, TASK, out)
    with pytest.raises(SettingsError, match="1 slides"):
        finetune_encoder("histonic-mtl", store, {"s0": 0.0}, TASK, out)
    assert not out.exists()


def test_a_store_of_either_precision_is_of_its_encoder_and_of_no_other(store, tmp_path) -> None:
    half = tmp_path / "half"
    compress(slides=[store.parent], encoder="histonic-mtl", out=half, precision="bf16", engine="eager")
    assert Store.open(half).encoder.fingerprint != Store.open(store).encoder.fingerprint
    found = finetune_encoder("histonic-mtl", half, TARGETS, TASK, tmp_path / "tuned.safetensors", epochs=1)
    assert np.isfinite(found.losses).all()
    with pytest.raises(EncoderError, match="not of 'histonic-lite'"):
        finetune_encoder("histonic-lite", store, TARGETS, TASK, tmp_path / "other.safetensors")
