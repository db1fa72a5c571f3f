"""The settings of every stage: one model each, shared by the Python call, the YAML file and the command line.

They stand in a file of their own, apart from the stages, so that ``--help`` loads neither torch nor
a slide library.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
    encoder: str = Field("colour", description="Encoder: a name from 'histonic list' or a .safetensors file.")
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


class TrainSettings(Settings):
    """Maps and a label table to a cross-validated model."""

    store: Path = Field(description="Store made by 'histonic compress'.")
    labels: Path = Field(description="Label table: CSV, TSV, Excel or Parquet.")
    target: tuple[str, ...] = Field(
        min_length=1, description="NAME[:KIND[:COLUMNS]]; repeat for several targets at once."
    )
    out: Path = Field(description="Run: the folder for predictions, bundle and report.")
    table_style: TableStyle = Field("auto", description="Whose column names the table uses.")
    columns: dict[str, str] = Field(
        {}, description="Own column names, as canonical=column (patient_id=case)."
    )
    slide_table: Path | None = Field(
        None, description="Second table that joins patients and slides, if labels has none."
    )
    event_coding: Literal["event", "censored"] = Field(
        "event", description="What 1 means in the event column; 'censored' inverts it, explicitly."
    )
    aggregator: str = Field("convnet", description="Slide-level network (see 'histonic list').")
    folds: int = Field(4, ge=3, description="Parts of the rotation: 1 test, 1 validation, the rest train.")
    initialisations: int = Field(2, ge=1, description="Networks per fold; their predictions are averaged.")
    crop_cells: int = Field(400, ge=8, description="Side of a training crop, in cells, at most.")
    batch: int = Field(16, ge=2, description="Maps in a batch.")
    max_epochs: int = Field(200, ge=1, description="Epochs at most; training stops early.")
    learning_rate: float = Field(1e-2, gt=0, description="First learning rate, lowered on plateaus to 1e-5.")
    test_crops: int = Field(10, ge=1, description="Crops per map at test time, each in 8 orientations.")
    seed: int = Field(0, ge=0, description="Seed of everything random.")
    device: str = Field("auto", description="auto, cpu or cuda.")
    devices: int = Field(1, ge=1, description="Number of devices (processes on a CPU).")
    precision: Precision = Field("32", description="Arithmetic of the network.")


class ReportSettings(Settings):
    """A run to report.html and report.json."""

    run: Path = Field(description="Run folder made by 'histonic train'.")
    resamples: int = Field(2000, ge=100, description="Resamples of the patients for the 95 % intervals.")


class PredictSettings(Settings):
    """A bundle and slides to predictions."""

    bundle: Path = Field(description="Bundle folder of a run (RUN/bundle).")
    slides: tuple[Path, ...] = Field((), description="Slide files, folders, a CSV, or maps (.zarr).")
    out: Path = Field(Path("predictions.csv"), description="Predictions as CSV, one row a slide.")
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    device: str = Field("auto", description="auto, cpu or cuda.")


class DoctorSettings(Settings):
    """Slides and a label table to a list of what is wrong, before any compute."""

    slides: tuple[Path, ...] = Field((), description="Slide files, folders, or a CSV with path, mpp, mask.")
    labels: Path | None = Field(None, description="Label table to check against the slides.")
    target: tuple[str, ...] = Field((), description="Targets to check, as for 'histonic train'.")
    table_style: TableStyle = Field("auto", description="Whose column names the table uses.")
    columns: dict[str, str] = Field({}, description="Own column names, as canonical=column.")
    slide_table: Path | None = Field(None, description="Second table that joins patients and slides.")
    event_coding: Literal["event", "censored"] = Field(
        "event", description="What 1 means in the event column."
    )
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
    encoder: str = Field("colour", description="Encoder for the demo.")
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
