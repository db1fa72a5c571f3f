"""What do the published accuracies of DSMIL on the classic sets measure?

    python benchmarks/bags_published.py --bags HISTONIC_DATA/bags [--aggregators dsmil] [--seeds 2]

The code that goes with Li, Li and Eliceiri (CVPR 2021) keeps, of each of ten folds, the best accuracy that
any epoch reaches on the tested bags, each time with the threshold that suits those bags best. Here our
aggregators learn by the same recipe (one bag a step, Adam, 80 epochs, cosine), and are scored in both ways:
after the last epoch at a probability of one half, with nothing chosen, and as published. Prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.metrics import roc_curve
from torch import Tensor

from bags import FOLDS, PUBLISHED
from histonic.aggregators.base import SlideModel, build_model
from histonic.core.task import Task
from histonic.nn.losses import joint_loss

EPOCHS = 80
RATE, BETAS, DECAY = 2e-4, (0.5, 0.9), 5e-3
TASK = Task("label", "binary", ("label",), ("c0", "c1"))


def read_bags(table: Path) -> tuple[list[Tensor], npt.NDArray[np.int64]]:
    """Instances ``(N, D)`` of every bag, and the labels."""
    rows = [bag for _, bag in pd.read_csv(table, header=None).groupby(1)]
    instances = [torch.tensor(bag.iloc[:, 2:].to_numpy(), dtype=torch.float32) for bag in rows]
    return instances, np.array([int(bag.iloc[0, 0]) for bag in rows])


def ask(model: SlideModel, instances: Tensor) -> dict[str, Tensor]:
    """Outputs for one bag, its instances in a row."""
    return model(instances.T[None, :, None], torch.ones(1, 1, len(instances)))


def with_best_threshold(labels: npt.NDArray[np.int64], outputs: npt.NDArray[np.float64]) -> float:
    """Accuracy at the threshold with the largest Youden index among these very bags."""
    false, true, cuts = roc_curve(labels, outputs)
    return float(((outputs >= cuts[np.argmin(false - true)]) == labels).mean())


def one_fold(
    bags: list[Tensor], labels: npt.NDArray[np.int64], test: npt.NDArray[np.int64], aggregator: str, seed: int
) -> tuple[float, float]:
    """Accuracy after the last epoch at one half, and the best of all epochs at the best threshold."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    train = np.setdiff1d(np.arange(len(bags)), test)
    model = build_model(aggregator, code_size=bags[0].shape[1], crop_cells=16, tasks=(TASK,))
    known = torch.cat([bags[row] for row in train])
    model.scale.set(known.mean(dim=0), known.std(dim=0))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, betas=BETAS, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    best = plain = 0.0
    for _ in range(EPOCHS):
        model.train()
        for row in rng.permutation(train):
            outputs = ask(model, bags[row])
            target = {"label": torch.tensor([float(labels[row])])}
            loss = joint_loss((TASK,), outputs, target) + model.own_loss(outputs, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        model.eval()
        with torch.no_grad():
            found = np.array([float(ask(model, bags[row])["label"][0, -1]) for row in test])
        plain = float(((found > 0) == labels[test]).mean())
        best = max(best, with_best_threshold(labels[test], found))
    return plain, best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bags", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["musk1", "elephant"])
    parser.add_argument("--aggregators", nargs="+", default=["dsmil"])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print("| set | aggregator | nothing chosen, by seed | as published, by seed | published |")
    print("| --- | --- | --- | --- | --- |")
    for name in given.sets:
        bags, labels = read_bags(given.bags / f"{name}.csv")
        for aggregator in given.aggregators:
            scores = []
            for seed in range(given.seeds):
                parts = np.array_split(np.random.default_rng(seed).permutation(len(bags)), FOLDS)
                folds = [
                    one_fold(bags, labels, test, aggregator, FOLDS * seed + number)
                    for number, test in enumerate(parts)
                ]
                scores.append(np.mean(folds, axis=0))
            plain, best = (", ".join(f"{value:.3f}" for value in column) for column in np.transpose(scores))
            said = PUBLISHED.get((name, aggregator), "")
            print(f"| {name} | {aggregator} | {plain} | {best} | {said} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
