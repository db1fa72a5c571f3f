"""The settings of every stage: one model each, shared by the Python call, the YAML file and the command line.

They stand in a file of their own, apart from the stages, so that ``--help`` loads neither torch nor
a slide library.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from histonic.core.errors import SettingsError

S = TypeVar("S", bound="Settings")
TableStyle = Literal["auto", "histonic", "clam", "trident", "stamp", "pathobench", "slide2vec"]
Precision = Literal["32", "bf16"]


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def make_settings(model: type[S], values: Mapping[str, Any], source: str = "the settings") -> S:
    """Build a settings model; an error names the key, what was found, and the nearest known key.

    Args:
        model: The settings model.
        values: Keys and values, as from a YAML file or a command line.
        source: Where the values came from, for the message.

    Raises:
        SettingsError: A key is unknown or missing, or a value cannot be used.
    """
    unknown = [key for key in values if key not in model.model_fields]
    if unknown:
        near = difflib.get_close_matches(unknown[0], model.model_fields, n=1)
        raise SettingsError(
            f"Read {source}.",
            f"There is no setting {unknown[0]!r}.",
            f"Did you mean {near[0]!r}?" if near else f"Known settings: {', '.join(model.model_fields)}.",
        )
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "settings"
        found = "nothing" if first["type"] == "missing" else f"{first.get('input')!r}"
        raise SettingsError(
            f"Read {source}.", f"{key} is {found}: {first['msg']}.", f"Correct the value of {key}."
        ) from error


class TissueSettings(Settings):
    """What counts as tissue."""

    mpp: float = Field(8.0, gt=0, description="Microns per pixel at which tissue is looked for.")
    min_speck_um2: float = Field(20_000, ge=0, description="Pieces of tissue smaller than this are dropped.")
    max_hole_um2: float = Field(40_000, ge=0, description="Holes smaller than this are filled.")
    min_cell_share: float = Field(0.25, gt=0, le=1, description="Cells with less tissue than this are empty.")


class CompressSettings(Settings):
    """Slides to compressed maps."""

    slides: tuple[Path, ...] = Field(
        (), description="Slide files, folders, or a CSV with path, mpp, mask, slide_id."
    )
    encoder: str = Field(
        "histonic-mtl", description="Encoder: a name from 'histonic list' or a .safetensors file."
    )
    out: Path = Field(description="Store: the folder that will hold one map per slide.")
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    masks: Path | None = Field(
        None, description="Folder with tissue masks named like the slides (.png, .tif, .geojson)."
    )
    reader: str | None = Field(None, description="Use this reader only (see 'histonic list').")
    orientations: Literal[1, 8] = Field(1, description="8: also encode turned and mirrored tiles.")
    batch: int = Field(256, ge=1, description="Tiles encoded at a time.")
    precision: Precision = Field("32", description="Arithmetic of the encoder.")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    shard: str = Field("1/1", pattern=r"^\d+/\d+$", description="i/n: the i-th of n parts of the slide list.")
    tissue: TissueSettings = TissueSettings()


def _listed(value: Any) -> Any:
    """Lists of a YAML file as the command line has them: joined by commas."""
    if not isinstance(value, Mapping):
        return value
    return {
        key: ",".join(str(each) for each in values) if isinstance(values, list | tuple) else str(values)
        for key, values in value.items()
    }


WhoseTable = Annotated[TableStyle, Field(description="Whose column names the table uses.")]
OwnColumns = Annotated[
    dict[str, str], Field(description="Own column names, as canonical=column (patient_id=case).")
]
SlideTable = Annotated[
    Path | None, Field(description="Second table that joins patients and slides, if labels has none.")
]
EventCoding = Annotated[
    Literal["event", "censored"],
    Field(description="What 1 means in the event column; 'censored' inverts it, explicitly."),
]
"""How a label table is read: the same four settings for every stage that reads one."""
SEARCHABLE = ("aggregator", "learning_rate", "weight_decay", "batch", "crop_cells")


class TrainSettings(Settings):
    """Maps and a label table to a cross-validated model."""

    store: Path = Field(description="Store made by 'histonic compress'.")
    labels: Path = Field(description="Label table: CSV, TSV, Excel or Parquet.")
    target: tuple[str, ...] = Field(
        min_length=1, description="NAME[:KIND[:COLUMNS]]; repeat for several targets at once."
    )
    out: Path = Field(description="Run: the folder for predictions, bundle and report.")
    table_style: WhoseTable = "auto"
    columns: OwnColumns = {}
    slide_table: SlideTable = None
    event_coding: EventCoding = "event"
    aggregator: str = Field("convnet", description="Slide-level network (see 'histonic list').")
    split: Literal["auto", "random", "site", "table"] = Field(
        "auto",
        description="site: no site is both trained on and tested; table: its column 'fold' or 'split' "
        "(train, val, test); auto: that if there is one, else random.",
    )
    folds: int = Field(4, ge=3, description="Parts of the rotation: 1 test, 1 validation, the rest train.")
    repeats: int = Field(1, ge=1, description="Cross-validations, each with a split of its own.")
    search: Annotated[dict[str, str], BeforeValidator(_listed)] = Field(
        {},
        description="Settings to choose inside each fold, as KEY=VALUE,VALUE; keys: "
        f"{', '.join(SEARCHABLE)}.",
    )
    search_trials: int | None = Field(
        None, ge=1, description="Combinations to try, drawn at random; by default all of them."
    )
    search_folds: int = Field(
        1, ge=1, description="1: chosen by the fold's validation patients; more: by an inner rotation."
    )
    initialisations: int = Field(2, ge=1, description="Networks per fold; their predictions are averaged.")
    fusion: Literal["late", "early"] = Field(
        "late",
        description="Slides of one patient. late: predicted one by one and averaged; early: side by side "
        "in one map.",
    )
    crop_cells: int = Field(400, ge=8, description="Side of a training crop, in cells, at most.")
    batch: int = Field(16, ge=2, description="Maps in a batch.")
    max_epochs: int = Field(200, ge=1, description="Epochs at most; training stops early.")
    risk_sets: Literal["cohort", "batch"] = Field(
        "cohort",
        description="Survival: every step sees all training patients, or only those of a batch.",
    )
    hazard_intervals: int = Field(
        0,
        ge=0,
        description="Survival: 0: one log risk, by Cox; 2 or more: hazards in so many intervals of time.",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="First learning rate, lowered on plateaus to 1e-5; by default the aggregator's.",
    )
    weight_decay: float = Field(2e-5, ge=0, description="Pull of the weights towards zero, times their size.")
    test_crops: int = Field(10, ge=1, description="Crops per map at test time, each in 8 orientations.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    devices: int = Field(1, ge=1, description="Number of devices (processes on a CPU).")
    precision: Precision = Field("32", description="Arithmetic of the network.")
    workers: int = Field(
        1, ge=1, description="Networks trained side by side, each in a process of its own (CPU only)."
    )


class ExtractSettings(Settings):
    """Slides and annotations to a set of tiles."""

    slides: tuple[Path, ...] = Field(
        (), description="Slide files, folders, or a CSV with path, mpp, mask, slide_id."
    )
    annotations: Path | None = Field(
        None,
        description="Folder with GeoJSON, ASAP XML or masks named like the slides, or a file for one slide; "
        "without it tissue gives tiles without labels.",
    )
    out: Path = Field(description="Set: the folder for tiles, tiles.csv and set.yaml.")
    labels: dict[str, str] = Field(
        {}, description="Label of a class, group or mask code, as found=label (_0=tumour, 1=stroma)."
    )
    exclude: tuple[str, ...] = Field(
        (),
        description="Class whose area is taken out of all labels and of the background; repeat for several.",
    )
    skip: tuple[str, ...] = Field(
        (), description="Class treated as if it had not been drawn; repeat for several."
    )
    tile_px: int = Field(128, ge=8, description="Side of a tile, in pixels.")
    mpp: float = Field(0.5, gt=0, description="Microns per pixel of the tiles.")
    slide_mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    stride_px: int | None = Field(
        None, ge=1, description="Step from tile to tile, in pixels of the tiles; by default tiles touch."
    )
    min_share: float = Field(
        0.75, gt=0, le=1, description="Tiles are cut where one label covers at least this share."
    )
    on_tissue: bool = Field(
        False, description="Labelled tiles, too, must hold tissue; --tissue-... says how much."
    )
    background_label: str | None = Field(
        None, description="Label of tiles on tissue that touch nothing drawn; by default none are cut."
    )
    unannotated: Literal["refuse", "background"] = Field(
        "refuse", description="Slides without annotation file: list as failed, or all tissue is background."
    )
    point_distance_um: float = Field(
        30.0, ge=0, description="Background tiles are at least this far from any point, from border to point."
    )
    max_per_class_per_slide: int | None = Field(
        None, ge=1, description="Tiles of a label from one slide, at most; drawn at random by the seed."
    )
    group_column: str | None = Field(
        None,
        description="Column of the slide table that names the patient; by default each slide is a group.",
    )
    group_pattern: str | None = Field(
        None, description="Regular expression whose first group, in the slide's name, is the patient."
    )
    val_share: float = Field(0.0, ge=0, lt=1, description="Share of the groups for validation.")
    test_share: float = Field(0.0, ge=0, lt=1, description="Share of the groups for the test.")
    licence: str = Field("unknown", description="Licence of the slides and so of the tiles.")
    reader: str | None = Field(None, description="Use this reader only (see 'histonic list').")
    seed: int = Field(0, ge=0, description="Seed of the sample and the split.")
    tissue: TissueSettings = TissueSettings()


class TileSetSettings(Settings):
    """One set of labelled tiles: where it is, what is known of it, and how it is used."""

    name: str = Field(description="Name of the task in results.")
    path: Path = Field(description="Folder per class, folder with tiles.csv, CSV, or PatchCamelyon .h5.")
    kind: Literal["binary", "multiclass", "ordinal", "regression"] | None = Field(
        None, description="Kind of target; by default binary for two classes, else multiclass."
    )
    label: tuple[str, ...] = Field(("label",), description="Label column; several for several labels a tile.")
    classes: tuple[str, ...] = Field((), description="Class names in order; needed for ordinal.")
    mpp: float | None = Field(None, gt=0, description="Microns per pixel, as its source states it.")
    assumed_mpp: float | None = Field(
        None, gt=0, description="Microns per pixel that is assumed where the source states none."
    )
    scale: Literal["mpp", "fill"] = Field(
        "mpp", description="fill: the whole tile fills the encoder's tile, whatever its mpp."
    )
    group: str = Field("group", description="Column of the group: patient, slide or field.")
    split: str = Field("split", description="Column of the split: train, val, test.")
    path_column: str = Field("path", description="Column of the file.")
    licence: str = Field("unknown", description="Licence of the tiles, for the model card.")
    duplicates: Literal["refuse", "drop"] = Field(
        "refuse", description="Identical tiles in two splits or classes: refuse, or drop."
    )
    related: str = Field("", description="Related sets share this word; they are left out together.")


class MultitaskSettings(Settings):
    """How tasks share one trunk (Mormont et al. 2020)."""

    balance: bool = Field(True, description="Draw the classes of a task equally often.")
    rescale: bool = Field(True, description="Multiply the gradients of a task's head by B / B_i.")
    head_rate: float = Field(1.0, gt=0, description="Learning rate of the heads, times that of the trunk.")
    warmup_epochs: int = Field(0, ge=0, description="First epochs, with a frozen trunk, heads at 1e-3.")
    norm_fix: bool = Field(
        False, description="Fit the batch normalisation of given weights to the tiles before training."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the code hidden from the heads.")
    contrast: float = Field(
        0.0, ge=0, description="Weight of the self-supervised NT-Xent loss beside the tasks."
    )
    appearance: float = Field(
        0.0, ge=0, description="Weight of a self-supervised task: statistics of colour, stain and texture."
    )


OBJECTIVES = ("multitask", "vae", "contrastive", "ntxent", "bigan")


class TrainEncoderSettings(Settings):
    """Tiles to a trained encoder."""

    objective: Literal["multitask", "vae", "contrastive", "ntxent", "bigan"] = Field(
        "multitask", description="What the encoder is trained by."
    )
    out: Path = Field(description="Run: the folder for encoder, model card, curves and pictures.")
    name: str | None = Field(None, description="The encoder's own name; by default that of the folder.")
    sets: tuple[TileSetSettings, ...] = Field((), description="Tile sets, a list in the YAML file.")
    tiles: tuple[Path, ...] = Field((), description="Tile sets that need no more words than --mpp.")
    mpp_of_tiles: float | None = Field(None, gt=0, description="Microns per pixel of --tiles.")
    slides: tuple[Path, ...] = Field((), description="Slides whose tissue gives unlabelled tiles.")
    tiles_per_slide: int = Field(500, ge=1, description="Unlabelled tiles taken from a slide, at most.")
    trunk: str | None = Field(
        None,
        description="nic, nic-appearance, tellez2019 or timm:MODEL; by default the objective's own.",
    )
    weights: Path | None = Field(None, description="Weights to begin with.")
    code_layer: Literal["given", "pooled"] = Field(
        "given", description="pooled: begin with the mean of the last filters as code (trunk nic)."
    )
    code_size: int = Field(128, ge=1, description="D, numbers in a code.")
    tile_px: int = Field(128, ge=16, description="Side of the encoder's tiles, in pixels.")
    mpp: float = Field(0.5, gt=0, description="Microns per pixel of the encoder's tiles.")
    augment: str = Field(
        "hed-light",
        description="none, basic, morphology, bc, hsv-light, hsv-strong, hed-light or hed-strong.",
    )
    batch: int = Field(64, ge=2, description="Tiles in a batch.")
    steps: int = Field(100, ge=1, description="Steps in an epoch.")
    max_epochs: int = Field(40, ge=1, description="Epochs at most.")
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better validation loss until the rate falls or training ends.",
    )
    learning_rate: float | None = Field(
        None, gt=0, description="First learning rate; by default the paper's."
    )
    decay: Literal["plateau", "cosine", "constant"] | None = Field(
        None, description="How the learning rate falls; by default as the objective's paper has it."
    )
    optimizer: Literal["adam", "adamw", "sgd"] | None = Field(None, description="By default the objective's.")
    weight_decay: float | None = Field(None, ge=0, description="By default the objective's.")
    multitask: MultitaskSettings = MultitaskSettings()
    cache: Path | None = Field(None, description="Folder for decoded tiles; by default inside the run.")
    licence: str = Field("Apache-2.0", description="Licence of the trained weights, for the model card.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    devices: int = Field(1, ge=1, description="Number of devices (processes on a CPU).")
    precision: Literal["auto", "32", "bf16"] = Field(
        "auto", description="Arithmetic of training; auto: bf16 where the device computes it fast."
    )


class JudgeSettings(Settings):
    """How encoders are compared on tile sets that they never saw."""

    out: Path = Field(description="Folder for the table, the figure and all trained encoders.")
    sets: tuple[TileSetSettings, ...] = Field(min_length=2, description="Tile sets, a list in the YAML file.")
    base: dict[str, Any] = Field(
        {}, description="Settings of 'histonic train-encoder' for every encoder trained here."
    )
    encoders: tuple[str, ...] = Field(
        ("colour",), description="Encoders to compare with: names from 'histonic list', .safetensors files."
    )
    seeds: int = Field(3, ge=1, description="Trainings of each encoder, by seeds from that of base on.")
    linear: Literal["logistic", "svm"] = Field("logistic", description="Linear model on frozen codes.")
    equal_code_size: int | None = Field(
        None, ge=1, description="Larger codes are reduced to so many principal components."
    )
    resamples: int = Field(2000, ge=100, description="Resamples of the groups for 95 % intervals.")
    cache: Path | None = Field(None, description="Folder for decoded tiles; by default inside --out.")


class TransferSettings(JudgeSettings):
    """Each task left out in turn: encoders trained on the others, judged on it."""

    variants: dict[str, dict[str, Any]] = Field(
        {"multitask": {}}, description="Encoders to train: name and what it changes in base."
    )
    grid: dict[str, tuple[Any, ...]] = Field(
        {}, description="Settings to choose among: key (multitask.head_rate) and values."
    )
    selection_seeds: int = Field(1, ge=1, description="Seeds by which settings are chosen from the grid.")
    modes: tuple[Literal["frozen", "finetuned", "scratch"], ...] = Field(
        ("frozen", "finetuned", "scratch"),
        description="frozen codes with a linear model, fine-tuning, training from scratch.",
    )
    finetune: dict[str, Any] = Field({}, description="What fine-tuning changes in base.")
    scratch: dict[str, Any] = Field({}, description="What training from scratch changes in base.")


class StudyTasksSettings(JudgeSettings):
    """Encoders trained on 1, 2, 3 ... tasks, judged on the tasks left out."""

    seeds: int = Field(1, ge=1, description="Trainings on each choice of tasks.")
    counts: tuple[int, ...] = Field((), description="Numbers of tasks; by default 1 to all but one.")
    max_subsets: int = Field(6, ge=1, description="Choices of tasks for each number, at most.")


class MosaicSettings(Settings):
    """Labelled tiles to slides of real tissue whose right answer is known."""

    tiles: Path | None = Field(None, description="Tile set: folder per class, tiles.csv, CSV, .h5.")
    mpp_of_tiles: float | None = Field(None, gt=0, description="Microns per pixel of --tiles.")
    scale_of_tiles: Literal["mpp", "fill"] = Field(
        "mpp", description="fill: each tile fills a cell whatever its mpp."
    )
    set: TileSetSettings | None = Field(None, description="The same with all that can be said, in YAML.")
    out: Path = Field(description="Folder for slides/, masks/ (GeoJSON), labels.csv and truth.csv.")
    kind: Literal["needle", "fraction", "arrangement", "survival"] = Field(
        description="needle: is a lesion there; fraction: its share; arrangement: in the core or at the rim; "
        "survival: hazard from share and arrangement."
    )
    lesion: tuple[str, ...] = Field((), description="Classes shown as lesion; by default the last one.")
    background: tuple[str, ...] = Field((), description="Classes shown elsewhere; by default all others.")
    patients: int = Field(60, ge=2, description="Patients made of training and validation tiles.")
    test_patients: int = Field(40, ge=0, description="Patients made of test tiles.")
    lesion_share: float = Field(0.05, gt=0, lt=1, description="Share of the tissue of a lesion (needle).")
    most_slides: int = Field(1, ge=1, description="Slides a patient at most; 1 to so many are drawn.")
    cells: int = Field(20, ge=6, description="Tiles along the side of a slide, glass included.")
    tile_px: int = Field(128, ge=16, description="Side of a tile on the slide, in pixels.")
    mpp: float = Field(0.5, gt=0, description="Microns per pixel of the slides.")
    sites: int = Field(3, ge=1, description="Sites, each with its shade of stain.")
    site_effect: float = Field(
        0.0, ge=0, le=1, description="Chance that the site follows from the outcome; 0 plants no confounding."
    )
    stain_variation: float = Field(1.0, ge=0, description="Spread of the stain; 0 leaves the tiles' colours.")
    seam_px: int = Field(8, ge=0, description="Pixels on either side of a seam in which tiles are blended.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    cache: Path | None = Field(None, description="Folder for decoded tiles; by default inside --out.")


class AuditSettings(Settings):
    """Maps and a label table to what but the tissue could explain the labels."""

    store: Path = Field(description="Store made by 'histonic compress'.")
    labels: Path = Field(description="Label table: CSV, TSV, Excel or Parquet.")
    target: tuple[str, ...] = Field(min_length=1, description="NAME[:KIND[:COLUMNS]]; repeat for several.")
    out: Path | None = Field(None, description="Folder for audit.json, audit.csv and confounders.csv.")
    confounder: tuple[str, ...] = Field(
        (), description="Further column of the table to be tested (batch, age ...); repeat for several."
    )
    other: dict[str, str] = Field(
        {}, description="Cohort that must share nothing: a name and its store, run or label table."
    )
    table_style: WhoseTable = "auto"
    columns: OwnColumns = {}
    slide_table: SlideTable = None
    event_coding: EventCoding = "event"
    permutations: int = Field(2000, ge=200, description="Exchanges of the targets, for the p-values.")
    seed: int = Field(0, ge=0, description="Seed of the exchanges.")


class ReportSettings(Settings):
    """A run to report.html and report.json."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    resamples: int = Field(2000, ge=100, description="Resamples of the patients for the 95 % intervals.")
    subgroups: tuple[str, ...] = Field(
        (),
        description="Column of the label table by whose values patients are also scored apart; repeatable.",
    )
    clinical: tuple[str, ...] = Field(
        (), description="Column of the label table for a clinical model to compare with; repeat for several."
    )
    labels: Path | None = Field(None, description="Label table of --subgroups and --clinical, if it moved.")


class CompareSettings(Settings):
    """Two or more runs to their differences."""

    runs: tuple[Path, ...] = Field((), description="Run folders, two or more.")
    target: tuple[str, ...] = Field(
        (), description="Target to compare, repeat for several; by default all that the runs share."
    )
    out: Path | None = Field(None, description="Folder for comparison.md, .csv and .json.")
    resamples: int = Field(2000, ge=100, description="Resamples of the patients for the 95 % intervals.")
    permutations: int = Field(2000, ge=100, description="Exchanges of predictions for the p-values.")
    seed: int = Field(0, ge=0, description="Seed of resamples and exchanges.")


class ExternalSettings(Settings):
    """A finished run tested on another cohort."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    store: Path = Field(description="Store of the other cohort, compressed by the same encoder.")
    labels: Path = Field(description="Its label table: CSV, TSV, Excel or Parquet.")
    name: str = Field("external", pattern=r"^[\w][\w .-]*$", description="What the report calls the cohort.")
    target: tuple[str, ...] = Field(
        (), description="NAME[:KIND[:COLUMNS]] where its columns differ from those of the run's own table."
    )
    table_style: WhoseTable = "auto"
    columns: OwnColumns = {}
    slide_table: SlideTable = None
    event_coding: EventCoding = "event"
    device: str = Field("auto", description="auto, cpu or cuda.")


class ExplainSettings(Settings):
    """A run to maps of what speaks for its predictions."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    slide: tuple[str, ...] = Field(
        (),
        description="Slide to explain: its name, or a map (.zarr); repeat for several. "
        "By default the slides of the most and least certain patients.",
    )
    all_slides: bool = Field(False, description="Explain every slide of the cohort.")
    target: tuple[str, ...] = Field((), description="Target to explain; by default all.")
    method: Literal["integrated-gradients", "gradcam", "occlusion", "attention"] = Field(
        "integrated-gradients", description="How values of cells are found."
    )
    output: str | None = Field(
        None,
        description="Class that cells speak for; by default the predicted one, or the positive one of two.",
    )
    patients: int = Field(
        2, ge=1, description="Most certain, and as many least certain, patients of each target."
    )
    store: Path | None = Field(None, description="Store of the maps, if it has moved since the training.")
    slides_at: Path | None = Field(None, description="Folder of the slide files, if they have moved.")
    masks: Path | None = Field(
        None, description="Folder with annotated lesions named like the slides (GeoJSON, XML, PNG, TIFF)."
    )
    lesion: tuple[str, ...] = Field(
        (), description="Class of the annotations that is lesion; by default all."
    )
    checks: bool = Field(True, description="Deletion and insertion curves, and randomised weights.")
    tiles: int = Field(16, ge=1, le=64, description="Cells of highest, and of lowest, value that are shown.")
    seed: int = Field(0, ge=0, description="Seed of the random orders and the randomised weights.")


class PredictSettings(Settings):
    """A bundle and slides to predictions."""

    bundle: Path = Field(description="Bundle folder of a run (RUN/bundle).")
    slides: tuple[Path, ...] = Field((), description="Slide files, folders, a CSV, or maps (.zarr).")
    out: Path = Field(Path("predictions.csv"), description="Predictions as CSV, one row a slide or patient.")
    patients: Path | None = Field(
        None, description="Table with patient_id and slide_id: one row a patient, from all of his slides."
    )
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    device: str = Field("auto", description="auto, cpu or cuda.")


class DoctorSettings(Settings):
    """Slides and a label table to a list of what is wrong, before any compute."""

    slides: tuple[Path, ...] = Field((), description="Slide files, folders, or a CSV with path, mpp, mask.")
    labels: Path | None = Field(None, description="Label table to check against the slides.")
    target: tuple[str, ...] = Field((), description="Targets to check, as for 'histonic train'.")
    table_style: WhoseTable = "auto"
    columns: OwnColumns = {}
    slide_table: SlideTable = None
    event_coding: EventCoding = "event"
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )


class ImportSettings(Settings):
    """A released Keras encoder to histonic's own file."""

    file: Path = Field(description="Released encoder (.h5).")
    out: Path = Field(description="Where to write it (.safetensors).")


class DemoSettings(Settings):
    """A simulated cohort through compress, train and report."""

    out: Path = Field(Path("histonic-demo"), description="Folder for slides, store and run.")
    patients: int = Field(80, ge=12, description="Simulated patients.")
    encoder: str = Field("histonic-mtl", description="Encoder for the demo.")
    seed: int = Field(0, ge=0, description="Seed of the cohort and the training.")


def resolve(model: type[S], settings: S | None, values: Mapping[str, Any]) -> S:
    """The settings of a Python call: a ready model, or keywords, or a model with some keywords changed.

    Raises:
        SettingsError: A keyword is unknown or has a value that cannot be used.

    Example:
        >>> resolve(TissueSettings, None, {"mpp": 4}).mpp
        4.0
    """
    given = {} if settings is None else {key: getattr(settings, key) for key in settings.model_fields_set}
    return make_settings(model, {**given, **values}, f"the keywords of {model.__name__}")
