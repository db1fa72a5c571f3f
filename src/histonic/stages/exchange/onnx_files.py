"""Encoders and slide networks as ONNX, each compared with onnxruntime before it is kept."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.aggregators.base import SlideModel
from histonic.core.compressed import EncoderSpec
from histonic.core.errors import HistonicError, SettingsError
from histonic.core.files import replacing_file
from histonic.core.processes.memory import free_bytes
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.exchange.packages import needed
from histonic.encoders.base import load_encoder
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.models.bundle import Bundle, bundle_in, read_bundle
from histonic.models.members import Member
from histonic.models.trained import network_name
from histonic.stages.exchange.settings import OnnxKeywords, OnnxSettings

OPSET = 18
MOST_BYTES = 1_900_000_000
"""Of weights; a file of ONNX holds 2 GB."""
TOLERANCE = 1e-5
"""Largest difference, relative to numbers above 1, from what onnxruntime computes."""
TRIED = 14
"""Times the bytes of the maps of one trial: what `streaming` took for crops of 512 to 2048 cells."""
MODEL_SUFFIX = ".safetensors"
APPROXIMATE = "; of crops with 512 cells of tissue or more histonic itself approximates the attention"
_ASKED = "Write ONNX."


@dataclass(frozen=True)
class OnnxFile:
    """One file that was written.

    Attributes:
        path: The file.
        words: What it takes and gives.
        difference: Largest difference from onnxruntime that was measured.
    """

    path: Path
    words: str
    difference: float


class OnnxTiles(nn.Module):
    """An encoder as ONNX takes it: tiles of bytes in, codes out.

    Args:
        network: As it runs, on tiles ``(B, 3, H, H)`` of -1..1.
        step: Pixels of a side that are averaged to one first.
    """

    def __init__(self, network: nn.Module, step: int) -> None:
        super().__init__()
        self.network, self.step = network, step

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles uint8 ``(B, H, H, 3)``."""
        pixels = tiles.permute(0, 3, 1, 2).float()
        if self.step > 1:
            pixels = F.avg_pool2d(pixels, self.step)
        codes: Tensor = self.network(pixels / 255 * 2 - 1)
        return codes.float()


class OnnxSlide(nn.Module):
    """A slide network as ONNX takes it: codes and mask of a crop in, readable predictions out.

    Args:
        model: The network.
    """

    def __init__(self, model: SlideModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, codes: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """Per task ``(B, W)``: probabilities, values or log risks; see ``Head.predict``."""
        return _outputs(self.model, codes, mask)


def _outputs(model: SlideModel, codes: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
    found = model.heads.predict(model(codes, mask))
    return tuple(found[task.name] for task in model.heads.tasks)


def export_onnx(
    settings: OnnxSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[OnnxKeywords],
) -> list[OnnxFile]:
    """Write an encoder, or every network of a bundle or run, as ONNX.

    An encoder takes ``tiles`` uint8 ``(B, H, H, 3)`` and gives ``codes`` ``(B, D)``. A slide network takes
    ``codes`` float32 ``(B, D, R, K)`` of a crop and its ``mask`` ``(B, R, K)``, of any size, and gives an
    output a target. What a bundle does around its networks (crops, turns, the mean over them) is left to the
    user; the file's metadata say what they are. Every file is run by onnxruntime, and kept only if no number
    differs by more than 1e-5.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name: ``model``, ``out``.

    Raises:
        SettingsError: The packages are not installed; the model is no network, or too large; numbers differ.
        EncoderError: The encoder is absent or damaged.
        BundleError: The bundle is.
        OutputError: The file cannot be written.
    """
    resolved = resolve(OnnxSettings, settings, values)
    listener = heard(progress)
    needed("onnxscript", "onnx", _ASKED)
    needed("onnxruntime", "onnx", _ASKED)
    path = resolved.model
    if path.suffix == MODEL_SUFFIX or not path.is_dir():
        listener.stage("export", 1)
        return [_encoder(path, resolved.out)]
    bundle = read_bundle(bundle_in(path))
    if bundle.parts:
        raise SettingsError(
            _ASKED,
            f"The networks of {bundle.folder} join {len(bundle.parts)} parts of a patient, and look at no "
            "part that is absent: their graph differs from patient to patient, a file of ONNX holds one.",
            "Predict with 'histonic predict'.",
        )
    listener.stage("export", len(bundle.models))
    written = []
    for member, model in zip(bundle.members, bundle.models, strict=True):
        written.append(_network(bundle, member, model, resolved.out))
        listener.advance(note=written[-1].path.name)
    return written


def _encoder(path: Path, out: Path) -> OnnxFile:
    encoder = load_encoder(path)
    spec = encoder.spec
    if not isinstance(encoder, NetworkEncoder):
        raise SettingsError(
            f"Write the encoder {spec.name!r} as ONNX.",
            f"It is of the architecture {spec.architecture!r}, which is no network.",
            "Give the file of an encoder with weights.",
        )
    running: Any = encoder.running_network(half=False)
    module = OnnxTiles(running.network, spec.tile_px // running.side_px).eval()
    rng = np.random.default_rng(0)
    samples = [
        {"tiles": rng.integers(0, 256, (count, spec.tile_px, spec.tile_px, 3), dtype=np.uint8)}
        for count in (2, 1, 3)
    ]
    told = {"spec": asdict(spec), "fingerprint": encoder.fingerprint, "kind": "encoder"}
    difference = _write(out, module, samples, ["codes"], {"tiles": {0: "maps"}}, told, running)
    return OnnxFile(out, _encoder_words(spec, difference), difference)


def _encoder_words(spec: EncoderSpec, difference: float) -> str:
    return (
        f"tiles uint8 (B, {spec.tile_px}, {spec.tile_px}, 3) at {spec.mpp:g} µm/px to codes (B, "
        f"{spec.code_size}); differs from onnxruntime by {difference:.1e}"
    )


def _network(bundle: Bundle, member: Member, model: SlideModel, out: Path) -> OnnxFile:
    name = network_name(member.repeat, member.fold, member.initialisation)
    tasks = [task.name for task in bundle.tasks]
    path = out / f"{name}.onnx"
    _require_memory(model, member.crop_cells, path)
    rng = np.random.default_rng(0)
    size = len(model.scale.mean)
    side = member.crop_cells
    samples = []
    # Twice, since a size of one is taken for a constant.
    for rows, cols in ((side, side + 1), (max(2, side // 2), side), (side + 7, side + 3)):
        codes = rng.normal(size=(2, size, rows, cols)).astype(np.float32)
        mask = (rng.random((2, rows, cols)) < 0.6).astype(np.float32)
        samples.append({"codes": codes * mask[:, None], "mask": mask})
    axes = {"codes": {0: "maps", 2: "rows", 3: "cols"}, "mask": {0: "maps", 1: "rows", 2: "cols"}}
    told = {
        "kind": "slide network",
        "network": name,
        "aggregator": member.aggregator,
        "crop_cells": side,
        "test_crops": bundle.test_crops,
        "tasks": [asdict(task) for task in bundle.tasks],
        "encoder": bundle.encoder.to_dict(),
    }
    names = [f"prediction_{number}_{task}" for number, task in enumerate(tasks)]
    module = OnnxSlide(model).eval()
    difference = _write(path, module, samples, names, axes, told, lambda *given: _outputs(model, *given))
    words = (
        f"codes float32 (B, {size}, R, K) and mask (B, R, K) to {', '.join(tasks)}; differs from onnxruntime "
        f"by {difference:.1e}{APPROXIMATE if member.aggregator == 'transmil' else ''}"
    )
    return OnnxFile(path, words, difference)


def _require_memory(model: SlideModel, side: int, path: Path) -> None:
    """Refuse crops that only streaming can hold: a graph of ONNX takes whole maps through each layer."""
    if not getattr(model.aggregator, "streams", False):
        return
    wanted = TRIED * 2 * (len(model.scale.mean) + 1) * side**2 * 4
    free = free_bytes()
    if free is not None and wanted > free:
        raise SettingsError(
            f"Write {path}.",
            f"To try it, two crops of {side:,} x {side:,} cells are held whole, which takes about "
            f"{wanted / 1e9:,.1f} GB of memory; {free / 1e9:,.1f} are free.",
            "Write it on a machine with more memory, or predict with 'histonic predict', which streams them.",
        )


def _write(
    path: Path,
    module: nn.Module,
    samples: Sequence[Mapping[str, npt.NDArray[Any]]],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    told: Mapping[str, Any],
    reference: Callable[..., Any],
) -> float:
    """Write and compare with what histonic computes; the largest difference."""
    asked = f"Write {path}."
    weights = sum(each.numel() * each.element_size() for each in (*module.parameters(), *module.buffers()))
    if weights > MOST_BYTES:
        raise SettingsError(
            asked, f"Its weights have {weights / 1e9:.1f} GB; a file of ONNX holds 2.", "Use torch."
        )
    first = tuple(torch.from_numpy(each) for each in samples[0].values())
    dynamic = {
        name: {
            axis: torch.export.Dim(sign) if sign == "maps" else torch.export.Dim.AUTO
            for axis, sign in signs.items()
        }
        for name, signs in axes.items()
    }
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                module,
                first,
                dynamo=True,
                dynamic_shapes=tuple(dynamic.values()),
                input_names=list(samples[0]),
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
    except HistonicError:
        raise
    except Exception as error:  # what torch's exporter raises is of many kinds and names no user's mistake
        told_error = " ".join(str(error).split())[:300]
        raise SettingsError(
            asked, f"This network cannot be written as ONNX: {told_error}.", "Use it by histonic."
        ) from error
    if program is None:
        raise SettingsError(asked, "torch gave no program.", "Update torch and onnxscript.")
    program.model.metadata_props["histonic"] = json.dumps(told, sort_keys=True, default=list)
    with replacing_file(path) as partial:
        with _quietly():
            program.save(str(partial))
        difference = _difference(partial, reference, samples, asked)
    return difference


def _difference(
    path: Path, reference: Callable[..., Any], samples: Sequence[Mapping[str, npt.NDArray[Any]]], asked: str
) -> float:
    runtime = needed("onnxruntime", "onnx", asked)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for each in samples:
        with torch.no_grad():
            wanted = reference(*(torch.from_numpy(values) for values in each.values()))
        found = session.run(None, dict(each))
        for mine, theirs in zip(wanted if isinstance(wanted, tuple) else (wanted,), found, strict=True):
            scale = np.maximum(1.0, np.abs(mine.numpy()))
            largest = max(largest, float((np.abs(mine.numpy() - theirs) / scale).max()))
    if not largest <= TOLERANCE:
        raise SettingsError(
            asked, f"onnxruntime gives other numbers, up to {largest:.2g} away.", "Use it by histonic."
        )
    return largest


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what the exporter prints and warns of."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
