"""A recipe: where its files lie, and the commands that lead from slides to a submission."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import yaml

from histonic.core.errors import SettingsError
from histonic.core.files import write_text
from histonic.core.progress import Progress
from histonic.core.settings import make_settings
from histonic.encoders.base import encoder_spec
from histonic.runs.files import settings_text
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.study.file.commands import steps_of
from histonic.stages.study.file.reading import PARTS, Study
from histonic.stages.study.frame.cases import Case, Survey, write_cases
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step


@dataclass(frozen=True)
class Place:
    """Where everything of a recipe lies.

    Attributes:
        out: Its folder, and that of the study of the slides to learn from.
    """

    out: Path

    @property
    def study(self) -> Path:
        """File of that study, for 'histonic run'."""
        return self.out / "study.yaml"

    @property
    def run(self) -> Path:
        """Of the slide networks."""
        return self.out / "run"

    @property
    def encoder(self) -> Path:
        """The encoder that was trained for it."""
        return self.out / "encoder"

    @property
    def predictions(self) -> Path:
        """Of the test cases."""
        return self.out / "predictions.csv"

    @property
    def scores(self) -> Path:
        """What the study is worth, as JSON."""
        return self.out / "scores.json"

    def table(self, name: str) -> Path:
        """A table of cases."""
        return self.out / "tables" / f"{name}.csv"

    @property
    def test_maps(self) -> Path:
        """Store of the test slides; that of the others is the study's."""
        return self.out / "maps" / "test"


@dataclass
class Outcome:
    """What came out of a study.

    Attributes:
        files: Submission and scores.
        lines: For the reader.
    """

    files: list[Path] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


class Recipe(Protocol):
    """What a module of recipes holds."""

    TITLE: str
    LICENCE: str
    TARGETS: tuple[str, ...]

    def survey(self, settings: RecipeSettings) -> Survey:
        """Look at the files; write nothing."""
        ...

    def steps(self, settings: RecipeSettings, found: Survey, place: Place) -> list[Step]:
        """The commands, in order."""
        ...

    def write_inputs(self, settings: RecipeSettings, found: Survey, place: Place) -> None:
        """Write tables and what else the commands read."""
        ...

    def finish(self, settings: RecipeSettings, found: Survey, place: Place, progress: Progress) -> Outcome:
        """Score, and write submission and scores."""
        ...


def entered(settings: RecipeSettings, targets: Sequence[str]) -> tuple[str, ...]:
    """The targets that are entered, in the challenge's order.

    Raises:
        SettingsError: One is asked for that the challenge does not have.
    """
    odd = sorted(set(settings.target) - set(targets))
    if odd:
        raise SettingsError(
            f"Enter {settings.name} with the target {odd[0]!r}.",
            f"It has {', '.join(targets)}.",
            "Leave --target out for all of them.",
        )
    return tuple(each for each in targets if not settings.target or each in settings.target)


def write_tables(place: Place, found: Survey, **tables: Sequence[Case]) -> None:
    """Write ``cases.csv`` with all cases and a table for each use of some."""
    write_cases(place.table("cases"), found.cases)
    for name, cases in tables.items():
        if cases:
            write_cases(place.table(name), cases)


STUDY_HEAD = """\
# The study of the slides with labels. 'histonic recipe {name}' and 'histonic run {file}' do it in the same
# way, and the one goes on where the other stopped. The recipe writes this file anew: to change it, copy it,
# and give the copy an 'out' of its own. Each part has the settings of the command of its name.
{before}# The report audits the run, and explains the patients that it shows.
"""


STUDY_PARTS = ("doctor", "compress", "audit", "train", "explain", "report")


def write_settings(place: Place, settings: RecipeSettings, steps: Sequence[Step]) -> list[str]:
    """Write the settings of each step and of the recipe itself; the commands in their order.

    Steps without a title are those of a study, and stand in its file. The last command is the recipe again,
    which then has but the scores and the submission to do.
    """
    commands: list[str] = []
    study = [step for step in steps if not step.title]
    if study:
        write_text(place.study, study_text(place, settings, steps))
    for number, step in enumerate(steps, start=1):
        if not step.title:
            if step is study[0]:
                commands.append(f"histonic run {shlex.quote(str(place.study))}")
            continue
        write_text(step.file(place.out, number), settings_text(step.settings))
        commands.append(step.command(place.out, number))
    own = {
        key: os.path.abspath(value) if isinstance(getattr(settings, key), Path) else value
        for key, value in settings.model_dump(mode="json", exclude_unset=True).items()
    }
    last = place.out / "settings" / "recipe.yaml"
    write_text(last, settings_text({**own, "out": str(place.out), "check": False, "run": True}))
    commands.append(f"histonic recipe --config {shlex.quote(str(last))}")
    write_text(place.out / "commands.txt", "\n".join(commands) + "\n")
    return commands


def study_text(place: Place, settings: RecipeSettings, steps: Sequence[Step]) -> str:
    """The file of the study that stands in some steps; its paths start at its folder.

    Args:
        place: Of the recipe.
        settings: Of the recipe.
        steps: Those without a title are the study's.
    """
    # In the order in which they are done; what no step fills stays left out.
    values: dict[str, Any] = {"out": ".", **dict.fromkeys(STUDY_PARTS, False)}
    for step in steps:
        if not step.title:
            own = PARTS[step.verb][1]
            said = {key: value for key, value in step.settings.items() if key not in own}
            values[step.verb] = {key: _beside(place, value) for key, value in said.items()}
    is_first = steps[0].title and steps[0].verb == "encoder train"
    before = "# The encoder is trained before it: the first line of commands.txt.\n" if is_first else ""
    head = STUDY_HEAD.format(name=settings.name, file=place.study.name, before=before)
    return head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _beside(place: Place, value: Any) -> Any:
    """A value, and of a path in the recipe's folder that from there, so that the folder can be moved."""
    if isinstance(value, list):
        return [_beside(place, each) for each in value]
    is_inside = isinstance(value, str) and value.startswith(f"{place.out}{os.sep}")
    return Path(value).relative_to(place.out).as_posix() if is_inside else value


def encoder_step(settings: RecipeSettings, place: Place) -> tuple[list[Step], str]:
    """The training of an encoder, if one is asked for, and the encoder that the slides are compressed by.

    Raises:
        SettingsError: The file of settings cannot be read.
    """
    if settings.encoder_config is None:
        return [], settings.encoder
    from histonic.core.documents import read_yaml

    given = read_yaml(settings.encoder_config, SettingsError, "Write it as for 'histonic encoder train'.")
    if not isinstance(given, dict):
        raise SettingsError(
            f"Read {settings.encoder_config}.", "It holds no keys.", "Write 'sets:' and more."
        )
    values = {**given, "out": str(place.encoder)}
    step = Step("of tile tasks", "encoder train", values)
    return [step], str(place.encoder / "encoder.safetensors")


def encoder_tiles(before: Sequence[Step], encoder: str) -> tuple[int, float]:
    """Pixels of a side, and microns per pixel, of the tiles of an encoder, also of one yet to be trained.

    Args:
        before: Of :func:`encoder_step`, as is the encoder.
        encoder: A name or file.

    Raises:
        SettingsError: A setting of its training cannot be used.
        EncoderError: The encoder, or the frozen one that it stands behind, is absent or damaged.
    """
    if before:
        given = make_settings(TrainEncoderSettings, before[0].settings, "the settings of --encoder-config")
        if not given.is_behind_frozen or given.weights is None:
            return given.tile_px, given.mpp
        encoder = str(given.weights)  # a projection sees the tiles of what it stands behind
    spec = encoder_spec(encoder)
    return spec.tile_px, spec.mpp


def slide_steps(
    settings: RecipeSettings,
    place: Place,
    targets: Sequence[str],
    *,
    test: bool,
    split: Literal["random", "site"] = "random",
    train_more: dict[str, Any] | None = None,
    compress_more: dict[str, Any] | None = None,
) -> list[Step]:
    """The commands of a study of whole slides, from ``tables/train.csv`` and ``tables/test.csv``.

    Args:
        settings: Of the recipe.
        place: Of the study.
        targets: As for 'histonic train'.
        test: Whether there are test slides to predict.
        split: How patients are split.
        train_more: Further settings of the training.
        compress_more: Further settings of the compression.
    """
    steps, encoder = encoder_step(settings, place)

    def compressed(name: str) -> dict[str, Any]:
        values: dict[str, Any] = {
            "slides": [str(place.table(name))],
            "encoder": encoder,
            "orientations": settings.orientations,
            "device": settings.device,
            **(compress_more or {}),
        }
        return values if settings.mpp is None else {**values, "mpp": settings.mpp}

    training: dict[str, Any] = {
        "labels": str(place.table("train")),
        "target": list(targets),
        "split": split,
        "folds": settings.folds,
        "initialisations": settings.initialisations,
        "max_epochs": settings.max_epochs,
        "workers": settings.workers,
        "seed": settings.seed,
        "device": settings.device,
        **(train_more or {}),
    }
    study = Study(
        file=place.study,
        out=place.out,
        doctor=False,
        compress=compressed("train"),
        train=training,
        audit=None,
        explain=None,
        report={"resamples": settings.resamples},
        externals=(),
    )
    steps += steps_of(study)
    if test:
        maps = str(place.test_maps)
        steps.append(Step("test", "compress", {**compressed("test"), "out": maps}))
        values = {
            "bundle": str(place.run / "bundle"),
            "slides": [maps],
            "out": str(place.predictions),
            "device": settings.device,
        }
        steps.append(Step("test slides", "predict", values))
    return steps
