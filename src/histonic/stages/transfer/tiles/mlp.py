"""The tile protocol of Neural Image Compression: a small network on an encoder's frozen codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.nn.blocks import DenseBlock
from histonic.nn.heads import Head
from histonic.nn.losses import LOSSES, ValidationResult
from histonic.stages.transfer.tiles.probe import LabelledCodes, usable_codes
from histonic.stages.transfer.tiles.scores import TilePredictions, group_numbers
from histonic.training.devices import make_fabric
from histonic.training.loop import Chunks, Inputs, Training, TrainingData
from histonic.training.schedule import Schedule
from histonic.training.seeds import torch_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

UNITS = 256
BATCH = 64
SCHEDULE = Schedule(learning_rate=1e-2, floor=1e-5, max_epochs=200, patience=8)


class CodeClassifier(nn.Module):
    """Codes, standardised by the training tiles, to a dense layer of 256 and the outputs of one task.

    Args:
        task: The target.
        codes: ``(n, D)`` of the training tiles.
        targets: ``(n,)`` of the training tiles.

    Example:
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> network = CodeClassifier(task, torch.randn(20, 5), torch.zeros(20)).eval()
        >>> network(torch.zeros(3, 5))["outputs"].shape
        torch.Size([3, 1])
    """

    shift: Tensor
    spread: Tensor

    def __init__(self, task: Task, codes: Tensor, targets: Tensor) -> None:
        super().__init__()
        spread = codes.std(dim=0, unbiased=False)
        self.register_buffer("shift", codes.mean(dim=0))
        # What does not vary says nothing.
        self.register_buffer("spread", torch.where(spread > 0, spread, torch.inf))
        self.dense = DenseBlock(codes.shape[1], UNITS)
        self.head = Head(task, UNITS)
        if task.kind == "regression":
            self.head.set_scale(float(targets.mean()), float(targets.std(unbiased=False)))
        else:
            shares = torch.ones(len(task.classes))
            self.head.set_shares(shares, shares)

    def forward(self, codes: Tensor) -> dict[str, Tensor]:
        """``(B, D)`` to ``outputs`` ``(B, O)``."""
        return {"outputs": self.head(self.dense((codes - self.shift) / self.spread))}


class _CodeData(TrainingData):
    """Batches in which the classes are equally frequent, and the validation tiles, of equal weight by class.

    Args:
        task: The target.
        train: Codes and targets.
        validation: Codes and targets.
        head: Of the network, for the scale of values.
        seed: Of the draws.
    """

    def __init__(
        self,
        task: Task,
        train: tuple[Tensor, Tensor],
        validation: tuple[Tensor, Tensor],
        head: Head,
        seed: int,
    ) -> None:
        self.task, self.train, self.validation, self.head, self.seed = task, train, validation, head, seed

    def batches(self, epoch: int, rank: int, world: int) -> Iterator[tuple[Inputs | Chunks, Any]]:
        """As many draws as there are tiles; a batch of one, which has no variance, is left out."""
        rng = np.random.default_rng([self.seed, epoch])
        codes, targets = self.train
        rows = torch.from_numpy(_drawn(targets.numpy(), self.task, rng))
        for start in range(0, len(rows), BATCH):
            few = rows[start : start + BATCH]
            if len(few) > 1:
                yield (codes[few],), self.head.standardise(targets[few])

    def loss(self, outputs: dict[str, Tensor], targets: Any) -> Tensor:
        """The loss of the kind of target."""
        return LOSSES[self.task.kind](outputs["outputs"], targets)

    @torch.no_grad()
    def predict(self, network: nn.Module, fabric: Fabric) -> Tensor:
        """Outputs of the validation tiles."""
        outputs: Tensor = network(fabric.to_device(self.validation[0]))["outputs"]
        return outputs.cpu()

    def validate(self, predictions: Any) -> ValidationResult:
        """Mean over the classes that the validation tiles have of each one's loss."""
        targets = self.validation[1]
        kinds = targets if self.task.is_classification else torch.zeros_like(targets)
        loss = LOSSES[self.task.kind]
        wanted = self.head.standardise(targets)
        present = torch.from_numpy(np.unique(kinds.numpy()))
        parts = [loss(predictions[kinds == kind], wanted[kinds == kind]) for kind in present]
        return ValidationResult(float(torch.stack(parts).mean()))


def _drawn(targets: np.ndarray[Any, Any], task: Task, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Rows of an epoch in random order, each class as often as any other."""
    if not task.is_classification:
        return rng.permutation(len(targets))
    present = np.unique(targets)
    each = -(-len(targets) // len(present))
    rows: list[Any] = []
    for kind in present:
        own = rng.permutation(np.flatnonzero(targets == kind))
        rows.append(np.resize(own, each))
    return rng.permutation(np.concatenate(rows))


def classify_codes(
    train: LabelledCodes, validation: LabelledCodes, test: LabelledCodes, task: Task, *, seed: int
) -> TilePredictions:
    """Train a dense layer of 256 with batch normalisation on frozen codes, and predict the test tiles.

    Tellez et al., Neural Image Compression for gigapixel histopathology image analysis, TPAMI (2019): Adam,
    batches of 64, a learning rate of 0.01 that falls tenfold where the validation tiles no longer gain, to
    0.00001. Their sets have equally frequent classes; here batches have, and the validation loss is the mean
    over classes. Codes are standardised by the training tiles.

    Args:
        train: Tiles that are learned from.
        validation: Tiles that end the training.
        test: Tiles to predict.
        task: The target.
        seed: Of weights and batches.

    Raises:
        EncoderError: A code is not finite.
        TrainingError: A part has fewer than two classes, or no target; or the loss is no longer finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> truth = np.tile([0.0, 1.0], 64)
        >>> tiles = LabelledCodes(rng.normal(truth[:, None], 0.2, (128, 3)), truth, np.repeat("", 128))
        >>> task = Task("tumour", "binary", ("label",), ("no", "yes"))
        >>> found = classify_codes(tiles, tiles, tiles, task, seed=0)
        >>> bool((found.called == truth).mean() > 0.95)
        True
    """
    parts = {"training": train, "validation": validation, "test": test}
    usable = [usable_codes(tiles, task, which) for which, tiles in parts.items()]
    known = [
        (torch.from_numpy(tiles.codes).float(), torch.from_numpy(tiles.targets).float()) for tiles in usable
    ]
    fabric = make_fabric("cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(seed, 23))
        network = CodeClassifier(task, *known[0])
        data = _CodeData(task, known[0], known[1], network.head, seed)
        name = f"the tile network of {task.name!r}"
        training = Training(network, data, SCHEDULE, fabric=fabric, keys=(seed, 29), name=name)
        training.run(Silent())
    with torch.inference_mode():
        outputs = network.eval().head.predict(network(known[2][0])["outputs"], shrinkage=1.0)
    return TilePredictions(task, usable[2].targets, outputs.double().numpy(), group_numbers(usable[2].groups))
