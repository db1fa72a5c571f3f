"""Training settings chosen by mean rank over the other tasks, without a look at the one under test.

    python benchmarks/mean_rank.py HISTONIC_DATA --scratch SCRATCH --out TABLE.md

Mormont, Geurts and Marée (IEEE JBHI 2021): every combination of settings is trained with each tile set left
out (with those related to it) and ranked on the validation tiles of that set; for a set under test the lowest
mean rank over the *other* sets wins. ``histonic encoder transfer`` does it; here on the nine sets, with two
learning rates and two rates of the heads. The table has the mean ranks for each set under test, the settings
that it gets, and what they score on its test tiles.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from frozen_codes import SETS
from histonic import transfer
from histonic.core.files import write_text

GRID: dict[str, list[Any]] = {"learning_rate": [2e-3, 2e-4], "multitask.head_rate": [1.0, 10.0]}


def run(options: argparse.Namespace) -> Path:
    """The protocol; what is finished is found again."""
    return transfer(
        out=options.scratch / f"mean-rank-{options.steps}",
        sets=[{**each, "path": f"patches/{each['name']}"} for each in SETS],
        base={
            "trunk": "nic",
            "steps": min(100, options.steps),
            "max_epochs": -(-options.steps // 100),
            "device": "cpu",
        },
        grid=GRID,
        modes=["frozen"],
        seeds=options.seeds,
        encoders=("mean-rgb",),
        cache=options.cache or options.scratch / "cache",
    )


def table(out: Path, options: argparse.Namespace) -> str:
    """What was chosen for each set, and how it scored."""
    facts = json.loads((out / "transfer.json").read_text(encoding="utf-8"))
    chosen, labels = facts["chosen"]["multitask"], None
    scores = {(row["set"], row["encoder"]): row for row in facts["rows"]}
    lines = []
    for each in SETS:
        name = each["name"]
        ranks = chosen[name]["mean_ranks"]
        labels = labels or list(ranks)
        told = " | ".join(f"**{ranks[x]:.2f}**" if x == chosen[name]["settings"] else f"{ranks[x]:.2f}"
                          for x in labels)  # fmt: skip
        ours, floor = scores[name, "multitask"], scores[name, "mean-rgb"]
        lines.append(f"| {name} | {told} | {ours['score']:.3f} | {floor['score']:.3f} |")
    names = labels or []
    head = f"| under test | {' | '.join(names)} | test, chosen | test, mean RGB |"
    words = (
        f"Mean ranks (1 is best) of {len(names)} settings over the tasks unrelated to the one under test, "
        f"the lowest in bold; {options.steps} steps of 64 tiles for each training, {options.seeds} seed(s). "
        "Balanced accuracy of the test tiles by the settings chosen."
    )
    return "\n".join([words, "", head, "| --- |" + " --- |" * (len(names) + 2), *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="decoded tiles of another benchmark")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    options.scratch = options.scratch.resolve()
    options.cache = options.cache and options.cache.resolve()
    options.out = options.out and options.out.resolve()
    os.chdir(options.data)
    found = table(run(options), options)
    print(found)
    if options.out:
        write_text(options.out, f"{found}\n")


if __name__ == "__main__":
    main()
