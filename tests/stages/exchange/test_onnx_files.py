"""Networks as ONNX: what onnxruntime computes is what histonic computes, at several sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from histonic.aggregators.base import build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.compressed import EncoderDescription, EncoderSpec, MapSettings
from histonic.core.errors import BundleError, SettingsError
from histonic.core.task import Task
from histonic.encoders.networks.nic import NicEncoder, NicNetwork
from histonic.models.bundle import BundleFacts, bundle_in, read_bundle, write_bundle
from histonic.models.members import Member, RiskScale
from histonic.models.trained import Trained
from histonic.nn.heads import Heads
from histonic.stages.exchange.onnx_files import export_onnx

TASKS = (
    Task("msi", "binary", ("msi",), ("no", "yes")),
    Task("grade", "ordinal", ("grade",), ("low", "mid", "high")),
    Task("age", "regression", ("age",)),
    Task("os", "survival", ("time", "event")),
)
SIZE = 6
SIDES = {"streaming": 40}
"""Of crops, in cells, where not 20: the layers of 'streaming' halve from 32 on."""


def a_bundle(folder: Path, aggregator: str) -> Path:
    torch.manual_seed(0)
    heads = Heads([Task("mitosis", "binary", ("label",), ("no", "yes"))], SIZE)
    for weight in heads.parameters():
        torch.nn.init.normal_(weight)
    own, side = heads if aggregator == "votes" else None, SIDES.get(aggregator, 20)
    model = build_model(aggregator, code_size=SIZE, crop_cells=side, tasks=TASKS, tile_heads=own)
    if aggregator == "streaming":  # whose biases and last layer begin at 0
        for weight in model.aggregator.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    for weight in model.heads.parameters():
        torch.nn.init.normal_(weight)
    member = Member(
        0, 0, 0, aggregator, side, {"msi": [0.5, 0.5], "grade": [0.3, 0.3, 0.4]},
        {"os": RiskScale(0.0, 1.0, 0.0)},
    )  # fmt: skip
    spec = EncoderSpec("uni", "elsewhere:TRIDENT", 224, 0.5, SIZE)
    facts = BundleFacts(
        tasks=TASKS, fusion="late", test_crops=3, compress_settings=MapSettings(),
        encoder=EncoderDescription(name="uni", fingerprint="f", spec=spec),
    )  # fmt: skip
    write_bundle(folder, facts, [Trained(member, SIZE, model.state_dict(), (), {}, {})], None, own)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("aggregator", sorted(AGGREGATORS))
def test_onnxruntime_gives_the_numbers_of_a_slide_network(aggregator: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    bundle = a_bundle(tmp_path / "bundle", aggregator)
    (written,) = export_onnx(model=bundle, out=tmp_path / "onnx")
    assert written.path.name == "repeat-0-fold-0-init-0.onnx" and written.difference <= 1e-5
    session = onnxruntime.InferenceSession(str(written.path), providers=["CPUExecutionProvider"])
    model = read_bundle(bundle).models[0]
    rng = np.random.default_rng(5)
    side = SIDES.get(aggregator, 20)
    for maps, rows, cols in ((1, 13, 9), (3, side, side), (2, side + 2, side + 1)):
        mask = (rng.random((maps, rows, cols)) < 0.6).astype(np.float32)
        codes = (rng.normal(size=(maps, SIZE, rows, cols)) * mask[:, None]).astype(np.float32)
        found = session.run(None, {"codes": codes, "mask": mask})
        with torch.no_grad():
            wanted = model.heads.predict(model(torch.from_numpy(codes), torch.from_numpy(mask)))
        for task, values in zip(TASKS, found, strict=True):
            np.testing.assert_allclose(values, wanted[task.name].numpy(), rtol=1e-5, atol=1e-5)
    told = json.loads(session.get_modelmeta().custom_metadata_map["histonic"])
    assert [task["name"] for task in told["tasks"]] == [task.name for task in TASKS]
    assert told["encoder"]["fingerprint"] == "f" and told["crop_cells"] == side


def test_crops_that_only_streaming_can_hold_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(SIDES, "streaming", 8192)
    bundle = a_bundle(tmp_path / "bundle", "streaming")
    monkeypatch.setattr("histonic.stages.exchange.onnx_files.free_bytes", lambda: 16_000_000_000)
    with pytest.raises(SettingsError) as caught:
        export_onnx(model=bundle, out=tmp_path / "onnx")
    # 14 times two maps of 6 codes and a mask, of four bytes.
    assert "8,192 x 8,192 cells" in caught.value.found and "about 52.6 GB" in caught.value.found
    assert "histonic predict" in caught.value.todo and not (tmp_path / "onnx").exists()


@pytest.mark.long
def test_onnxruntime_gives_the_codes_of_an_encoder(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    encoder = NicEncoder(EncoderSpec("base", "nic", 128, 0.5, 40), NicNetwork(40))
    encoder.save(tmp_path / "e.safetensors")
    (written,) = export_onnx(model=tmp_path / "e.safetensors", out=tmp_path / "e.onnx")
    session = onnxruntime.InferenceSession(str(written.path), providers=["CPUExecutionProvider"])
    tiles = np.random.default_rng(3).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)
    (found,) = session.run(None, {"tiles": tiles})
    np.testing.assert_allclose(found, encoder.encode(tiles), rtol=1e-5, atol=1e-5)


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    with pytest.raises(SettingsError, match="no network"):
        export_onnx(model="colour", out=tmp_path / "e.onnx")


def test_a_run_holds_its_bundle_once_it_has_finished(tmp_path: Path) -> None:
    for name in ("cohort.json", "settings.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(BundleError, match="has not finished"):
        bundle_in(tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").touch()
    with pytest.raises(BundleError, match="has not finished"):
        bundle_in(tmp_path)
    (tmp_path / "run.json").touch()
    assert bundle_in(tmp_path) == tmp_path / "bundle"
    assert bundle_in(tmp_path / "bundle") == tmp_path / "bundle"
