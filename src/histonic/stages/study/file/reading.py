"""The file of a study, read and checked: every part by the settings of its command."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from histonic.core.documents import read_yaml
from histonic.core.errors import SettingsError
from histonic.core.hints.values import value_hint
from histonic.core.places.urls import is_url
from histonic.core.settings import HE_REFERENCE, Settings, make_settings
from histonic.data.tables.settings import TableSettings
from histonic.stages.audit.settings import AuditSettings
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.explain.settings import ExplainSettings
from histonic.stages.predict.settings import ExternalSettings
from histonic.stages.report.settings import ReportSettings
from histonic.stages.study.file.lines import Place, line_of
from histonic.stages.study.file.settings import StudySettings
from histonic.stages.study.steps.step import Step
from histonic.stages.train.settings import TrainSettings

TODO = "Write it as 'histonic init' does."
TABLE_KEYS = tuple(TableSettings.model_fields)
OWN = "The study itself says it"
PARTS: Mapping[str, tuple[type[Settings], tuple[str, ...]]] = {
    "compress": (CompressSettings, ("out", "replace", "shard", "limit", "dry_run")),
    "audit": (AuditSettings, ("store", "labels", "target", "out", *TABLE_KEYS)),
    "train": (TrainSettings, ("store", "out")),
    "explain": (ExplainSettings, ("run", "store")),
    "external": (ExternalSettings, ("run", "store")),
    "report": (ReportSettings, ("run", "store", "labels")),
}
"""Settings of each part, and those of them that the study says itself."""
MUST_EXIST = ("slides", "masks", "labels", "slide_table", "splits", "slides_at")


@dataclass(frozen=True)
class ExternalPart:
    """A cohort from elsewhere.

    Attributes:
        name: What the report calls it.
        compress: Settings of the compression of its slides, beside those of the study's own.
        external: Of the test.
    """

    name: str
    compress: Mapping[str, Any]
    external: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A study as its file says it; paths are absolute, and every part has been checked.

    Attributes:
        file: Where it stands.
        out: Folder for all that is made.
        doctor: Whether slides and labels are looked at first.
        compress: Settings of the compression, but for those that the study says itself.
        train: Of the training.
        audit: Of the audit; None if there is to be none.
        explain: Of the explanations, likewise.
        report: Of the report, likewise.
        externals: Cohorts from elsewhere.
    """

    file: Path
    out: Path
    doctor: bool
    compress: Mapping[str, Any]
    train: Mapping[str, Any]
    audit: Mapping[str, Any] | None
    explain: Mapping[str, Any] | None
    report: Mapping[str, Any] | None
    externals: tuple[ExternalPart, ...]


def read_study(file: Path) -> Study:
    """Read the file of a study.

    Args:
        file: As ``histonic init`` writes it; relative paths in it start at its folder.

    Raises:
        SettingsError: The file is absent or no YAML; a key is unknown (the nearest is named), belongs to the
            study itself or has a value that cannot be used, or a file or folder is not there; says the line.
    """
    values = read_yaml(file, SettingsError, TODO)
    if not isinstance(values, dict):
        raise SettingsError(f"Read the study {file}.", "It holds no keys.", TODO)
    values = {str(key): value for key, value in values.items()}
    for key in ("audit", "explain", "report", "doctor"):
        if key in values and values[key] is None:
            values[key] = True  # "audit:" without anything below it
    _require_known(file, (), values, StudySettings)
    try:
        given = StudySettings.model_validate(values)
    except ValidationError as error:
        raise _wrong(file, (), StudySettings, error) from error
    parts: dict[str, Mapping[str, Any] | None] = {}
    for name in ("compress", "train", "audit", "explain", "report"):
        said: Any = getattr(given, name)
        if isinstance(said, bool):
            said = {} if said else None
        parts[name] = None if said is None else _part(file, (name,), name, said)
    compress, train = parts["compress"] or {}, parts["train"] or {}
    for place, absent in ((("compress",), "slides"), (("train",), "labels"), (("train",), "target")):
        if not (compress if place == ("compress",) else train).get(absent):
            raise _error(
                file,
                (*place, absent),
                f"{'.'.join(place)}.{absent} says nothing.",
                _how_to_fill(absent),
            )
    return Study(
        file,
        _absolute(file, given.out),
        given.doctor,
        compress,
        train,
        parts["audit"],
        parts["explain"],
        parts["report"],
        tuple(_external(file, number, each) for number, each in enumerate(_named(file, given.external))),
    )


def part_settings(study: Study, name: str, values: Mapping[str, Any]) -> Settings:
    """Settings of a part with what the study says itself.

    Raises:
        SettingsError: A value cannot be used.
    """
    return make_settings(PARTS[name][0], values, f"{study.file}, {name}")


def _how_to_fill(key: str) -> str:
    return {
        "slides": "Name slide files, folders, or a table of slides.",
        "labels": "Name the label table.",
        "target": "Take one of the lines under 'target' (remove its '# '), or write NAME:KIND:COLUMN.",
    }[key]


def _named(file: Path, externals: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = [str(each.get("name", "external")) for each in externals]
    for number, name in enumerate(names):
        if names.index(name) < number:
            found = f"Two cohorts are called {name!r}."
            raise _error(file, ("external", number, "name"), found, "Give each a name of its own.")
        records = [Step(each, "external", {}).name for each in names]
        if (first := records.index(records[number])) < number:
            found = f"The cohorts {names[first]!r} and {name!r} would have the same files of records."
            raise _error(file, ("external", number, "name"), found, "Let them differ in letters or digits.")
    return list(externals)


def _external(file: Path, number: int, values: dict[str, Any]) -> ExternalPart:
    place = ("external", number)
    own = {key: value for key, value in values.items() if key != "compress"}
    slides = values.get("compress")
    if not isinstance(slides, dict) or not slides.get("slides"):
        raise _error(
            file,
            (*place, "compress"),
            "It does not name the slides of the cohort.",
            "Write 'compress: {slides: [FOLDER]}' in it.",
        )
    compress = _part(file, (*place, "compress"), "compress", slides)
    external = _part(file, place, "external", own, beside={"compress"})
    return ExternalPart(str(external.get("name", "external")), compress, external)


def _part(
    file: Path, place: Place, name: str, values: Mapping[str, Any], beside: Collection[str] = ()
) -> dict[str, Any]:
    """A part with absolute paths, after every key and value was looked at."""
    model, own = PARTS[name]
    values = {str(key): value for key, value in values.items()}
    _require_known(file, place, values, model, own, beside)
    found = _with_paths(file, place, model, values)
    placeholders: dict[str, Any] = {key: "x" for key in own if model.model_fields[key].is_required()}
    if "target" in placeholders:
        placeholders["target"] = ["x"]
    checked = dict(found)
    if name == "train" and not checked.get("target"):
        checked["target"] = ["x"]  # said below, with what to do
    if name in ("train", "external") and not checked.get("labels"):
        checked["labels"] = "x"
    try:
        model.model_validate({**checked, **placeholders})
    except ValidationError as error:
        raise _wrong(file, place, model, error) from error
    if name == "external" and not found.get("labels"):
        raise _error(file, place, "It names no label table.", "Write 'labels: TABLE' in it.")
    return found


def _require_known(
    file: Path,
    place: Place,
    values: Mapping[str, Any],
    model: type[Settings],
    own: Collection[str] = (),
    beside: Collection[str] = (),
) -> None:
    known = [key for key in model.model_fields if key not in own]
    for key in values:
        where = [*place, key]
        if key in own:
            raise _error(file, where, f"{_dotted(where)} is not to be said here.", f"{OWN}; remove the line.")
        if key not in known:
            near = difflib.get_close_matches(key, [*known, *beside], n=1)
            todo = f"Did you mean {near[0]!r}?" if near else f"Known here: {', '.join([*known, *beside])}."
            raise _error(file, where, f"There is no setting {_dotted(where)!r}.", todo)
    for key, value in values.items():
        inner = model.model_fields[key].annotation
        if isinstance(inner, type) and issubclass(inner, Settings) and isinstance(value, dict):
            _require_known(file, [*place, key], value, inner)


def _wrong(file: Path, place: Place, model: type[Settings], error: ValidationError) -> SettingsError:
    """The error of a value, with the line on which it stands."""
    first = error.errors()[0]
    inside = [part for part in first["loc"] if isinstance(part, str | int)]
    field = model.model_fields.get(str(inside[0])) if inside else None
    if field is not None and get_args(field.annotation):
        # Within a union, pydantic names the member, which no user wrote.
        inside = [inside[0], *(part for part in inside[1:] if isinstance(part, int))]
    where = [*place, *inside]
    if first["type"] == "missing":
        return _error(file, where, f"{_dotted(where)} is not given.", f"Write '{inside[-1]}: ...'.")
    given = repr(first.get("input"))
    shown = given if len(given) <= 120 else f"{given[:120]}..."
    message = first["msg"].removeprefix("Value error, ")
    todo = f"Correct the value of {_dotted(where)}{value_hint(first)}."
    return _error(file, where, f"{_dotted(where)} is {shown}: {message}.", todo)


def _error(file: Path, place: Place, found: str, todo: str) -> SettingsError:
    line = line_of(file, place)
    return SettingsError(f"Read {file}{'' if line is None else f', line {line}'}.", found, todo)


def _dotted(place: Place) -> str:
    """As a reader counts: the entries of lists from 1."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in place)


def _with_paths(file: Path, place: Place, model: type[Settings], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values in which paths are absolute; those that have to be there are."""
    found = dict(values)
    for key, value in values.items():
        kind = str(model.model_fields[key].annotation) if key in model.model_fields else ""
        if key == "encoder" and isinstance(value, str) and _is_file_name(file, value):
            found[key] = str(_absolute(file, value))
        elif key == "stain" and isinstance(value, dict) and isinstance(value.get("reference"), str):
            reference = value["reference"]
            if reference != HE_REFERENCE:
                where = [*place, key, "reference"]
                found[key] = {**value, "reference": _there(file, where, "reference", reference)}
        elif key == "other" and isinstance(value, dict):
            found[key] = {name: str(_absolute(file, str(path))) for name, path in value.items()}
        elif "Path" not in kind or not value:
            continue
        elif isinstance(value, list | tuple):
            found[key] = [_there(file, [*place, key, number], key, each) for number, each in enumerate(value)]
        elif key == "slides":
            found[key] = [_there(file, [*place, key], key, value)]
        else:
            found[key] = _there(file, [*place, key], key, value)
    return found


def _is_file_name(file: Path, name: str) -> bool:
    return name.endswith(".safetensors") or (os.sep in name and _absolute(file, name).exists())


def _there(file: Path, place: Place, key: str, value: Any) -> Any:
    if not isinstance(value, str) or is_url(value) or not value.strip():
        return value  # what is wrong with it is said as the settings are made
    path = _absolute(file, value)
    if key in MUST_EXIST and not path.exists():
        raise _error(
            file,
            place,
            f"{_dotted(place)}: there is no file or folder {path}.",
            "Correct the path; it starts at the folder of this file.",
        )
    return str(path)


def _absolute(file: Path, path: str | Path) -> Path:
    return Path(os.path.abspath(file.parent / Path(path).expanduser()))
