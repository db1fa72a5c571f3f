"""Options that messages name, as the fields of a study's file that they are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from histonic.core.errors import HistonicError
from histonic.stages.study.file.reading import PARTS
from histonic.stages.study.file.writing import flow

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?: '([^']+)'| ([^\s'\"]+))?")


def field_words(text: str, part: str = "train") -> str:
    """Which fields of a study the options in a text are; empty if it names none.

    Args:
        text: Of a message.
        part: Of the study whose step says it; that of the training has what labels are read by.

    Example:
        >>> field_words("Join them: --classes 'cll=CLL', or give --decimal comma.")
        'classes: {cll: CLL} under train, decimal under train'
        >>> field_words("Give --dry-run.")
        ''
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for option, quoted, bare in _OPTION.findall(text):
        name = option.replace("-", "_")
        parts = [each for each in (part, "train", *PARTS) if each in PARTS and _may_stand(name, each)]
        if not parts:
            continue
        values = found.setdefault((name, parts[0]), {})
        key, is_pair, value = (quoted or bare.rstrip(".,;:)")).partition("=")
        if is_pair and PARTS[parts[0]][0].model_fields[name].annotation == dict[str, str]:
            values.setdefault(key, value)
    return ", ".join(
        f"{name}{f': {flow(values)}' if values else ''} under {part}"
        for (name, part), values in found.items()
    )


def _may_stand(name: str, part: str) -> bool:
    model, of_study = PARTS[part]
    return name in model.model_fields and name not in of_study


@contextmanager
def told_by_fields(file: Path, part: str = "train") -> Iterator[None]:
    """What an error says to type on a command line is said of the study's file, too.

    Raises:
        HistonicError: As it came, with more to do.
    """
    try:
        yield
    except HistonicError as error:
        if words := field_words(error.todo, part):
            error.todo = f"{error.todo} In {file.name}: {words}."
            error.args = (error.asked, error.found, error.todo)
        raise
