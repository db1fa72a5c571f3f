"""Settings of 'histonic encoder transfer' and 'histonic encoder tasks'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import Field, field_validator

from histonic.core.places.urls import GivenPlace
from histonic.core.settings import CLUSTER, Cluster, GivenPath, Settings
from histonic.data.tilesets.plan import TileSetSettings


class EvaluatorSettings(Settings):
    """How encoders are compared on tile sets that they never saw."""

    out: Path = Field(description="Folder for the table, the figure and all trained encoders.")
    sets: tuple[TileSetSettings, ...] = Field(min_length=2, description="Tile sets, a list in the YAML file.")
    base: dict[str, Any] = Field(
        default={}, description="Settings of 'histonic encoder train' for every encoder trained here."
    )
    encoders: tuple[str, ...] = Field(
        default=("colour",),
        description="Encoders to compare with: names from 'histonic list', .safetensors files.",
    )
    seeds: int = Field(
        default=3, ge=1, description="Trainings of each encoder, by seeds from that of base on."
    )
    linear: Literal["logistic", "svm"] = Field(
        default="logistic", description="Linear model on frozen codes."
    )
    equal_code_size: int | None = Field(
        default=None, ge=1, description="Larger codes are reduced to so many principal components."
    )
    resamples: int = Field(
        default=2000, ge=100, le=1_000_000, description="Resamples of the groups for 95 % intervals."
    )
    cache: Path | None = Field(default=None, description="Folder for decoded tiles; by default inside --out.")
    cluster: Cluster = CLUSTER


class TransferSettings(EvaluatorSettings):
    """Each task left out in turn: encoders trained on the others, evaluated on it."""

    variants: dict[str, dict[str, Any]] = Field(
        default={"multitask": {}}, description="Encoders to train: name and what it changes in base."
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        default={}, description="Settings to choose among: key (multitask.head_rate) and values."
    )
    selection_seeds: int = Field(
        default=1, ge=1, description="Seeds by which settings are chosen from the grid."
    )
    modes: tuple[Literal["frozen", "mlp", "finetuned", "scratch", "joint"], ...] = Field(
        default=("frozen", "finetuned", "scratch"),
        min_length=1,
        description="frozen: codes with a linear model; mlp: codes with a dense layer of 256, as in the NIC "
        "paper; finetuned; scratch; joint: the task's tiles among those of the others, its own head.",
    )
    finetune: dict[str, Any] = Field(default={}, description="What fine-tuning changes in base.")
    scratch: dict[str, Any] = Field(default={}, description="What training from scratch changes in base.")


class CohortSettings(Settings):
    """Slides with patient labels, by which encoders of more and more tasks are compared."""

    LEAD = "slides"

    slides: tuple[GivenPlace, ...] = Field(
        default=(), description="Slides of a cohort: compare encoders by slide networks on it, not by tiles."
    )
    store: Path | None = Field(
        default=None,
        description="In place of slides: store of the frozen encoder of base (freeze_trunk), whose codes "
        "are projected.",
    )
    labels: Path | None = Field(default=None, description="Label table of the cohort.")
    target: tuple[str, ...] = Field(
        default=(), description="NAME[:KIND[:COLUMNS]], as for 'histonic train'; repeat for several curves."
    )
    own_sets: tuple[str, ...] = Field(
        default=(),
        description="Tile sets of the target's own organ or question: in no encoder of the curve, and in "
        "that of the positive control.",
    )
    unsupervised: Literal["vae", "contrastive", "ntxent", "bigan"] = Field(
        default="bigan", description="What the encoder of 0 tasks is trained by."
    )
    augments: tuple[str, ...] = Field(
        default=(),
        description="Other augmentations than that of base to compare, with all tasks, such as morphology "
        "(no colour) beside hed-strong.",
    )
    compress: dict[str, Any] = Field(
        default={}, description="Settings of 'histonic compress' for all encoders."
    )
    train: dict[str, Any] = Field(default={}, description="Settings of 'histonic train' for all encoders.")
    keep_stores: bool = Field(
        default=False, description="Keep the maps of every encoder; by default its runs only."
    )
    minutes: float | None = Field(
        default=None,
        ge=0,
        description="Begin no further encoder after so many minutes; the tables show what is there.",
    )

    @field_validator("slides", "target", "own_sets", "augments", mode="before")
    @classmethod
    def _one_is_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @property
    def is_given(self) -> bool:
        """Whether there is a cohort."""
        return bool(self.slides) or self.store is not None


class StudyTasksSettings(EvaluatorSettings):
    """Encoders trained on 1, 2, 3 ... tasks, evaluated on the tasks left out, or on a cohort of slides."""

    seeds: int = Field(default=1, ge=1, description="Trainings on each choice of tasks.")
    counts: tuple[int, ...] = Field(
        default=(),
        description="Numbers of tasks; by default 1 to all but one. Of a cohort also 0 (unsupervised); by "
        "default 0, 1, 2, 4 and all.",
    )
    max_subsets: int = Field(default=6, ge=1, description="Choices of tasks for each number, at most.")
    cohort: CohortSettings = CohortSettings()


class EvaluatorKeywords(TypedDict, total=False):
    """The fields of :class:`EvaluatorSettings`, as keywords of a Python call."""

    out: GivenPath
    sets: Sequence[TileSetSettings | Mapping[str, Any]]
    base: Mapping[str, Any]
    encoders: str | Sequence[str]
    seeds: int
    linear: Literal["logistic", "svm"]
    equal_code_size: int | None
    resamples: int
    cache: GivenPath | None
    cluster: str | None


class TransferKeywords(EvaluatorKeywords, total=False):
    """The fields of :class:`TransferSettings`, as keywords of a Python call."""

    variants: Mapping[str, Mapping[str, Any]]
    grid: Mapping[str, Sequence[Any]]
    selection_seeds: int
    modes: Sequence[Literal["frozen", "mlp", "finetuned", "scratch", "joint"]]
    finetune: Mapping[str, Any]
    scratch: Mapping[str, Any]


class StudyTasksKeywords(EvaluatorKeywords, total=False):
    """The fields of :class:`StudyTasksSettings`, as keywords of a Python call."""

    seeds: int
    counts: Sequence[int]
    max_subsets: int
    cohort: CohortSettings | Mapping[str, Any] | str
