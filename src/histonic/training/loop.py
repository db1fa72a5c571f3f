"""The only training loop: steps, plateaus, the best weights kept, and exact resumption."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from histonic.core.errors import TrainingError
from histonic.core.progress import (
    Measures,
    Progress,
    Silent,
    end_part,
    say_doing,
    say_may_end_early,
    tell_measures,
)
from histonic.nn.checkpoint import load_state, save_state
from histonic.nn.losses import ValidationResult
from histonic.training.late_losses import LateLosses
from histonic.training.schedule import EpochRecord, Schedule, TrainingState
from histonic.training.seeds import torch_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

B = TypeVar("B")
CHECKPOINT_SECONDS = 5.0
"""Least time between two checkpoints; it decides what an interruption costs, never a result."""
NORM_BATCHES = 4
"""Batches from which the statistics of batch normalisation are measured after an epoch."""


Inputs = tuple[Tensor, ...]


class Chunks(Iterable[Inputs]):
    """A batch too large to be held at once, for a loss that must see all of its outputs together.

    Args:
        make: The inputs, piece by piece, the same whenever it is called.
    """

    def __init__(self, make: Callable[[], Iterator[Inputs]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Inputs]:
        return self._make()


class TrainingData:
    """What a network learns from: batches, the loss of their outputs, and how it is validated.

    Attributes:
        steps: Batches of an epoch; 0 if not known.
    """

    steps: int = 0

    def batches(self, epoch: int, rank: int, world: int) -> Iterator[tuple[Inputs | Chunks, Any]]:
        """The batches of an epoch, the same whenever it is asked for.

        Yields:
            This rank's inputs, and the targets of all ranks' inputs in the order of the ranks. All ranks get
            inputs of the same length.
        """
        raise TypeError(f"{type(self).__name__} has no batches")

    def loss(self, outputs: dict[str, Tensor], targets: Any) -> Tensor:
        """Loss of the whole batch, a scalar."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def predict(self, network: nn.Module, fabric: Fabric) -> Any:
        """What the network says of the validation part, the same on all ranks; changes nothing."""
        raise TypeError(f"{type(self).__name__} predicts nothing")

    def calibrate(self, predictions: Any) -> None:
        """Suit the heads to the predictions for the validation part; no head has to be."""

    def validate(self, predictions: Any) -> ValidationResult:
        """Result on the predictions for the validation part; a lower loss is better. Changes nothing."""
        raise TypeError(f"{type(self).__name__} has no validation")

    def parts(self, network: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Parameters by part of the network; a part can have a learning rate of its own."""
        return {"all": list(network.parameters())}

    def begin(self, network: nn.Module, epoch: int, rate: float) -> Mapping[str, float]:
        """Called before an epoch's steps, with the network in training mode.

        Args:
            network: May be changed, such as a part put into evaluation mode, to stay frozen.
            epoch: From 1.
            rate: The learning rate of the schedule.

        Returns:
            Learning rates of those parts that differ from ``rate``.
        """
        return {}

    def blame(self, outputs: dict[str, Tensor], targets: Any) -> str:
        """What to tell the user about a loss that is not finite, such as the tasks and files that made it."""
        return ""


def _told_losses(record: EpochRecord) -> str:
    """The losses of an epoch in words."""
    learned = "" if record.train_loss is None else f"training loss {record.train_loss:.3f}, "
    return f"{learned}validation loss {record.validation_loss:.3f}"


def _pieces(batches: Iterator[tuple[Inputs | Chunks, Any]]) -> Iterator[Inputs]:
    """The inputs of batches, those of chunks one by one."""
    for inputs, _ in batches:
        if isinstance(inputs, Chunks):
            yield from inputs
        else:
            yield inputs


def _random_state(device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Where torch's generators stand."""
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _restore_random_state(device: torch.device, chance: tuple[Tensor, Tensor | None]) -> None:
    torch.set_rng_state(chance[0])
    if chance[1] is not None:
        torch.cuda.set_rng_state(chance[1], device)


class Training:
    """One network learning from its training data.

    All chance comes from ``keys`` and the number of the epoch, and the checkpoint holds the rest, so that an
    interrupted training ends with the same weights as an undisturbed one on the same machine.

    Args:
        network: Learns in place; :meth:`run` leaves the best weights in it.
        data: What it learns.
        schedule: How long and how fast.
        fabric: Device, precision and number of devices.
        keys: What makes this training's chance its own, such as seed, fold and initialisation.
        name: Of the network, in messages.
        checkpoint: Where the state is kept; None keeps none.
        clock: Seconds, for the time between checkpoints.
    """

    def __init__(
        self,
        network: nn.Module,
        data: TrainingData,
        schedule: Schedule,
        *,
        fabric: Fabric,
        keys: tuple[int, ...],
        name: str,
        checkpoint: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.network = network
        self.data = data
        self.schedule = schedule
        self.fabric = fabric
        self.keys = keys
        self.name = name
        self.checkpoint = checkpoint
        self.clock = clock
        if fabric.world_size > 1 and fabric.device.type == "cuda":
            self.network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        self.wrapped, self.optimizer = fabric.setup(self.network, schedule.build(data.parts(self.network)))
        self.waited_s = self.worked_s = 0.0
        self.state = TrainingState()
        self.best = self._weights()
        self._saved_at = clock()
        self._progress: Progress = Silent()

    def run(self, progress: Progress) -> TrainingState:
        """Learn to the end of the schedule and load the best weights.

        Args:
            progress: Advanced by ``max_epochs`` in all, also if training ends early.

        Raises:
            TrainingError: The loss is no longer finite; the last checkpoint is from before.
            OutputError: The checkpoint cannot be written.
        """
        self._progress = progress
        say_may_end_early(progress)
        if self.checkpoint is not None and self.checkpoint.is_file():
            self._resume(self.checkpoint)
            progress.say(f"{self.name} goes on after epoch {self.state.epoch}")
            end_part(progress, None, self.state.epoch)
        before = self.state.epoch
        self.fabric.barrier()
        if not self.state.history:
            self._note(None)
        while not self.state.is_over(self.schedule):
            self._note(self._learn(self.state.epoch + 1))
            self._save()
            last = self.state.history[-1]
            progress.advance(1, f"{self.name}, epoch {last.epoch}: {_told_losses(last)}")
        if self.schedule.keep == "best":
            self.network.load_state_dict(self.best)
        end_part(progress, self.state.epoch - before, self.schedule.max_epochs - before)
        return self.state

    def _learn(self, epoch: int) -> float:
        """One epoch of steps; the mean loss."""
        torch.manual_seed(torch_seed(*self.keys, epoch, self.fabric.global_rank))
        if self.state.restart:
            self.network.load_state_dict(self.best)
            self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": {}})
            self.state.restart = False
        rate = self.state.rate(self.schedule)
        self.network.train()
        own_rates = self.data.begin(self.network, epoch, rate)
        for group in self.optimizer.param_groups:
            group["lr"] = own_rates.get(group["part"], rate)
        losses = LateLosses(lambda loss, blame: self._examine(loss, epoch, blame))
        with closing(
            self._watched(self.data.batches(epoch, self.fabric.global_rank, self.fabric.world_size))
        ) as batches:
            for number, (inputs, targets) in enumerate(batches, start=1):
                self._step(inputs, targets, losses)
                self._tell_step(epoch, number, losses)
        mean = losses.mean()
        self._measure_norms(epoch)
        return mean

    def _examine(self, loss: float, epoch: int, blame: Callable[[], str]) -> None:
        """Take in the loss of a step, in the order of the steps."""
        self._finite(loss, "training", epoch, blame)
        self.state.steps += 1
        tell_measures(
            self._progress, Measures(self.name, epoch, self.state.steps, {"loss": loss}, is_step=True)
        )

    def _tell_step(self, epoch: int, number: int, losses: LateLosses) -> None:
        """Say how far the epoch is."""
        steps = self.data.steps
        of = f" of {steps}" if steps else ""
        loss = "" if losses.last is None else f": loss {losses.last:.3f}"
        before = f", {_told_losses(self.state.history[-1])}" if self.state.history else ""
        say_doing(
            self._progress,
            f"{self.name}, epoch {epoch}, step {number}{of}{loss}{before}",
            min(number / steps, 1.0) if steps else 0.0,
        )

    def _step(self, inputs: Inputs | Chunks, targets: Any, losses: LateLosses) -> None:
        """One step of the optimizer, by a loss that is told to ``losses``."""
        targets = self.fabric.to_device(targets)
        if isinstance(inputs, Chunks):
            self._step_through(inputs, targets, losses)
            return
        outputs = self._gather(self._outputs(inputs))
        loss = self._loss(outputs, targets, losses)
        self.optimizer.zero_grad()
        self.fabric.backward(loss)
        self.optimizer.step()

    def _step_through(self, chunks: Chunks, targets: Any, losses: LateLosses) -> None:
        """One step by the loss of all chunks' outputs together, with one chunk in memory at a time.

        The chunks go through the network twice: first for the outputs, whose loss tells the gradient of
        each output; then again, by the same dropout, to carry that gradient to the weights.
        """
        chances, found = [], []
        with torch.no_grad():
            for chunk in chunks:
                chances.append(_random_state(self.fabric.device))
                found.append({name: part.float() for name, part in self._outputs(chunk).items()})
        whole = {name: torch.cat([part[name] for part in found]).requires_grad_() for name in found[0]}
        loss = self._loss(self._gather(whole), targets, losses)
        given = torch.autograd.grad(loss, list(whole.values()), allow_unused=True, materialize_grads=True)
        slopes = dict(zip(whole, given, strict=True))
        self.optimizer.zero_grad()
        start = 0
        for chunk, chance in zip(chunks, chances, strict=True):
            _restore_random_state(self.fabric.device, chance)
            outputs = self._outputs(chunk)
            stop = start + len(next(iter(outputs.values())))
            parts = [(part.float() * slopes[name][start:stop]).sum() for name, part in outputs.items()]
            self.fabric.backward(torch.stack(parts).sum())
            start = stop
        self.optimizer.step()

    def _outputs(self, inputs: Inputs) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.wrapped(*(self.fabric.to_device(part) for part in inputs))
        return outputs

    def _loss(self, outputs: dict[str, Tensor], targets: Any, losses: LateLosses) -> Tensor:
        """The training data's loss, which is examined as soon as it can be."""
        loss = self.data.loss(outputs, targets)
        kept = {name: part.detach() for name, part in outputs.items()}
        losses.add(loss, lambda: self.data.blame(kept, targets))
        return loss

    def _watched(self, batches: Iterator[B]) -> Generator[B, None, None]:
        """The same batches, with the time taken that the device waited for them and that it worked."""
        with closing(batches):  # type: ignore[type-var]
            asked = time.perf_counter()
            for batch in batches:
                given = time.perf_counter()
                yield batch
                self.waited_s += given - asked
                asked = time.perf_counter()
                self.worked_s += asked - given

    @torch.no_grad()
    def _measure_norms(self, epoch: int) -> None:
        """Measure the statistics of batch normalisation anew on some of the epoch's batches, without dropout.

        Running averages lag behind weights that change fast, and an epoch of a small cohort has few steps.
        """
        # A frozen part is in evaluation mode and keeps its statistics.
        norms = [
            layer for layer in self.network.modules() if isinstance(layer, _BatchNorm) and layer.training
        ]
        momenta = [layer.momentum for layer in norms]
        self.network.eval()
        for layer in norms:
            layer.reset_running_stats()
            layer.train()
            layer.momentum = None  # the plain mean over batches
        batches = self.data.batches(epoch, self.fabric.global_rank, self.fabric.world_size)
        with closing(batches):  # type: ignore[type-var]
            for inputs in islice(_pieces(batches), NORM_BATCHES if norms else 0):
                with self.fabric.autocast():
                    self.network(*(self.fabric.to_device(part) for part in inputs))
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        self._join_statistics()

    def _note(self, train_loss: float | None) -> None:
        """Validate the network as it is now and keep its weights if they are the best."""
        epoch = 0 if train_loss is None else self.state.epoch + 1
        self.network.eval()
        predictions = self.data.predict(self.network, self.fabric)
        self.data.calibrate(predictions)
        result = self.data.validate(predictions)
        loss = self._finite(result.loss, "validation", epoch, str)
        record = EpochRecord(epoch, self.state.rate(self.schedule), train_loss, loss, result.scores)
        if self.state.note(record, self.schedule):
            self.best = self._weights()
        tell_measures(self._progress, record.measures(self.name, self.state.steps))

    def _gather(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of all ranks, rank by rank, with gradients to each.

        Every rank computes the same loss of all outputs. Gathering adds up the gradients of all ranks' losses
        and DDP divides by their number, so that the gradients are those of one loss on one device.
        """
        if self.fabric.world_size == 1:
            return outputs
        return {
            name: torch.as_tensor(self.fabric.all_gather(part.float(), sync_grads=True)).flatten(0, 1)
            for name, part in outputs.items()
        }

    def _join_statistics(self) -> None:
        """Average the running statistics of batch normalisation over the ranks."""
        if self.fabric.world_size > 1:
            for buffer in self.network.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(torch.as_tensor(self.fabric.all_reduce(buffer.clone(), reduce_op="mean")))

    def _finite(self, loss: float, what: str, epoch: int, blame: Callable[[], str]) -> float:
        if math.isfinite(loss):
            return loss
        raise TrainingError(
            f"Train {self.name}.",
            f"The {what} loss of epoch {epoch} is {loss}. {blame()}".rstrip(),
            "Lower --learning-rate, or use --precision 32.",
        )

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in self.network.state_dict().items()}

    def _save(self) -> None:
        due = self.clock() - self._saved_at >= CHECKPOINT_SECONDS
        if self.checkpoint is None or not due or not self.fabric.is_global_zero:
            return
        state = {
            "finished": False,
            "network": self._weights(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "training": self.state.to_dict(),
        }
        save_state(self.checkpoint, state)
        self._saved_at = self.clock()

    def _resume(self, path: Path) -> None:
        state = load_state(path, holds=("network", "optimizer", "best", "training"))
        try:
            self.network.load_state_dict(state["network"])
            self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
            self.best = state["best"]
            self.state = TrainingState.from_dict(state["training"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise TrainingError(
                f"Go on with {self.name} from {path}.",
                f"The checkpoint is of another network: {type(error).__name__}: {error}.",
                "Delete it and run the same command again.",
            ) from error
