"""Fine-tuning through the loss of slides: the loss falls, the file is an encoder, misuse is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from histonic import compress, import_encoder, load_encoder
from histonic.core.compressed import ProjectionDescription
from histonic.core.errors import EncoderError, SettingsError
from histonic.core.task import Task
from histonic.data.maps.store import Store
from histonic.encoders.base import EncoderSpec
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.encoders.networks.projected import ProjectedEncoder, Projection, projected_tensors
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.encoder.finetune import finetune_encoder

TASK = Task("dark", "binary", ("dark",), ("no", "yes"))
TARGETS = {f"s{number}": float(number % 2) for number in range(4)}


def projected(base) -> ProjectedEncoder:
    """A projection of random weights to six numbers."""
    size = base.spec.code_size
    spec = replace(
        base.spec, name="short", architecture=f"projected:{base.spec.architecture}", code_size=6,
        projection=ProjectionDescription(size),
    )  # fmt: skip
    own = {name: value.numpy() for name, value in Projection(size, 6).state_dict().items()}
    return ProjectedEncoder.from_tensors(spec, projected_tensors(base.tensors, own), "cpu", "32")


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
    # Measured anew, so that it may be computed in bf16 as the encoder it came from.
    assert after.spec.half_cosine is not None and after.spec.half_cosine > 0.98
    again = finetune_encoder("histonic-mtl", store, TARGETS, TASK, path, epochs=4, learning_rate=1e-4)
    assert again.losses == found.losses and load_encoder(path).fingerprint == after.fingerprint


def test_a_projection_and_what_it_stands_on_are_trained_together(store, tmp_path) -> None:
    path, out = tmp_path / "short.safetensors", tmp_path / "tuned.safetensors"
    torch.manual_seed(0)
    base = NicEncoder(EncoderSpec("base", "nic", 128, 0.5, 40), NicNetwork(40))
    projected(base).save(path)
    compress(slides=[store.parent], encoder=str(path), out=tmp_path / "store", precision="32", engine="eager")
    finetune_encoder(path, tmp_path / "store", TARGETS, TASK, out, epochs=2, learning_rate=1e-3)
    before, after = load_encoder(path), load_encoder(out)
    assert after.tensors.keys() == before.tensors.keys() and after.spec.code_size == 6
    changed = {name for name, each in before.tensors.items() if not np.array_equal(each, after.tensors[name])}
    assert {name.partition(".")[0] for name in changed} == {name.partition(".")[0] for name in after.tensors}


def test_a_script_is_refused_before_it_is_trained(store, tmp_path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 16, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    torch.jit.trace(model, torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "m.pt"))
    path = tmp_path / "e.safetensors"
    import_encoder(tmp_path / "m.pt", path, colours=((0.5,) * 3, (0.2,) * 3), mpp=0.5, tile_px=32)
    with pytest.raises(EncoderError, match="TorchScript"):
        finetune_encoder(path, store, TARGETS, TASK, tmp_path / "tuned.safetensors")
    short = tmp_path / "short.safetensors"
    projected(load_encoder(path)).save(short)
    with pytest.raises(EncoderError, match="TorchScript"):
        finetune_encoder(short, store, TARGETS, TASK, tmp_path / "tuned.safetensors")


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
