"""A trained slide network as a training leaves it on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from histonic.core.errors import BundleError, TrainingError
from histonic.models.members import FloatArray, Member
from histonic.nn.checkpoint import load_state
from histonic.training.schedule import EpochRecord

AGAIN = "Delete it and run the same command again."


@dataclass(frozen=True)
class Trained:
    """A finished network.

    Attributes:
        member: What it is, and what it knows of its training patients.
        code_size: D.
        weights: State of its :class:`~histonic.aggregators.base.SlideModel`.
        history: Its epochs.
        predictions: Per task ``(P, W)`` of the fold's test patients.
        unseen: Per binary task ``(P, W)`` of patients on whom thresholds may be chosen: the fold's validation
            patients, or of fitted heads its training and validation patients, predicted by heads that were
            fitted to others of them. Since the file ``networks/TASK.csv`` is written, of all tasks.
        learned: Per task ``(P, W)`` of the patients it learned from: the fold's training patients, of fitted
            heads its validation patients as well, after them.
    """

    member: Member
    code_size: int
    weights: dict[str, Tensor]
    history: tuple[EpochRecord, ...]
    predictions: dict[str, FloatArray]
    unseen: dict[str, FloatArray] = field(default_factory=dict)
    learned: dict[str, FloatArray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name in files and weights."""
        return network_name(self.member.repeat, self.member.fold, self.member.initialisation)


def read_network(path: Path) -> Trained:
    """A finished network from its file.

    Raises:
        TrainingError: The file is damaged, or of another network than its name says.
    """
    state = load_state(path, holds=("member", "code_size", "weights", "history", "predictions", "unseen"))
    try:
        read = Trained(
            Member.from_dict(state["member"]),
            state["code_size"],
            state["weights"],
            tuple(EpochRecord(**record) for record in state["history"]),
            {name: values.numpy() for name, values in state["predictions"].items()},
            {name: values.numpy() for name, values in state["unseen"].items()},
            # Networks of an interrupted run of an earlier version do not have them.
            {name: values.numpy() for name, values in state.get("learned", {}).items()},
        )
    except (BundleError, TypeError, AttributeError) as error:
        found = error.found if isinstance(error, BundleError) else f"{type(error).__name__}: {error}."
        raise TrainingError(f"Read the network {path}.", f"It is damaged: {found}", AGAIN) from error
    if read.name != path.stem:
        raise TrainingError(f"Read the network {path}.", f"It is that of {read.name}.", AGAIN)
    return read


def network_name(repeat: int, fold: int, initialisation: int) -> str:
    """Name of a network in file names and weights."""
    return f"repeat-{repeat}-fold-{fold}-init-{initialisation}"
