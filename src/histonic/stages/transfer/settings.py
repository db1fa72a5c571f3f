"""Settings of 'histonic encoder transfer' and 'histonic encoder tasks'."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from histonic.core.settings import Settings
from histonic.data.tilesets.plan import TileSetSettings


class EvaluatorSettings(Settings):
    """How encoders are compared on tile sets that they never saw."""

    out: Path = Field(description="Folder for the table, the figure and all trained encoders.")
    sets: tuple[TileSetSettings, ...] = Field(min_length=2, description="Tile sets, a list in the YAML file.")
    base: dict[str, Any] = Field(
        {}, description="Settings of 'histonic encoder train' for every encoder trained here."
    )
    encoders: tuple[str, ...] = Field(
        ("colour",), description="Encoders to compare with: names from 'histonic list', .safetensors files."
    )
    seeds: int = Field(3, ge=1, description="Trainings of each encoder, by seeds from that of base on.")
    linear: Literal["logistic", "svm"] = Field("logistic", description="Linear model on frozen codes.")
    equal_code_size: int | None = Field(
        None, ge=1, description="Larger codes are reduced to so many principal components."
    )
    resamples: int = Field(
        2000, ge=100, le=1_000_000, description="Resamples of the groups for 95 % intervals."
    )
    cache: Path | None = Field(None, description="Folder for decoded tiles; by default inside --out.")


class TransferSettings(EvaluatorSettings):
    """Each task left out in turn: encoders trained on the others, evaluated on it."""

    variants: dict[str, dict[str, Any]] = Field(
        {"multitask": {}}, description="Encoders to train: name and what it changes in base."
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        {}, description="Settings to choose among: key (multitask.head_rate) and values."
    )
    selection_seeds: int = Field(1, ge=1, description="Seeds by which settings are chosen from the grid.")
    modes: tuple[Literal["frozen", "mlp", "finetuned", "scratch"], ...] = Field(
        ("frozen", "finetuned", "scratch"),
        min_length=1,
        description="frozen: codes with a linear model; mlp: codes with a dense layer of 256, as in the NIC "
        "paper; finetuned; scratch.",
    )
    finetune: dict[str, Any] = Field({}, description="What fine-tuning changes in base.")
    scratch: dict[str, Any] = Field({}, description="What training from scratch changes in base.")


class StudyTasksSettings(EvaluatorSettings):
    """Encoders trained on 1, 2, 3 ... tasks, evaluated on the tasks left out."""

    seeds: int = Field(1, ge=1, description="Trainings on each choice of tasks.")
    counts: tuple[int, ...] = Field((), description="Numbers of tasks; by default 1 to all but one.")
    max_subsets: int = Field(6, ge=1, description="Choices of tasks for each number, at most.")
