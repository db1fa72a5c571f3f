"""One cell of the study: a network trained by image labels, and what it finds in images of other digits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.documents import Document, write_document
from histonic.core.errors import TrainingError
from histonic.metrics.discrimination.labels import auroc
from histonic.simulate.low_signal.digits import PARTS, Digits, Part, read_digits
from histonic.simulate.low_signal.needles import NeedleImages, NeedlePlan
from histonic.stages.study.needles.network import NeedleNetwork, receptive_px, spatial_blocks
from histonic.stages.study.needles.settings import NeedleStudySettings, Pooling
from histonic.training.seeds import torch_seed

KEPT_BYTES = 1 << 30
"""Images of a part are kept in memory up to so much, else made batch by batch."""
FALLS = (0.4, 0.6, 0.8)
"""Shares of the updates after which the learning rate falls tenfold."""
PIXELS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes:
        canvas: Side of the canvas where digits have 28 px.
        size: Training images.
        pooling: Of the last map.
        stages: Stages with 3x3 convolutions.
        width: Filters of the first stage.
        seed: Of images and weights.
    """

    canvas: int
    size: int
    pooling: Pooling
    stages: int
    width: int
    seed: int

    @property
    def name(self) -> str:
        """As a file."""
        return (
            f"canvas-{self.canvas}_images-{self.size}_{self.pooling}_stages-{self.stages}_width-{self.width}"
            f"_seed-{self.seed}"
        )


class CellResult(Document):
    """What a cell found; ``cells/NAME.json``.

    Attributes:
        canvas: Side of the canvas where digits have 28 px.
        size: Training images.
        pooling: Of the last map.
        stages: Stages with 3x3 convolutions.
        width: Filters of the first stage.
        seed: Of images and weights.
        ratio: Object-to-image ratio.
        field_px: Receptive field in pixels.
        weights: Number of weights of the network.
        train_accuracy: Of training images, as many as test images at most, by the weights that were kept.
        val_accuracy: Of the validation images, the best of all checks.
        accuracy: Of the test images.
        auroc: Of the test images.
        updates: After which the kept weights were found.
    """

    FORMAT = "histonic-needle-cell-1"

    canvas: int
    size: int
    pooling: str
    stages: int
    width: int
    seed: int
    ratio: float
    field_px: int
    weights: int
    train_accuracy: float
    val_accuracy: float
    accuracy: float
    auroc: float
    updates: int


def cells_of(settings: NeedleStudySettings) -> list[Cell]:
    """All cells, seed by seed, small images first.

    Every ratio with every size and pooling, at the usual receptive field and width; and every further
    receptive field and width at every ratio, with the largest size and the usual pooling.

    Example:
        >>> settings = NeedleStudySettings(out="study")
        >>> len(cells_of(settings))  # 4 x (2 x 2 + 1 + 1) x 3
        72
    """
    field, width = settings.receptive[0], settings.widths[0]
    pooling, size = settings.poolings[0], settings.sizes[-1]
    combinations = [
        (canvas, size_, pooling_, field, width)
        for canvas in settings.canvases
        for size_ in settings.sizes
        for pooling_ in settings.poolings
    ]
    combinations += [(c, size, pooling, f, width) for c in settings.canvases for f in settings.receptive[1:]]
    combinations += [(c, size, pooling, field, w) for c in settings.canvases for w in settings.widths[1:]]
    ordered = sorted(dict.fromkeys(combinations), key=lambda each: each[0])
    return [Cell(*each, settings.seed + seed) for seed in range(settings.seeds) for each in ordered]


@lru_cache(maxsize=4)
def digits_of(folder: Path | None, side_px: int, seed: int) -> dict[Part, Digits]:
    """Digits in parts; the same parts for all cells of a study."""
    return read_digits(folder, side_px, seed)


class ImageBatches:
    """Images of one part as tensors.

    Args:
        settings: Of the study.
        cell: Whose images.
        part: Which part.
        count: How many.
    """

    def __init__(self, settings: NeedleStudySettings, cell: Cell, part: Part, count: int) -> None:
        digits = digits_of(settings.digits, settings.digit_px, settings.seed)[part]
        # As often as it takes: few digits make many images, whose clutter differs.
        duplicates = max(2, -(-count // (2 * max(len(digits.of(settings.target)), 1))))
        plan = NeedlePlan(
            cell.canvas,
            target=settings.target,
            digit_px=settings.digit_px,
            duplicates=duplicates,
            seed=cell.seed,
        )
        self.images = NeedleImages(plan, digits, part, count)
        self.labels = torch.from_numpy(self.images.labels)
        self.ratio = plan.ratio
        few = count * plan.side_px**2 <= KEPT_BYTES
        self._kept = np.stack([self._pixels(k) for k in range(count)]) if few else None

    def _pixels(self, index: int) -> npt.NDArray[np.uint8]:
        return self.images[index].pixels

    def take(self, rows: npt.NDArray[np.int64]) -> Tensor:
        """Images ``(B, 1, S, S)`` of 0..1."""
        few = self._kept[rows] if self._kept is not None else np.stack([self._pixels(int(k)) for k in rows])
        return torch.from_numpy(few)[:, None].float() / 255

    def parts(self, most: int | None = None) -> Iterator[Tensor]:
        """All images in order, or so many at most, some at a time."""
        count = min(len(self.images), most or len(self.images))
        step = max(1, PIXELS_AT_ONCE // self.images.plan.side_px**2)
        for start in range(0, count, step):
            yield self.take(np.arange(start, min(start + step, count)))


def run_cell(settings: NeedleStudySettings, cell: Cell) -> CellResult:
    """Train one network and test it.

    Args:
        settings: Of the study.
        cell: Which combination.

    Raises:
        TrainingError: The loss is no longer finite.
    """
    counts = {"train": cell.size, "val": settings.val, "test": settings.test}
    data = {part: ImageBatches(settings, cell, part, counts[part]) for part in PARTS}
    spatial = spatial_blocks(settings.blocks, cell.stages)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(cell.seed, 71))
        network = NeedleNetwork(cell.width, settings.blocks, spatial, cell.pooling, settings.norm)
    network.to(settings.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    updates, best = _train(network, settings, cell, data["train"], data["val"])
    seen = _outputs(network, data["train"], settings.device, settings.test)
    found = _outputs(network, data["test"], settings.device)
    truth = data["test"].images.labels
    return CellResult(
        **asdict(cell),
        ratio=data["train"].ratio,
        field_px=receptive_px(settings.blocks, spatial),
        weights=sum(each.numel() for each in network.parameters()),
        train_accuracy=_accuracy(seen, data["train"]),
        val_accuracy=best,
        accuracy=_accuracy(found, data["test"]),
        auroc=float(auroc(truth == 1, found, np.ones((1, len(truth))))[0]),
        updates=updates,
    )


def _train(
    network: NeedleNetwork, settings: NeedleStudySettings, cell: Cell, train: ImageBatches, val: ImageBatches
) -> tuple[int, float]:
    """Learn; the number of updates after which the best weights, which are left in it, were found."""
    optimizer = _optimizer(network, settings)
    falls = [round(share * settings.updates) for share in FALLS]
    checks = {round(n * settings.updates / settings.checks) for n in range(1, settings.checks + 1)}
    best, found, weights = -1.0, 0, network.state_dict()
    rows = _rows(cell, len(train.images), min(settings.batch, len(train.images)))
    for update in range(1, settings.updates + 1):
        if update - 1 in falls:
            for group in optimizer.param_groups:
                group["lr"] /= 10
        network.train()
        chosen = next(rows)
        logits = network(train.take(chosen).to(settings.device))
        loss = F.cross_entropy(logits, train.labels[torch.from_numpy(chosen)].to(settings.device))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if update not in checks:
            continue
        if not torch.isfinite(loss):
            raise TrainingError(
                f"Train {cell.name}.", f"The loss after {update} updates is {float(loss)}.", "Lower the rate."
            )
        reached = _accuracy(_outputs(network, val, settings.device), val)
        # Of equals the last: it has seen most.
        if reached >= best:
            best, found = reached, update
            weights = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    return found, best


def _rows(cell: Cell, count: int, batch: int) -> Iterator[npt.NDArray[np.int64]]:
    """Batches, epoch after epoch."""
    rng = np.random.default_rng([cell.seed, 73])
    waiting = np.empty(0, np.int64)
    while True:
        while len(waiting) < batch:
            waiting = np.concatenate([waiting, rng.permutation(count)])
        yield waiting[:batch]
        waiting = waiting[batch:]


def _optimizer(network: nn.Module, settings: NeedleStudySettings) -> torch.optim.Optimizer:
    weights = list(network.parameters())
    if settings.optimizer == "rmsprop":
        return torch.optim.RMSprop(weights, settings.learning_rate, eps=1e-5)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(weights, settings.learning_rate, momentum=0.9)
    return torch.optim.Adam(weights, settings.learning_rate, fused=True)


@torch.no_grad()
def _outputs(
    network: NeedleNetwork, images: ImageBatches, device: str, most: int | None = None
) -> npt.NDArray[np.float64]:
    """``(N,)`` logit of the target against none, of the first images at most."""
    network.eval()
    logits = torch.cat([network(each.to(device)).cpu() for each in images.parts(most)]).double()
    return np.asarray((logits[:, 1] - logits[:, 0]).numpy())


def _accuracy(outputs: npt.NDArray[np.float64], images: ImageBatches) -> float:
    return float(((outputs > 0) == (images.images.labels[: len(outputs)] == 1)).mean())


def cell_path(out: Path, cell: Cell) -> Path:
    """Where a cell's result lies."""
    return out / "cells" / f"{cell.name}.json"


@dataclass(frozen=True)
class CellJob:
    """A cell to be run in a process of its own."""

    settings: dict[str, Any]
    cell: Cell


def do_job(job: CellJob) -> str:
    """Run a cell and keep its result, all or nothing; its name."""
    torch.set_num_threads(1)
    settings = NeedleStudySettings(**job.settings)
    result = run_cell(settings, job.cell)
    write_document(cell_path(settings.out, job.cell), result)
    return f"{job.cell.name}: {result.accuracy:.2f}"
