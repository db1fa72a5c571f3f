"""With labels shuffled, does every metric's interval cover chance?

    python benchmarks/shuffled_labels.py DEMO_FOLDER [--shuffles 3]

Shuffles the targets among the patients of the demo's label table (a patient's targets stay together), trains
on the demo's store, and prints every metric beside its chance level. An interval wholly on the bad side of
chance is told apart from one on the good side: only the latter would be a false finding.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from histonic import evaluate_run, train_slides
from histonic.metrics.inference.scores import Score

TARGETS = ("grade:multiclass", "proliferation_score:regression", "os:survival:os_months,os_event")
COLUMNS = ["grade", "proliferation_score", "os_months", "os_event"]


def shuffle_patients(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same table with the targets of whole patients exchanged."""
    first = table.drop_duplicates("patient_id").set_index("patient_id")[COLUMNS]
    order = np.random.default_rng(seed).permutation(len(first))
    exchanged = first.iloc[order].set_axis(first.index)
    return table.drop(columns=COLUMNS).join(exchanged, on="patient_id")


def judge(score: Score) -> str:
    """``yes`` if the interval covers chance, else on which side it lies."""
    if score.low <= score.chance <= score.high:
        return "yes"
    above = score.low > score.chance
    return "BETTER" if above == score.higher_is_better else "worse"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--shuffles", type=int, default=3)
    options = parser.parse_args()
    table = pd.read_csv(options.demo / "labels.csv", dtype={"patient_id": str, "slide_id": str})
    good = bad = checked = 0
    print("| shuffle | target | metric | value | 95 % interval | chance | covers |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for seed in range(options.shuffles):
        with tempfile.TemporaryDirectory() as name:
            labels = Path(name) / "labels.csv"
            shuffle_patients(table, seed).to_csv(labels, index=False)
            run = train_slides(
                store=options.demo / "store", labels=labels, target=TARGETS, out=Path(name) / "run"
            )
            for result in evaluate_run(run):
                for score in result.scores:
                    if score.chance is None or score.low is None or score.high is None:
                        continue
                    checked += 1
                    conclusion = judge(score)
                    good += conclusion == "BETTER"
                    bad += conclusion == "worse"
                    print(
                        f"| {seed} | {result.task.name} | {score.name} | {score.value:.3f} "
                        f"| {score.low:.3f} to {score.high:.3f} | {score.chance:.3f} "
                        f"| {conclusion} |"
                    )
    print(
        f"\n{checked - good - bad} of {checked} intervals cover chance; {good} lie wholly on its good side, "
        f"{bad} wholly on its bad side"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
