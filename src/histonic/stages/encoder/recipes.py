"""What each objective is trained with unless the settings say otherwise: trunk, optimizer, schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import nn

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.encoders.base import ENCODERS, EncoderSpec, architecture_entry
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.objectives.base import Objective
from histonic.encoders.objectives.bigan import BiganObjective
from histonic.encoders.objectives.contrastive import ContrastiveObjective, NtXentObjective
from histonic.encoders.objectives.multitask import MultitaskObjective
from histonic.encoders.objectives.vae import VaeObjective
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.trunk_weights import trunk_of
from histonic.training.schedule import Schedule


@dataclass(frozen=True)
class Recipe:
    """Trunk and schedule of an objective.

    Attributes:
        trunk: Entry of ``ENCODERS``.
        learning_rate: The first.
        decay: How it falls.
        optimizer: Who moves the weights.
        weight_decay: See :class:`histonic.training.schedule.Schedule`.
        patience: Epochs without a better validation loss until the rate falls, or training ends; None: never.
        needs_labels: Whether tiles without labels are of no use.
    """

    trunk: str
    learning_rate: float
    decay: Literal["plateau", "cosine", "constant"]
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    weight_decay: float = 0.0
    patience: int | None = 5
    needs_labels: bool = False


RECIPES: dict[str, Recipe] = {  # components are not trained, and have none
    # Not the papers' rates: with half a cosine of AdamW, an afternoon on two cores is enough.
    "multitask": Recipe("nic", 2e-3, "cosine", "adamw", 1e-4, None, needs_labels=True),
    "ntxent": Recipe("nic", 2e-3, "cosine", "adamw", 1e-4, None),
    "vae": Recipe("tellez2019", 1e-3, "plateau"),
    "contrastive": Recipe("tellez2019", 1e-2, "plateau"),
    "bigan": Recipe("nic", 2e-4, "constant", patience=None),
}


def build_schedule(settings: TrainEncoderSettings, objective: Objective) -> Schedule:
    """The recipe's schedule with what the settings change."""
    recipe = RECIPES[settings.objective]
    patience = settings.patience or recipe.patience or settings.max_epochs
    decay = recipe.weight_decay if settings.weight_decay is None else settings.weight_decay
    return Schedule(
        learning_rate=settings.learning_rate or recipe.learning_rate,
        max_epochs=settings.max_epochs,
        patience=patience,
        decay=settings.decay or recipe.decay,
        optimizer=settings.optimizer or recipe.optimizer,
        weight_decay=decay,
        keep=objective.keeps,
        adam_momentum=objective.adam_momentum,
    )


def encoder_class(spec: EncoderSpec) -> type[NetworkEncoder]:
    """The class that runs the architecture of a spec.

    Raises:
        SettingsError: It is unknown, or has nothing to train.
    """
    found = ENCODERS.get(architecture_entry(spec))
    if isinstance(found, type) and issubclass(found, NetworkEncoder):
        return found
    raise SettingsError(
        f"Train the trunk {spec.architecture!r}.",
        "It has no weights to train.",
        "Use --trunk nic, tellez2019 or timm:MODEL.",
    )


def build_spec(settings: TrainEncoderSettings) -> EncoderSpec:
    """What the trained encoder will expect and give."""
    architecture = settings.trunk or RECIPES[settings.objective].trunk
    family = architecture.partition(":")[0]
    if family == "lite-appearance" and settings.weights is None:
        raise SettingsError(
            f"Train the trunk {architecture!r}.",
            "No weights are given, and it is worth what photographs taught it.",
            "Give --weights, an encoder of that architecture.",
        )
    given = trunk_of(settings.weights, architecture) if settings.weights and family == "timm" else None
    return EncoderSpec(
        name=settings.name or settings.out.name,
        architecture=architecture,
        tile_px=settings.tile_px,
        mpp=settings.mpp,
        code_size=settings.code_size,
        licence=settings.licence,
        provenance=f"trained with histonic, objective {settings.objective}",
        trunk=given,
        stain=settings.stain.normalisation,
    )


def build_trunk(spec: EncoderSpec) -> tuple[nn.Module, int]:
    """A trunk with fresh weights, and the side of the tiles that it is trained on.

    A trunk that begins by averaging its tiles is trained behind that average: the same weights, with a
    quarter of the pixels to augment.
    """
    found = encoder_class(spec)
    working_px = found.working_px(spec)
    return found.build(replace(spec, tile_px=working_px)), working_px


def build_objective(
    settings: TrainEncoderSettings, trunk: nn.Module, tasks: Sequence[Task], working_px: int
) -> Objective:
    """The objective that the settings ask for."""
    makers: dict[str, Callable[[], Objective]] = {
        "multitask": lambda: MultitaskObjective(
            trunk,
            settings.code_size,
            tasks,
            rescale=settings.multitask.rescale,
            dropout=settings.multitask.dropout,
            contrast=settings.multitask.contrast,
            appearance=settings.multitask.appearance,
            head_hidden=settings.multitask.head_hidden,
        ),
        "ntxent": lambda: NtXentObjective(trunk, settings.code_size),
        "vae": lambda: VaeObjective(trunk, settings.code_size, tile_px=working_px),
        "contrastive": lambda: ContrastiveObjective(trunk, settings.code_size),
        "bigan": lambda: BiganObjective(trunk, settings.code_size, tile_px=working_px),
    }
    return makers[settings.objective]()
