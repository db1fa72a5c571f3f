"""What all settings share: one model a verb serves the Python call, the YAML file and the command line.

The models stand beside their verbs, in files that load neither torch nor pandas, so that ``--help`` answers
at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from histonic.core.errors import HistonicError, SettingsError

if TYPE_CHECKING:
    import yaml

S = TypeVar("S", bound="Settings")
Precision = Literal["32", "bf16"]
MOST_BYTES = 1 << 20
MOST_DEPTH = 40
MOST_NODES = 100_000
"""Values of a file, those of an alias counted each time it is used."""


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TissueSettings(Settings):
    """What counts as tissue."""

    mpp: float = Field(8.0, gt=0, description="Microns per pixel at which tissue is looked for.")
    min_speck_um2: float = Field(20_000, ge=0, description="Pieces of tissue smaller than this are dropped.")
    max_hole_um2: float = Field(40_000, ge=0, description="Holes smaller than this are filled.")
    min_cell_share: float = Field(0.25, gt=0, le=1, description="Cells with less tissue than this are empty.")


def fields_of(model: type[Settings]) -> dict[str, FieldInfo]:
    """The fields of a settings model: its own in order, then those that it shares with other verbs."""
    own = [key for key in model.model_fields if key in model.__annotations__]
    shared = [key for key in model.model_fields if key not in own]
    return {key: model.model_fields[key] for key in (*own, *shared)}


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
        found = "nothing" if first["type"] == "missing" else _short(first.get("input"))
        raise SettingsError(
            f"Read {source}.", f"{key} is {found}: {first['msg']}.", f"Correct the value of {key}."
        ) from error


def _short(value: Any, most: int = 120) -> str:
    """A value in words, however large it is."""
    if isinstance(value, int) and value.bit_length() > 4000:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | tuple) and len(value) > 100:
        return f"a list of {len(value):,}"
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}..."


def resolve(model: type[S], settings: S | None, values: Mapping[str, Any]) -> S:
    """The settings of a Python call: a ready model, or keywords, or a model with some keywords changed.

    Raises:
        SettingsError: A keyword is unknown or has a value that cannot be used.

    Example:
        >>> class Grid(Settings):
        ...     mpp: float = 8.0
        >>> resolve(Grid, None, {"mpp": 4}).mpp
        4.0
    """
    given = {} if settings is None else {key: getattr(settings, key) for key in settings.model_fields_set}
    return make_settings(model, {**given, **values}, f"the keywords of {model.__name__}")


def read_yaml(path: Path, error: type[HistonicError], todo: str) -> Any:
    r"""The plain values of a YAML file that a person may have written.

    Args:
        path: The file.
        error: What is raised.
        todo: What the user can do about a file that cannot be read.

    Raises:
        error: The file is absent, too large, no YAML, names a key twice, nests without end, or holds a number
            or date that there is not.

    Example:
        >>> import tempfile
        >>> from histonic.core.errors import SettingsError
        >>> file = Path(tempfile.mkdtemp()) / "a.yaml"
        >>> _ = file.write_text("folds: 5\nseed: 1\nfolds: 3\n")
        >>> try:
        ...     read_yaml(file, SettingsError, "Keep one.")
        ... except SettingsError as error:
        ...     print(error.found)
        It is not YAML: the key 'folds' stands in the lines 1 and 3.
    """
    import yaml

    asked = f"Read {path}."
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise error(asked, f"It has {len(data) / 1e6:.1f} MB, {MOST_BYTES / 1e6:.0f} are read.", todo)
        text = data.decode("utf-8-sig")
        _require_flat(text)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _require_single_keys(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except OSError as cause:
        raise error(asked, f"{cause.strerror or cause}.", todo) from cause
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError, TypeError) as cause:
        found = " ".join(str(cause).split())[:300]
        raise error(asked, f"It is not YAML: {found}.", todo) from cause


def _line(place: yaml.Node | yaml.Event) -> int:
    return place.start_mark.line + 1 if place.start_mark else 0


def _require_flat(text: str) -> None:
    """Refuse what nests deeper than any settings do, before it is built."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_DEPTH:
                raise ValueError(f"line {_line(event)} nests lists or keys more than {MOST_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _require_single_keys(root: yaml.Node) -> None:
    """Refuse keys that occur twice, values within themselves, and aliases that multiply without end."""
    import yaml

    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        place = id(node)
        if place in open_nodes:
            raise ValueError(f"line {_line(node)} holds itself")
        if place not in sizes:
            open_nodes.add(place)
            sizes[place] = 1 + sum(size(each) for each in parts(node))
            open_nodes.remove(place)
        if sizes[place] > MOST_NODES:
            raise ValueError(f"it holds more than {MOST_NODES:,} values")
        return sizes[place]

    def parts(node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if not isinstance(node, yaml.MappingNode):
            return []
        lines: dict[str, int] = {}
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else ""
            line = _line(key)
            if name and name != "<<" and name in lines:
                raise ValueError(f"the key {name!r} stands in the lines {lines[name]} and {line}")
            lines[name] = line
        return [each for pair in node.value for each in pair]

    size(root)
