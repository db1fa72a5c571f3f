"""The command line and the YAML file of a stage, both made from its one settings model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from histonic.core import documents
from histonic.core.errors import SettingsError
from histonic.core.settings import Settings, fields_of, make_settings, option_name

S = TypeVar("S", bound=Settings)


def parameters(model: type[Settings], positional: Sequence[str] = ()) -> list[click.Parameter]:
    """What the command line takes: arguments, then required options, those of the verb, those it shares.

    Args:
        model: The settings model.
        positional: Fields given by position.
    """
    arguments = [_argument(key, model.model_fields[key]) for key in positional]
    options = [(key, field) for key, field in _options(model) if key not in positional]
    options.sort(key=lambda option: not option[1].is_required())
    config = click.Option(
        ["--config"],
        metavar="FILE.yaml",
        type=click.Path(),
        help="Read settings from this YAML file; options given here win.",
    )
    return [*arguments, *(_option(model, key, field) for key, field in options), config]


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings from a YAML file.

    Raises:
        SettingsError: The file is absent, no YAML, names a key twice, or holds no keys.
    """
    values = documents.read_yaml(path, SettingsError, "Write it as 'key: value' lines.")
    if not isinstance(values, dict):
        raise SettingsError(
            f"Read the settings file {path}.", "It holds no keys.", "Write it as 'key: value' lines."
        )
    return {str(key): value for key, value in values.items()}


def settings_from(
    model: type[S],
    given: Mapping[str, Any],
    positional: Sequence[str] = (),
    absent: Callable[[Mapping[str, Any], str], str] | None = None,
) -> S:
    """Settings from what was typed, and from the file given with ``--config``.

    Args:
        model: The settings model.
        given: Values of :func:`parameters` by name.
        positional: Fields given by position.
        absent: Gets the values and the name of a field that is missing; what to do about it, or nothing.

    Raises:
        SettingsError: A value cannot be used, or the file cannot be read.
    """
    values: dict[str, Any] = {}
    source = "the command line"
    if given.get("config"):
        source = f"the command line and {given['config']}"
        values.update(read_yaml(Path(given["config"])))
    for key, field in _options(model):
        value = given[_parameter_name(key)]
        if value in (None, ()):
            continue
        outer, _, inner = key.partition(".")
        if inner:
            nested = _nested(model, outer, values.get(outer))
            nested[inner] = value
            values[outer] = nested
        else:
            values[key] = _pairs(key, value) if _is_mapping(field) else _number(field, value)
    _check_nested(model, values)
    _require_all(model, values, source, positional, absent)
    return make_settings(model, values, source)


def _require_all(
    model: type[Settings],
    values: Mapping[str, Any],
    source: str,
    positional: Sequence[str],
    absent: Callable[[Mapping[str, Any], str], str] | None,
) -> None:
    """Refuse what lacks a value that nothing stands for, by the name that it has on the command line.

    Raises:
        SettingsError: A required field is missing.
    """
    known = set(values) <= set(model.model_fields)  # else that is what is wrong
    for key, field in fields_of(model).items():
        if known and field.is_required() and key not in values:
            name = key.upper() if key in positional else option_name(model, key)
            words = str(field.description).rstrip(".")
            only_file = f", under '{key}:' in a file given with --config" if _is_nested_list(field) else ""
            todo = absent(values, key) if absent is not None else ""
            raise SettingsError(
                f"Read {source}.",
                f"{'The list ' + key if only_file else name} is missing.",
                todo or f"Give {'it' if only_file else name}{only_file} ({words[:1].lower()}{words[1:]}).",
            )


def _nested(model: type[Settings], key: str, value: Any) -> dict[str, Any]:
    """What a file says of nested settings, with the key that a single word stands for."""
    inner: Any = model.model_fields[key].annotation
    return {inner.LEAD: value} if inner.LEAD and isinstance(value, str) else dict(value or {})


def _check_nested(model: type[Settings], values: Mapping[str, Any]) -> None:
    """An unknown key of a nested model gets its nearest name too."""
    for key, field in fields_of(model).items():
        inner: Any = field.annotation
        nested = values.get(key)
        is_model = isinstance(inner, type) and issubclass(inner, Settings)
        # Wrong values are named with the whole key as all settings are made.
        if is_model and isinstance(nested, dict) and set(nested) - set(inner.model_fields):
            make_settings(inner, nested, f"the settings under {key!r}")
        if _is_nested_list(field) and isinstance(values.get(key), list):
            each_model = get_args(inner)[0]
            for number, each in enumerate(values[key], start=1):
                if isinstance(each, dict):
                    make_settings(each_model, each, f"entry {number} of {key!r}")


def _number(field: FieldInfo, value: Any) -> Any:
    """A choice among numbers comes as text from the command line; pydantic would not convert it."""
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    texts = {str(choice): choice for choice in choices}
    return texts.get(value, value) if isinstance(value, str) else value


def _pairs(key: str, items: tuple[str, ...]) -> dict[str, str]:
    pairs = [item.partition("=") for item in items]
    if wrong := next((first + sign for first, sign, last in pairs if not (first and last)), None):
        raise SettingsError(f"Read --{key}.", f"{wrong!r} is no pair.", f"Write --{key} NAME=VALUE.")
    return {first: last for first, _, last in pairs}


def _options(model: type[Settings]) -> Iterator[tuple[str, FieldInfo]]:
    for key, field in fields_of(model).items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            for inner_key, inner_field in fields_of(inner).items():
                # A mapping inside of other settings is said in a YAML file.
                if not _is_nested_list(inner_field) and not _is_mapping(inner_field):
                    yield f"{key}.{inner_key}", inner_field
        elif not _is_nested_list(field):
            yield key, field


def _parameter_name(key: str) -> str:
    return key.replace(".", "_")


def _is_many(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _is_nested_list(field: FieldInfo) -> bool:
    """Whether a field is a list of settings models, or a mapping to lists, which only a YAML file can say."""
    kinds = get_args(field.annotation)
    if _is_mapping(field):
        return kinds[-1] is not str
    return any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds)


def _is_mapping(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _argument(key: str, field: FieldInfo) -> click.Argument:
    name = key.upper()
    return click.Argument(
        [key],
        required=False,
        nargs=-1 if _is_many(field) else 1,
        metavar=f"{name}..." if _is_many(field) else name,
        type=_click_type(field),
    )


def _option(model: type[Settings], key: str, field: FieldInfo) -> click.Option:
    outer, _, inner = key.partition(".")
    name = option_name(model, outer, inner).removeprefix("--")
    if field.annotation is bool:
        # None where neither was typed, so that a settings file may decide.
        return click.Option(
            [f"--{name}/--no-{name}", _parameter_name(key)],
            default=None,
            help=f"{field.description} [default: {'yes' if field.get_default() else 'no'}]",
        )
    return click.Option(
        [f"--{name}", _parameter_name(key)],
        multiple=_is_many(field) or _is_mapping(field),
        metavar=_metavar(field),
        type=_click_type(field),
        shell_complete=_choices_completed(field),
        help=f"{field.description} {_default_note(field)}".rstrip(),
    )


def _click_type(field: FieldInfo) -> click.Path | click.types.StringParamType:
    """Text that settings read; a shell completes the names of files where it may be a path."""
    return click.Path() if "Path" in str(field.annotation) or "Url" in str(field.annotation) else click.STRING


def _choices_completed(
    field: FieldInfo,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]] | None:
    """What a shell offers where there is a choice; None where there is none."""
    metavar = _metavar(field)
    if "|" not in metavar:
        return None
    return lambda context, parameter, begun: [
        CompletionItem(choice) for choice in metavar.split("|") if choice.startswith(begun)
    ]


def _default_note(field: FieldInfo) -> str:
    told = ["required"] if field.is_required() else []
    default = None if field.is_required() else field.get_default()
    if default not in (None, (), {}):
        told = [f"default: {', '.join(map(str, default)) if isinstance(default, tuple) else default}"]
    if _is_many(field) or _is_mapping(field):
        told.append("several: give it again for each")
    return f"[{'; '.join(told)}]" if told else ""


def _metavar(field: FieldInfo) -> str:
    if _is_mapping(field):
        return "NAME=VALUE"
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    literal = field.annotation if get_origin(field.annotation) is Literal else kinds[0]
    if get_origin(literal) is Literal:
        return "|".join(str(choice) for choice in get_args(literal))
    names = {int: "INT", float: "NUMBER", Path: "PATH", str: "TEXT"}
    return names.get(kinds[0], "TEXT")
