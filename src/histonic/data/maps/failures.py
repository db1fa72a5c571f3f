"""Slides that could not be compressed: a record each in the store, and which names can name files there."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from histonic.core.documents import parse_part, read_values
from histonic.core.errors import StoreError
from histonic.core.files import write_json
from histonic.data.maps.codes import AGAIN

MOST_ID_BYTES = 200
"""Of a slide's identifier, since files are named by it, with something before and after it."""


@dataclass(frozen=True)
class Failure:
    """One slide that could not be compressed: at which stage, and why."""

    slide_id: str
    path: str
    stage: str
    reason: str


def failure_path(store: Path, slide_id: str) -> Path:
    """Where the failure record of a slide lies in a store."""
    # An identifier that cannot name a file is a failure too, and has to be recorded.
    name = slide_id if names_a_file(slide_id) else hashlib.sha256(os.fsencode(slide_id)).hexdigest()[:32]
    return store / "failures" / f"{name}.json"


def names_a_file(slide_id: str) -> bool:
    """Whether an identifier can be part of the names of files in a store.

    Example:
        >>> names_a_file("P1-2 a.b"), names_a_file("a/b"), names_a_file(".a"), names_a_file("x" * 300)
        (True, False, False, False)
    """
    plain = re.fullmatch(r"[^/\\\x00-\x1f.][^/\\\x00-\x1f]*", slide_id) is not None
    return plain and len(slide_id.encode("utf-8", "surrogateescape")) <= MOST_ID_BYTES


def read_failure(path: Path) -> Failure:
    """Read the record of a slide that could not be compressed.

    Raises:
        StoreError: It is damaged.
    """
    return parse_part(Failure, read_values(path, StoreError, AGAIN), path, StoreError, AGAIN)


def write_failure(store: Path, failure: Failure) -> None:
    """Record that a slide could not be compressed.

    Raises:
        OutputError: The record cannot be written.
    """
    write_json(failure_path(store, failure.slide_id), asdict(failure))
