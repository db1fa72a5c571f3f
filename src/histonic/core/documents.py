"""Files that leave a process, one model each for writer and readers; and YAML as people write it."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
)

from histonic.core.errors import HistonicError
from histonic.core.files import write_json

if TYPE_CHECKING:
    import yaml

D = TypeVar("D", bound="Document")
P = TypeVar("P")
_FORMAT = re.compile(r"(histonic-[a-z-]+)-(\d+)")
MOST_FIELDS_NAMED = 3
"""Of a damaged file, so many wrong fields are named."""
MOST_BYTES = 1 << 20
MOST_DEPTH = 40
MOST_NODES = 100_000
"""Values of a file, those of an alias counted each time it is used."""
_adapter: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


class Part(BaseModel):
    """Base of what stands inside a document: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return self.model_dump(mode="json", by_alias=True)


class SparsePart(Part):
    """A part whose optional fields stand in the file only if they were set."""

    @model_serializer(mode="wrap")
    def _set_fields(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields.items()
        unset = [(name, field.alias) for name, field in fields if name not in self.model_fields_set]
        absent = {key for keys in unset for key in keys}
        return {key: value for key, value in serialize(self).items() if key not in absent}


class Document(Part):
    """Base of a JSON file that leaves a process.

    A subclass sets ``FORMAT``, such as ``histonic-run-1``, which stands in the file under ``format``; its
    number goes up when an older reader could no longer read the file.
    """

    FORMAT: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the format."""
        return {"format": self.FORMAT, **super().to_dict()}


class SealedDocument(Document):
    """A document that carries a hash of all that it says, so that any change to it is noticed.

    Attributes:
        sha256: The hash; empty in files of versions that kept none.
    """

    sha256: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, with the format and a hash that fits them."""
        return sealed(super().to_dict())


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with a hash that fits them."""
    return {**values, "sha256": _seal(values)}


def _seal(values: Mapping[str, Any]) -> str:
    """Hash of plain values, in whatever order they stand and whatever seal they carry."""
    rest = {key: value for key, value in values.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, default=repr).encode()).hexdigest()


def is_changed(values: Any) -> bool:
    """Whether plain values carry a hash (see :func:`sealed`) that is not theirs."""
    return isinstance(values, dict) and "sha256" in values and values["sha256"] != _seal(values)


def write_document(path: str | os.PathLike[str], document: Document) -> None:
    """Write a document as JSON with sorted keys, all or nothing.

    Raises:
        OutputError: The file cannot be written.
    """
    write_json(path, document.to_dict())


def read_document(model: type[D], path: Path, error: type[HistonicError], todo: str) -> D:
    """Read a JSON file by its model.

    Args:
        model: What the file has to be.
        path: The file.
        error: What is raised.
        todo: What the user can do about a file that is absent or damaged.

    Raises:
        error: The file is absent, unreadable, damaged (the field is named), older, newer or foreign.
    """
    return parse_document(model, read_values(path, error, todo), path, error, todo)


def read_values(path: Path, error: type[HistonicError], todo: str) -> Any:
    """The plain values of a JSON file; where it carries no format, :func:`parse_part` says what they are.

    Raises:
        error: The file is absent or unreadable.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(f"Read {path}.", "There is no such file.", todo) from cause
    except (OSError, ValueError, RecursionError) as cause:
        found = " ".join(f"{type(cause).__name__}: {cause}".split())
        raise error(f"Read {path}.", f"It cannot be read: {found}.", todo) from cause


def parse_document(
    model: type[D], values: Any, source: str | os.PathLike[str], error: type[HistonicError], todo: str
) -> D:
    """A document from plain values, as they stand in JSON, in a map's attributes or in a file's metadata.

    Args:
        model: What the values have to be.
        values: Plain values with the key ``format``.
        source: The file, for the message.
        error: What is raised.
        todo: What the user can do about a damaged file.

    Raises:
        error: The values are damaged (the field is named), older, newer or foreign.

    Example:
        >>> from histonic.core.errors import TableError
        >>> class Note(Document):
        ...     FORMAT = "histonic-note-2"
        ...     text: str
        >>> parse_document(Note, {"format": "histonic-note-2", "text": "a"}, "n.json", TableError, "Go.").text
        'a'
        >>> parse_document(Note, {"format": "histonic-note-3", "text": "a"}, "n.json", TableError, "Go.")
        Traceback (most recent call last):
        histonic.core.errors.TableError: Read n.json.
          found: Its format is 'histonic-note-3', newer than 'histonic-note-2', which this version reads.
          to do: Update histonic to the version that wrote it.
    """
    asked = f"Read {os.fspath(source)}."
    found = values.get("format") if isinstance(values, dict) else None
    if found != model.FORMAT:
        raise error(asked, *_other_format(model.FORMAT, found, todo))
    rest = {key: value for key, value in values.items() if key != "format"}
    return parse_part(model, rest, source, error, todo)


def parse_part(
    kind: type[P], values: Any, source: str | os.PathLike[str], error: type[HistonicError], todo: str
) -> P:
    """What stands inside a document, or in a file without a format: a :class:`Part` or a dataclass.

    Args:
        kind: What the values have to be.
        values: Plain values.
        source: The file, for the message.
        error: What is raised.
        todo: What the user can do about damaged values.

    Raises:
        error: The values are damaged; the field is named.
    """
    asked = f"Read {os.fspath(source)}."
    try:
        # By way of JSON, so that types are strict and yet a list may stand for a tuple.
        part: P = _adapter(kind).validate_json(json.dumps(values, default=repr), strict=True)
    except ValidationError as cause:
        raise error(asked, _wrong_fields(cause), todo) from cause
    except HistonicError as cause:  # a rule of the part's own
        raise error(asked, f"It is damaged: {cause.found}", todo) from cause
    return part


def _other_format(wanted: str, found: Any, todo: str) -> tuple[str, str]:
    mine, its = _FORMAT.fullmatch(wanted), _FORMAT.fullmatch(found) if isinstance(found, str) else None
    if mine is None or its is None or mine[1] != its[1]:
        return f"It is no file of the format {wanted!r}: its format is {found!r}.", todo
    if int(its[2]) > int(mine[2]):
        return (
            f"Its format is {found!r}, newer than {wanted!r}, which this version reads.",
            "Update histonic to the version that wrote it.",
        )
    return (
        f"Its format is {found!r}, older than {wanted!r}, which this version reads.",
        f"Use the version of histonic that wrote it, or make it anew. {todo}",
    )


def _wrong_fields(error: ValidationError) -> str:
    details = error.errors(include_url=False)
    named = []
    for detail in details[:MOST_FIELDS_NAMED]:
        field = _field_of(detail["loc"])
        given = "absent" if detail["type"] == "missing" else f"{_short(detail['input'])}: {detail['msg']}"
        named.append(f"{field} is {given}")
    more = f" ({len(details) - len(named)} more)" if len(details) > len(named) else ""
    return f"It is damaged: {'; '.join(named)}{more}."


def _field_of(place: Sequence[int | str]) -> str:
    """Names and numbers that lead to a value, without the kinds of values that were tried there."""
    known = [str(part) for part in place if isinstance(part, int) or "[" not in part]
    return ".".join(known) or "its content"


def _short(value: Any, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


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
    except HistonicError:
        raise
    except Exception as cause:  # what YAML's constructors do with odd tags, dates and numbers is theirs
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
