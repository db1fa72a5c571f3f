"""Where a slide lies: a path on a disk, memory, or a URL of which neither password nor query is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BeforeValidator
from pydantic_core import core_schema

from histonic.core.places.frames import Frame, FrameTable, table_of
from histonic.core.places.images import HeldSlide, OpenedSlide, Pixels, held_slide, held_slides

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_WAS_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:/")
MOST_DEPTH = 4
"""Of lists and mappings in each other, in which paths are looked for."""
_URL_IN_WORD = re.compile(rf"{_URL.pattern}(?:(?!{_URL.pattern}).)*", re.DOTALL)


class Url:
    """The address of a file.

    What stands before the host and behind the path may be a password or a signature: it is used to open the
    file, counts when two addresses are compared, and is left out wherever the address is shown or stored.

    Args:
        full: The address as given.

    Example:
        >>> url = Url("https://me:secret@host.org/a%20b/case 1.svs?signature=xyz")
        >>> str(url), url.name
        ('https://host.org/a%20b/case 1.svs', 'case 1.svs')
    """

    __slots__ = ("_full",)

    def __init__(self, full: str) -> None:
        self._full = full.strip()

    def reveal(self) -> str:
        """The whole address, to open it; never to be shown."""
        return self._full

    @property
    def scheme(self) -> str:
        """http, https, s3 ..."""
        return self._full.partition("://")[0].lower()

    @property
    def host(self) -> str:
        """Server and port, or bucket."""
        rest = self._full.partition("://")[2]
        return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]

    @property
    def name(self) -> str:
        """File name: the last part of the path."""
        return unquote(self.path.rstrip("/").rpartition("/")[2])

    @property
    def suffix(self) -> str:
        """Extension of the file name."""
        return Path(self.name).suffix

    @property
    def path(self) -> str:
        """What lies between the host and the query, with its first slash."""
        rest = re.split(r"[?#]", self._full.partition("://")[2], maxsplit=1)[0]
        return "".join(rest.partition("/")[1:])

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.path}"

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and other._full == self._full

    def __hash__(self) -> int:
        return hash(self._full)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )


def without_secrets(word: str) -> str:
    """A word of a command line in which every URL is as it may be shown: without password and query.

    A URL goes on to the end of the word or to the next URL, since names and passwords may hold anything.

    Example:
        >>> without_secrets("--slides=https://me:secret@host.org/case 1.svs?signature=xyz")
        '--slides=https://host.org/case 1.svs'
    """
    return _URL_IN_WORD.sub(lambda found: str(Url(found.group())), word)


def is_url(given: object) -> bool:
    """Whether a text is a URL.

    Example:
        >>> is_url("s3://bucket/a.svs"), is_url("C:/slides/a.svs"), is_url("//server/a.svs")
        (True, False, False)
    """
    return isinstance(given, str) and _URL.match(given.strip()) is not None


def was_url(path: object) -> bool:
    """Whether something is a URL, or the path that becomes of one: of its two slashes a path keeps one.

    Example:
        >>> was_url("s3://bucket/a"), was_url(Path("s3://bucket/a")), was_url("C:/a"), was_url("a/b:/c")
        (True, True, False, False)
    """
    return isinstance(path, str | Path) and _WAS_URL.match(str(path).strip()) is not None


def require_paths(value: Any, takes_urls: bool) -> None:
    """Refuse what can be no path, also in lists and under keys.

    An empty text would mean the folder in which the command runs; no disk has names of 256 bytes.

    Args:
        value: Of a setting, as it was given.
        takes_urls: Whether URLs may stand there, too.

    Raises:
        ValueError: In words for the end of a message.
    """
    for each in _leaves(value):
        if isinstance(each, str) and not each.strip():
            raise ValueError("an empty text names no file and no folder")
        if not takes_urls and was_url(each):
            # Not by ./ before its name, which a path does not keep.
            raise ValueError(
                "a URL can be no file or folder here: give one on a disk (one that is called so, by its "
                "whole path)"
            )
        if isinstance(each, str | Path) and not is_url(each):
            parts = [part.encode("utf-8", "surrogatepass") for part in Path(each).parts]
            if sum(map(len, parts)) > 4_000 or any(len(part) > 255 or b"\0" in part for part in parts):
                raise ValueError("no file can have such a name")


def _leaves(value: Any, depth: int = 0) -> Iterator[Any]:
    """What lists and mappings hold, if it is any; in YAML they may lead back to where they began."""
    if not isinstance(value, Mapping | tuple | list) or depth == MOST_DEPTH:
        yield value
        return
    for each in value.values() if isinstance(value, Mapping) else value:
        yield from _leaves(each, depth + 1)


def place_of(given: Any) -> Any:
    """The URL that a text is; anything else as it came."""
    return Url(given) if is_url(given) else given


def _slide_of(given: Any) -> Any:
    return place_of(table_of(held_slide(given)))


def with_whole_path(place: Path | Url) -> Path | Url:
    """A place as another process finds it, whatever folder it works in."""
    return place if isinstance(place, Url) else place.resolve()


Place = Path | Url | HeldSlide
GivenPlace = Annotated[Path | Url, BeforeValidator(place_of)]
"""In settings: a path, or a text with a scheme such as https:// for a URL."""
GivenSlides = Annotated[
    tuple[Annotated[Path | Url | HeldSlide | FrameTable, BeforeValidator(_slide_of)], ...],
    BeforeValidator(held_slides),
]
"""In settings: such places, opened slides and images, a mapping of names to those, or DataFrames of paths."""
PlaceLike = str | Path | Url
SlideLike = str | Path | Url | OpenedSlide | Pixels | tuple[Pixels, float] | HeldSlide | Frame
SlidesLike = SlideLike | Sequence[SlideLike] | Mapping[str, OpenedSlide | Pixels | tuple[Pixels, float]]
"""How slides may be given in Python: one or several, from files or from memory, an image with its mpp."""
