"""Settings of 'histonic init' and 'histonic run'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from pydantic import Field

from histonic.core.places.urls import GivenPlace, Url
from histonic.core.settings import DEFAULT_ENCODER, GivenPath, Settings
from histonic.core.task import MOST_TARGETS
from histonic.data.tables.settings import SlideListKeywords, SlideListSettings, TableKeywords, TableSettings

STUDY_FILE = "study.yaml"


class StudySettings(Settings):
    """A study: what one file holds. Each part has the settings of the command of its name."""

    out: Path = Field(Path("study"), description="Folder for maps, runs and reports.")
    doctor: bool = Field(True, description="Look at slides and labels before anything is computed.")
    compress: dict[str, Any] = Field(description="Settings of 'histonic compress': slides, encoder ...")
    audit: bool | dict[str, Any] = Field(
        True, description="Settings of 'histonic audit', of the labels and targets under train; or no."
    )
    train: dict[str, Any] = Field(description="Settings of 'histonic train': labels, target ...")
    explain: bool | dict[str, Any] = Field(True, description="Settings of 'histonic explain'; or no.")
    external: list[dict[str, Any]] = Field(
        [],
        description="Cohorts from elsewhere: settings of 'histonic external', their slides under compress.",
    )
    report: bool | dict[str, Any] = Field(True, description="Settings of 'histonic report'; or no.")


class RunStudySettings(Settings):
    """A study's file to its report."""

    study: Path = Field(description="File of the study, as 'histonic init' writes it.")
    dry_run: bool = Field(
        False, description="Say what is done, what will be done and why, and about how long it takes."
    )
    clear_earlier: bool = Field(
        False,
        description="At the end delete what calls before moved to OUT/earlier: replaced runs and maps.",
    )


class RunStudyKeywords(TypedDict, total=False):
    """The fields of :class:`RunStudySettings`, as keywords of a Python call."""

    study: GivenPath
    dry_run: bool
    clear_earlier: bool


class InitStudySettings(SlideListSettings, TableSettings):
    """Slides and a label table to the file of a study."""

    file: Path = Field(Path(STUDY_FILE), description="The file to write.")
    slides: tuple[GivenPlace, ...] = Field(
        (),
        description="Slide files, URLs, folders, or a CSV with path, mpp, mask; by default the folder beside "
        "the file that holds slides.",
    )
    labels: Path | None = Field(
        None, description="Label table; by default the one beside the file that names patients."
    )
    target: tuple[str, ...] = Field(
        (),
        max_length=MOST_TARGETS,
        description="NAME[:KIND[:COLUMNS]]; repeat for several. By default that of the only column that can "
        "be one.",
    )
    encoder: str = Field(
        DEFAULT_ENCODER, description="Encoder: a name from 'histonic list' or a .safetensors file."
    )
    mpp: float | None = Field(
        None, gt=0, description="Microns per pixel of slides whose header does not say."
    )
    masks: Path | None = Field(None, description="Folder with tissue masks named like the slides.")
    out: Path = Field(Path("study"), description="Folder for maps, runs and reports.")
    external_slides: tuple[GivenPlace, ...] = Field((), description="Slides of another cohort, for a test.")
    external_labels: Path | None = Field(None, description="Label table of that cohort.")
    external_name: str = Field("external", description="What the report calls that cohort.")


class InitStudyKeywords(SlideListKeywords, TableKeywords, total=False):
    """The fields of :class:`InitStudySettings`, as keywords of a Python call."""

    file: GivenPath
    slides: Sequence[GivenPath | Url]
    labels: GivenPath | None
    target: Sequence[str]
    encoder: str
    mpp: float | None
    masks: GivenPath | None
    out: GivenPath
    external_slides: Sequence[GivenPath | Url]
    external_labels: GivenPath | None
    external_name: str


Part = Literal["compress", "audit", "train", "explain", "external", "report"]
PartValues = Mapping[str, Any]
