"""What multitask learning on frozen codes is worth on tile sets that it never saw, against components.

    python benchmarks/frozen_codes.py HISTONIC_DATA --encoder ENCODER --scratch SCRATCH [--seeds 2]

Each tile set in turn, with those related to it, is left out. From the other sets' training tiles a projection
to 128 numbers is learned behind the frozen encoder (``encoder train --freeze-trunk``), and 128 principal
components are fitted, both without the set: by scikit-learn (*PCA*), and as ``encoder train --objective
components`` has them, mixed and cut off at five deviations (*components*). Then a logistic regression on the
codes of the left-out set's training tiles is scored on its test tiles (balanced accuracy), as in
``encoder_table.py``. The difference to the components is paired: its interval is of 1,000 resamples of the
test tiles' groups, means over sets and seeds.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import encoder_spec, load_encoder
from histonic.encoders.networks.projected import ProjectedEncoder, Projection, build_projection
from histonic.metrics.inference.intervals import bootstrap
from histonic.stages.encoder.components import measure_projection
from histonic.stages.encoder.frozen import adopt_frozen, feature_sets
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.transfer.tiles.probe import LabelledCodes, probe_codes
from histonic.stages.transfer.tiles.scores import TilePredictions, tile_measures

SETS: list[dict[str, Any]] = [
    {"name": "lymph_node_metastasis", "mpp": 0.97},
    {"name": "colorectal_diagnosis", "scale": "fill", "related": "colon", "duplicates": "drop"},
    {"name": "breast_mitosis", "mpp": 0.25, "scale": "compose", "rest": "non_mitosis"},
    {"name": "prostate_gleason", "assumed_mpp": 0.5},
    {"name": "oral_carcinoma", "scale": "fill", "duplicates": "drop"},
    {"name": "colon_glands", "mpp": 0.62, "related": "colon"},
    {"name": "lung_carcinoma", "scale": "fill", "related": "lc25000"},
    {"name": "colon_carcinoma", "scale": "fill", "related": "lc25000"},
    # Its cases are four, and one of them is the test: tiles count one by one.
    {"name": "osteosarcoma", "assumed_mpp": 1.0, "group": ""},
]
CODE_SIZE, RESAMPLES = 128, 1000
WAYS = ("raw", "pca", "components", "multitask")
GRID = tuple(10.0**power for power in range(-5, 1))
Codes = npt.NDArray[np.float32]


def settings_of(
    names: list[str], options: argparse.Namespace, out: Path, seed: int = 0
) -> TrainEncoderSettings:
    """A training on some of the sets."""
    spec = encoder_spec(options.encoder)
    chosen = [{**each, "path": f"patches/{each['name']}"} for each in SETS if each["name"] in names]
    values = {
        "sets": chosen,
        "weights": options.encoder,
        "freeze_trunk": True,
        "code_size": CODE_SIZE,
        "hidden": options.hidden,
        "tile_px": spec.tile_px,
        "mpp": spec.mpp,
        "augment": "hed-light",
        "steps": 100,
        "max_epochs": options.epochs,
        "multitask": {"contrast": options.contrast},
        "out": out,
        "cache": options.scratch / "cache",
        "seed": seed,
        "device": "cpu",
    }
    return make_settings(TrainEncoderSettings, values)


def left_out_with(name: str) -> list[str]:
    """A set and those related to it."""
    word = next(each.get("related", "") for each in SETS if each["name"] == name)
    return [each["name"] for each in SETS if each["name"] == name or (word and each.get("related") == word)]


def probed(codes: Codes, tiles: TileSet) -> TilePredictions:
    """What a logistic regression on the training tiles' codes says of the test tiles."""
    task, known = tiles.tasks[0], np.sort(np.concatenate([tiles.rows("train"), tiles.rows("val")]))
    parts = [
        LabelledCodes(codes[rows], tiles.targets[task.name][rows], tiles.group[rows])
        for rows in (known, tiles.rows("test"))
    ]
    return probe_codes(*parts, task, seed=0, grid=GRID, resamples=0).predictions


def balanced(predictions: TilePredictions, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Balanced accuracy on all groups of the test tiles, and on resamples of them."""
    measure, group = tile_measures(predictions)[0], predictions.group
    groups = int(group.max()) + 1

    def statistic(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        return np.asarray(measure.statistic(counts[:, group]))

    return np.concatenate(
        [statistic(np.ones((1, groups))), bootstrap([statistic], groups, RESAMPLES, rng)[0]]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--encoder", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--hidden", type=int, default=0)
    parser.add_argument("--contrast", type=float, default=0.0)
    options = parser.parse_args()
    options.scratch, options.encoder = options.scratch.resolve(), options.encoder.resolve()
    os.chdir(options.data)
    names = [each["name"] for each in SETS]
    every = settings_of(names, options, options.scratch / "none")
    tiles = {each.plan.name: each for each in read_inputs(every, Silent())}
    encoded = {each.plan.name: each for each in feature_sets(every, list(tiles.values()), Silent())}
    features = {name: np.asarray(each.tiles[:, 0], np.float32) for name, each in encoded.items()}
    size = encoder_spec(options.encoder).code_size
    print(f"| left out | raw ({size}) | PCA | components | multitask | multitask - components |")
    print("| --- | --- | --- | --- | --- | --- |")
    draws: dict[str, list[npt.NDArray[np.float64]]] = {way: [] for way in WAYS}
    for name in names:
        rest = [each for each in names if each not in left_out_with(name)]
        known = np.concatenate([features[each][tiles[each].rows("train")] for each in rest])
        mean, spread = known.mean(0), known.std(0) + 1e-6
        pca = PCA(CODE_SIZE, random_state=0).fit((known - mean) / spread)
        mine = {
            "raw": [features[name]],
            "pca": [pca.transform((features[name] - mean) / spread).astype(np.float32)],
            "components": [components(every, [encoded[each] for each in rest]).codes(features[name])],
            "multitask": [],
        }
        for seed in range(options.seeds):
            out = options.scratch / f"without-{name}-{options.hidden}-{options.contrast}-{seed}"
            run = train_encoder(settings_of(rest, options, out, seed))
            encoder = load_encoder(run / "encoder.safetensors")
            if not isinstance(encoder, ProjectedEncoder):
                raise SystemExit(f"{run} holds no projected encoder")
            mine["multitask"].append(encoder.projection.codes(features[name]))
        found = {
            way: np.mean(
                [balanced(probed(codes, tiles[name]), np.random.default_rng(11)) for codes in each], axis=0
            )
            for way, each in mine.items()
        }
        for way, each in found.items():
            draws[way].append(each)
        print(line(name, found), flush=True)
    print(line("**mean**", {way: np.mean(each, axis=0) for way, each in draws.items()}))


def components(settings: TrainEncoderSettings, sets: list[TileSet]) -> Projection:
    """The projection that the command makes of the codes of some sets."""
    _, spec = adopt_frozen(settings)
    found = build_projection(spec)
    found.load_state_dict(measure_projection(spec, sets)["trunk"])
    return found.eval()


def line(name: str, found: dict[str, npt.NDArray[np.float64]]) -> str:
    """A row of the table."""
    difference = found["multitask"] - found["components"]
    low, high = np.nanquantile(difference[1:], [0.025, 0.975])
    cells = [f"{found[way][0]:.3f}" for way in WAYS]
    return f"| {name} | " + " | ".join(cells) + f" | {difference[0]:+.3f} [{low:+.3f}, {high:+.3f}] |"


if __name__ == "__main__":
    main()
