"""Settings of 'histonic train'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from histonic.core.calls import Calls, PointNames
from histonic.core.places.frames import GivenTable, TableLike
from histonic.core.places.urls import GivenPlace, PlaceLike
from histonic.core.settings import CLUSTER, Cluster, GivenPath, Precision
from histonic.core.task import MOST_TARGETS
from histonic.data.tables.settings import TableKeywords, TableSettings


def _listed(value: Any) -> Any:
    """Lists of a YAML file as the command line has them: joined by commas."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: ",".join(str(each) for each in values) if isinstance(values, list | tuple) else str(values)
        for key, values in value.items()
    }


SEARCHABLE = ("aggregator", "learning_rate", "weight_decay", "batch", "crop_cells", "linear_heads")


class TrainSettings(TableSettings):
    """Maps and a label table to a cross-validated model."""

    store: GivenPlace = Field(description="Store made by 'histonic compress': a folder, or s3://... .")
    labels: GivenTable = Field(description="Label table: CSV, TSV, Excel or Parquet.")
    target: tuple[str, ...] = Field(
        min_length=1,
        max_length=MOST_TARGETS,
        description="NAME[:KIND[:COLUMNS]]; repeat for several targets at once.",
    )
    out: Path = Field(description="Run: the folder for predictions, bundle and report.")
    aggregator: str = Field(default="convnet", description="Slide-level network (see 'histonic list').")
    linear_heads: Literal["ridge", "svm"] = Field(
        default="ridge",
        description="Heads of aggregators that learn nothing (votes, mean, max): ridge, or a linear support "
        "vector machine with calibrated probabilities.",
    )
    quick: bool = Field(
        default=False,
        description="A first look in minutes: linear models of each slide's mean code instead of slide "
        "networks, on the same folds; every output says so.",
    )
    split: Literal["auto", "random", "site", "table"] = Field(
        default="auto",
        description="site: no site is both trained on and tested; table: its column 'fold' or 'split' "
        "(train, val, test); auto: that if there is one, else random.",
    )
    splits: Path | None = Field(
        default=None,
        description="Official split in files of its own: CLAM's splits_0.csv (columns train, val, test), or "
        "their folder.",
    )
    folds: int = Field(
        default=4,
        ge=3,
        le=1_000,
        description="Cross-validation folds: in turn 1 tests, 1 validates, the rest train.",
    )
    repeats: int = Field(
        default=1, ge=1, le=1_000, description="Cross-validations, each with a split of its own."
    )
    search: Annotated[dict[str, str], BeforeValidator(_listed)] = Field(
        default={},
        description="Settings to choose inside each fold, as KEY=VALUE,VALUE; keys: "
        f"{', '.join(SEARCHABLE)}.",
    )
    search_trials: int | None = Field(
        default=None, ge=1, description="Combinations to try, drawn at random; by default all of them."
    )
    search_folds: int = Field(
        default=1,
        ge=1,
        le=1_000,
        description="1: chosen by the fold's validation patients; more: by an inner rotation.",
    )
    initialisations: int = Field(
        default=2, ge=1, le=1_000, description="Networks per fold; their predictions are averaged."
    )
    fusion: Literal["late", "early"] = Field(
        default="late",
        description="Slides of one patient. late: predicted one by one and averaged; early: side by side "
        "in one map.",
    )
    crop_cells: int = Field(
        default=400, ge=8, le=10_000, description="Side of a training crop, in cells, at most."
    )
    stream_cells: int | None = Field(
        default=None,
        ge=8,
        description="Maps with a longer side, in cells, run through the network's convolutions band by band, "
        "in bounded memory, with the same result (aggregator streaming; convnet: where nothing is learned); "
        "by default the aggregator's own.",
    )
    batch: int = Field(default=16, ge=2, le=65_536, description="Maps in a batch.")
    max_epochs: int = Field(
        default=200, ge=1, le=1_000_000, description="Epochs at most; training stops early."
    )
    risk_sets: Literal["cohort", "batch"] = Field(
        default="cohort",
        description="Survival: every step sees all training patients, or only those of a batch.",
    )
    hazard_intervals: int = Field(
        default=0,
        ge=0,
        le=1_000,
        description="Survival: 0: one log risk, by Cox; 2 or more: hazards in so many intervals of time.",
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        description="First learning rate, lowered on plateaus to 1e-5; by default the aggregator's.",
    )
    weight_decay: float = Field(default=2e-5, ge=0, description="Weight decay (L2 penalty).")
    test_crops: int = Field(
        default=10, ge=1, le=10_000, description="Crops per map at test time, each in 8 orientations."
    )
    calls: Calls = Field(
        default="probable",
        description="Which class is predicted. probable: the most probable one (ordinal: the median); "
        "balanced: the one that is most probable against its share among the training patients; of two "
        "classes also an operating point.",
    )
    operating_point: PointNames = Field(
        default=("youden", "sensitivity=0.95"),
        description="Thresholds between two classes, chosen on validation patients: youden, "
        "sensitivity=SHARE, specificity=SHARE; or given: threshold=SHARE, cost=FP:FN.",
    )
    primary: tuple[str, ...] = Field(
        default=(),
        description="Metric that leads a target, TARGET=METRIC: the one that is held against chance; repeat "
        "for several. By default AUROC, quadratic weighted kappa, Spearman correlation or C-index.",
    )
    private: bool = Field(
        default=False,
        description="Keep paths and file names out of the run (explain and report need --store then).",
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    device: str = Field(default="auto", description="auto, cpu or cuda.")
    devices: int = Field(default=1, ge=1, le=256, description="Number of devices (processes on a CPU).")
    precision: Precision = Field(default="32", description="Arithmetic of the network.")
    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Networks trained side by side, each in a process of its own (CPU only).",
    )
    cluster: Cluster = CLUSTER


class TrainKeywords(TableKeywords, total=False):
    """The fields of :class:`TrainSettings`, as keywords of a Python call."""

    store: PlaceLike
    labels: TableLike
    target: str | Sequence[str]
    out: GivenPath
    aggregator: str
    linear_heads: Literal["ridge", "svm"]
    quick: bool
    split: Literal["auto", "random", "site", "table"]
    splits: GivenPath | None
    folds: int
    repeats: int
    search: Mapping[str, Any]
    search_trials: int | None
    search_folds: int
    initialisations: int
    fusion: Literal["late", "early"]
    crop_cells: int
    stream_cells: int | None
    batch: int
    max_epochs: int
    risk_sets: Literal["cohort", "batch"]
    hazard_intervals: int
    learning_rate: float | None
    weight_decay: float
    test_crops: int
    calls: str
    operating_point: str | Sequence[str]
    primary: str | Sequence[str]
    private: bool
    seed: int
    device: str
    devices: int
    precision: Precision
    workers: int
    cluster: str | None
