"""The errors a user can cause, each with three parts: what was asked, what was found, what to do.

```
HistonicError
├── SettingsError          a setting is unknown or has a value that cannot be used
├── SlideError             one slide cannot be used; the run goes on with the others
│   ├── UnreadableSlideError   no reader can open the file, or its pixels are damaged
│   ├── MissingMppError        the resolution is in neither header, table nor settings
│   ├── NoTissueError          nothing on the slide counts as tissue
│   └── MaskError              a tissue mask file cannot be used for its slide
├── TableError             a label or slide table is wrong; names the column or row
├── CohortError            the patients cannot be split or joined as asked
├── TileSetError           a set of labelled tiles cannot be used; names set, class or file
├── EncoderError           an encoder is unknown, damaged or does not fit the tiles
├── StoreError             a store of compressed slides is mixed, damaged or empty
│   └── ObjectStoreError       an object store does not answer, or refuses to
├── NetworkError           a network cannot be run as asked; names the layer
├── TrainingError          training cannot start or has left the finite numbers
├── BundleError            a model bundle is damaged or belongs to another encoder
├── ExecutorError          processes or the workers of a cluster cannot be had, or were lost
├── RunError               a run is not finished, or a file of it is damaged
└── OutputError            a result cannot be written: read-only folder, full disk
```
"""

from __future__ import annotations

import re

_SCHEME = r"\b(?:(?:https?|s?ftp|s3a?|gc?s|memory):/{1,2}|[a-z][a-z0-9+.-]+://)"
"""A path writes one slash of two."""
_PASSWORD = re.compile(rf"({_SCHEME})[^/\s?#]*@", re.IGNORECASE)
# Names of files may hold blanks; what follows the question mark of a sentence stays.
_SIGNATURE = re.compile(rf"({_SCHEME}[^?\n]*)\?\S+?(?=[.,;:)'\"]*(?:\s|$))", re.IGNORECASE)


def _without_secrets(text: str) -> str:
    """A URL in the place of a path comes as a plain text, whose secrets no ``Url`` hides."""
    return _SIGNATURE.sub(r"\1", _PASSWORD.sub(r"\1", text))


class HistonicError(Exception):
    """Base of all errors that a user can cause.

    Args:
        asked: What was asked, naming the slide, column, row or setting.
        found: What was found instead.
        todo: What the user can do about it.

    Example:
        >>> print(HistonicError("Read slide a.svs.", "The file is empty.", "Copy it again."))
        Read slide a.svs.
          found: The file is empty.
          to do: Copy it again.
    """

    def __init__(self, asked: str, found: str, todo: str) -> None:
        asked, found, todo = map(_without_secrets, (asked, found, todo))
        super().__init__(asked, found, todo)
        self.asked = asked
        self.found = found
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.asked}\n  found: {self.found}\n  to do: {self.todo}"

    @property
    def reason(self) -> str:
        """What was found and what to do, on one line, for failure lists."""
        return f"{self.found} {self.todo}"


class SettingsError(HistonicError):
    """A setting is unknown or has a value that cannot be used."""


class SlideError(HistonicError):
    """One slide cannot be used; a run over many slides lists it and goes on."""


class UnreadableSlideError(SlideError):
    """No reader can open the file, or its pixels are damaged."""


class MissingMppError(SlideError):
    """The resolution (microns per pixel) is in neither header, table nor settings."""


class NoTissueError(SlideError):
    """Nothing on the slide counts as tissue."""


class MaskError(SlideError):
    """A tissue mask or annotation file cannot be used for its slide."""


class TableError(HistonicError):
    """A label or slide table is wrong; the message names the column or row."""


class CohortError(HistonicError):
    """The patients cannot be joined or split as asked."""


class TileSetError(HistonicError):
    """A set of labelled tiles cannot be used; the message names the set, and the class or file."""


class EncoderError(HistonicError):
    """An encoder is unknown, damaged, or does not fit what it is given."""


class StoreError(HistonicError):
    """A store of compressed slides is mixed, damaged or empty."""


class ObjectStoreError(StoreError):
    """An object store does not answer, or refuses to; that says nothing of what it holds."""


class NetworkError(HistonicError):
    """A network cannot be run as asked; the message names the layer."""


class TrainingError(HistonicError):
    """Training cannot start, or has left the finite numbers."""


class BundleError(HistonicError):
    """A model bundle is damaged or belongs to another encoder."""


class ExecutorError(HistonicError):
    """The processes or the workers of a cluster that should do the work cannot be had, or were lost."""


class RunError(HistonicError):
    """A run is not finished, or one of its files is absent, damaged or of another version."""


class OutputError(HistonicError):
    """A result cannot be written: read-only folder, full disk.

    Attributes:
        is_full: Whether nothing more can be written at all, so that going on with the next slide is no use.
    """

    is_full = False
