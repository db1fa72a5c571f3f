"""Encoders on real test splits: how much of five tasks a linear model finds in frozen codes of equal size.

    python benchmarks/encoder_table.py HISTONIC_DATA --scratch SCRATCH --seeds 3

Trains every encoder that is ours (VAE, contrastive, BiGAN, each single task, all tasks, all but one) once
a seed into SCRATCH, with the settings of the shipped encoder (histonic-mtl.yaml), and scores them beside
colour, the authors' released encoders and an ImageNet trunk.
Finished parts are reused; ``--shard i/n`` lets several processes share the work. The table goes to standard
output.

Of an encoder whose code is composed (``nic-appearance``, ``lite-appearance``: one half learned, the other
statistics of the tile) each half is scored alone too, in a row of its own below: a half that says nothing
cannot hide behind the other. Numbers of the code that are the same for all tiles are counted beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from histonic.core.files import write_json
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec, architecture_entry, encoder_spec, load_encoder
from histonic.metrics.inference.intervals import bootstrap
from histonic.stages.encoder.imported import import_encoder
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.recipes import build_spec
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from histonic.stages.transfer.tiles.probe import LabelledCodes, probe_codes
from histonic.stages.transfer.tiles.scores import TilePredictions, group_numbers, tile_measures

HERE = Path(__file__).parent
CODE_SIZE = 128
GRID = tuple(10.0**power for power in range(-5, 1))
UNSUPERVISED = {"VAE": "vae", "contrastive": "contrastive", "BiGAN": "bigan"}
LEFT_OUT = "multitask, this task left out"
MEASURES = ("Balanced accuracy", "AUROC")
COMPOSED = ("nic-appearance", "lite-appearance")
HALVES = ("learned half", "statistics")
COMPOSE = {"breast_mitosis": {"scale": "compose", "rest": "non_mitosis"}}
WHOLE = ""
DEAD = 1e-6
"""Deviation over tiles below which a number of the code says nothing."""


@dataclass(frozen=True)
class Row:
    """One encoder of the table with one seed; ``only`` names the set it is scored on, if not all."""

    label: str
    seed: int
    key: str
    objective: str = ""
    sets: tuple[str, ...] = ()
    only: str = ""


def rows(names: list[str], seeds: int, fixed: list[str]) -> list[Row]:
    found = [Row(label, 0, label) for label in fixed]
    for seed in range(seeds):
        found.append(Row("multitask, all five", seed, f"multitask-{seed}", "multitask", tuple(names)))
        for name in names:
            rest = tuple(each for each in names if each != name)
            found.append(Row(LEFT_OUT, seed, f"without-{name}-{seed}", "multitask", rest, name))
        for name in names:
            found.append(Row(f"single task: {name}", seed, f"single-{name}-{seed}", "multitask", (name,)))
        for label, objective in UNSUPERVISED.items():
            found.append(Row(f"our {label}", seed, f"{objective}-{seed}", objective, tuple(names)))
    return found


def settings_of(row: Row, base: dict, arguments: argparse.Namespace) -> TrainEncoderSettings:
    values = {**base, "objective": row.objective, "seed": row.seed}
    values["sets"] = [each for each in base["sets"] if each["name"] in row.sets]
    if row.label == LEFT_OUT:
        values["max_epochs"] = arguments.left_out_epochs
    if row.objective != "multitask":
        values = {
            key: value for key, value in values.items() if key in ("objective", "seed", "sets", "augment")
        }
        values["max_epochs"] = arguments.unsupervised_epochs
    if row.label.startswith("single"):
        values["max_epochs"] = arguments.single_epochs
    if "weights" in values:
        values["weights"] = released("bigan", arguments)
    values["out"] = arguments.scratch / "runs" / row.key
    values["cache"] = arguments.scratch / "cache"
    return make_settings(TrainEncoderSettings, values)


def released(name: str, arguments: argparse.Namespace) -> Path:
    """The authors' encoder of that name, converted once."""
    path = arguments.scratch / f"{name}.safetensors"
    if not path.is_file():
        import_encoder(arguments.data / "encoders" / f"encoder_{name}.h5", path)
    return path


def encoder_path(row: Row, base: dict, arguments: argparse.Namespace) -> str:
    if row.objective:
        return str(train_encoder(settings_of(row, base, arguments)) / "encoder.safetensors")
    if row.key == "ImageNet":
        return str(arguments.imagenet)
    if row.key.startswith("released"):
        return str(released(row.key.removeprefix("released "), arguments))
    return row.key


def parts_of(spec: EncoderSpec) -> dict[str, slice]:
    """The parts of a code that are scored: the whole, and of a composed one each half."""
    found = {WHOLE: slice(None)}
    if architecture_entry(spec) in COMPOSED:
        # Both networks put what is learned first, and give it the larger part of an odd number.
        middle = spec.code_size - spec.code_size // 2
        found |= dict(zip(HALVES, (slice(0, middle), slice(middle, None)), strict=True))
    return found


def score_file(row: Row, name: str, part: str, scratch: Path) -> Path:
    """Where the score of a part of a code on a set is kept."""
    end = f"--{part.replace(' ', '-')}" if part else ""
    return scratch / "scores" / f"{row.key}--{name}{end}.json"


def score(row: Row, sets: list[TileSet], base: dict, arguments: argparse.Namespace) -> None:
    """Predictions of the test tiles of every set, kept for intervals and paired tests."""
    encoder = None
    for each in sets:
        if row.only and row.only != each.plan.name:
            continue
        spec = spec_of(row, base, arguments)
        parts = parts_of(spec)
        files = {part: score_file(row, each.plan.name, part, arguments.scratch) for part in parts}
        if all(path.is_file() for path in files.values()):
            continue
        # Codes in bfloat16 are those of float32 to a cosine of 0.999 and come twice as fast.
        encoder = encoder or load_encoder(encoder_path(row, base, arguments), precision="bf16")
        task, known = each.tasks[0], np.sort(np.concatenate([each.rows("train"), each.rows("val")]))
        given = []
        for chosen in (known, each.rows("test")):
            codes = np.concatenate(
                [
                    encoder.encode(np.asarray(each.tiles[chosen[at : at + 256]]))
                    for at in range(0, len(chosen), 256)
                ]
            )
            given.append(LabelledCodes(codes, each.targets[task.name][chosen], each.group[chosen]))
        for part, numbers in parts.items():
            if files[part].is_file():
                continue
            own = [LabelledCodes(one.codes[:, numbers], one.targets, one.groups) for one in given]
            result = probe_codes(*own, task, seed=0, code_size=CODE_SIZE, grid=GRID, resamples=100)
            scores = {each_score.name: each_score.value for each_score in result.scores}
            facts = {
                "scores": scores,
                "c": result.chosen_c,
                "outputs": result.predictions.outputs.tolist(),
                "code_size": result.code_size,
                "dead": int((own[0].codes.std(axis=0) < DEAD).sum()),
            }
            write_json(files[part], facts)
            told = f"{part or 'code'}, {facts['dead']} of {own[0].codes.shape[1]} numbers dead"
            print(f"{row.key:32s} {each.plan.name:24s} {told}: {scores}", flush=True)


def spec_of(row: Row, base: dict, arguments: argparse.Namespace) -> EncoderSpec:
    """What an encoder of the table gives; of one to be trained here without training it."""
    if row.objective:
        return build_spec(settings_of(row, base, arguments))
    return encoder_spec(encoder_path(row, base, arguments))


def predictions(row: Row, each: TileSet, scratch: Path, part: str = WHOLE) -> TilePredictions:
    facts = json.loads(score_file(row, each.plan.name, part, scratch).read_text())
    test = each.rows("test")
    task = each.tasks[0]
    return TilePredictions(
        task, each.targets[task.name][test], np.array(facts["outputs"]), group_numbers(each.group[test])
    )


def mean_over_seeds(models: list[TilePredictions], number: int, resamples: int) -> tuple[float, np.ndarray]:
    """Mean over seeds of a measure, and its resamples; tiles of a group are drawn together."""
    group = models[0].group

    def statistic(counts: np.ndarray) -> np.ndarray:
        return np.mean([tile_measures(model)[number].statistic(counts[:, group]) for model in models], axis=0)

    groups = int(group.max()) + 1
    value = float(statistic(np.ones((1, groups)))[0])
    return value, bootstrap([statistic], groups, resamples, np.random.default_rng(11))[0]


def table(all_rows: list[Row], sets: list[TileSet], scratch: Path, number: int, resamples: int) -> str:
    lines = [
        "| encoder | " + " | ".join(each.plan.name for each in sets) + " | mean |",
        "| --- |" + " --- |" * (len(sets) + 1),
    ]
    for label, part in table_rows(all_rows, sets, scratch):
        cells, values, draws = [], [], []
        for each in sets:
            mine = [row for row in all_rows if row.label == label and row.only in ("", each.plan.name)]
            value, drawn = mean_over_seeds(
                [predictions(row, each, scratch, part) for row in mine], number, resamples
            )
            low, high = np.nanquantile(drawn, [0.025, 0.975])
            cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
            values.append(value)
            draws.append(drawn)
        low, high = np.nanquantile(np.mean(draws, axis=0), [0.025, 0.975])
        cells.append(f"**{np.mean(values):.3f}** [{low:.3f}, {high:.3f}]")
        lines.append(f"| {f'- {part} alone' if part else label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_rows(all_rows: list[Row], sets: list[TileSet], scratch: Path) -> list[tuple[str, str]]:
    """Label and part of each line of the table: every encoder, and below it the halves of its code."""
    found = []
    for label in dict.fromkeys(row.label for row in all_rows):
        row = next(each for each in all_rows if each.label == label)
        name = row.only or sets[0].plan.name
        found.append((label, WHOLE))
        found += [(label, part) for part in HALVES if score_file(row, name, part, scratch).is_file()]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, help="made by benchmarks/imagenet_trunk.py")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--left-out-epochs", type=int, default=3)
    parser.add_argument("--single-epochs", type=int, default=3)
    parser.add_argument("--unsupervised-epochs", type=int, default=2)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("--fixed", action="store_true", help="only encoders that are not trained here")
    parser.add_argument("--compose", action="store_true", help="mitoses at their true scale, on tissue")
    parser.add_argument("--match", default="", help="only encoders whose key contains this")
    arguments = parser.parse_args()
    arguments.scratch = arguments.scratch.resolve()
    arguments.imagenet = arguments.imagenet and arguments.imagenet.resolve()
    os.chdir(arguments.data)
    arguments.data = Path()
    base = yaml.safe_load((HERE / "histonic-mtl.yaml").read_text())
    if arguments.compose:
        base["sets"] = [{**each, **COMPOSE.get(each["name"], {})} for each in base["sets"]]
    values = {**base, "out": arguments.scratch / "none", "cache": arguments.scratch / "cache"}
    sets = read_inputs(make_settings(TrainEncoderSettings, values), Silent())
    fixed = [
        "colour",
        "appearance",
        "released bigan",
        "released multitask-4",
        "histonic-mtl",
        "histonic-lite",
    ]
    if arguments.imagenet:
        fixed.insert(4, "ImageNet")
    seeds = 0 if arguments.fixed else arguments.seeds
    everything = rows([each.plan.name for each in sets], seeds, fixed)
    part, parts = (int(number) for number in arguments.shard.split("/"))
    for row in everything:
        if zlib.crc32(row.key.encode()) % parts == part - 1 and arguments.match in row.key:
            score(row, sets, base, arguments)
    if parts == 1 and not arguments.match:
        for number, name in enumerate(MEASURES):
            print(f"\n## {name}\n\n{table(everything, sets, arguments.scratch, number, arguments.resamples)}")


if __name__ == "__main__":
    main()
