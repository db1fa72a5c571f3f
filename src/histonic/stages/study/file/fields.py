"""Options that messages name, as the fields of a study's file that they are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from histonic.core.errors import HistonicError
from histonic.stages.study.file.reading import PARTS
from histonic.stages.study.file.writing import flow

_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z-]*[a-z])(?![\w-])")
_WORD = re.compile(r""" (?!--)((?:'[^']*'|"(?:[^"\\]|\\.)*"|[^\s'"();\\])+)""")
_MARK = re.compile(r"[,:!?](?=\s*$|\s+[^(\s])|\.(?=\)|\s*$|\s+[^a-z\s(])")
"""Ends what is said; a point before a small letter is the end of a name, such as Nr."""


def field_words(text: str, part: str = "train", cohort: str = "") -> str:
    """Which fields of a study the options in a text are; empty if it names none.

    Values are told of mappings: options in one go belong together, those with words between them are
    alternatives. What cannot be read beyond doubt is left out, and the field named alone.

    Args:
        text: Of a message.
        part: Of the study whose step says it; that of the training has what labels are read by.
        cohort: From elsewhere, if the step is of one: what is said of its labels and slides stands there.

    Example:
        >>> field_words("Join them: --classes 'cll=CLL', or give --decimal comma.")
        'classes: {cll: CLL} under train, decimal under train'
        >>> field_words("Hide one: --columns fold=none or --columns split=none.")
        'columns: {fold: none} or {split: none} under train'
        >>> field_words("Give --decimal comma, or --mpp 0.5.", "external", "Ulm hospital")
        "decimal under external 'Ulm hospital', mpp under compress of external 'Ulm hospital'"
        >>> field_words("Give --dry-run.")
        ''
    """
    found: dict[tuple[str, str], list[dict[str, str] | None]] = {}
    last: tuple[str, str] | None = None
    end = 0
    for option in _OPTION.finditer(text):
        name = option[1].replace("-", "_")
        order = (part, *(["external"] if cohort else []), "train", *PARTS)
        parts = [each for each in order if each in PARTS and _may_stand(name, each)]
        if not parts or option.start() < end:  # within a value it is none
            continue
        key = name, parts[0]
        values = found.setdefault(key, [])
        if PARTS[parts[0]][0].model_fields[name].annotation == dict[str, str]:
            pair, after = _pair(text, option.end())
            before = values[-1] if values else None
            in_one_go = last == key and not text[end : option.start()].strip()
            if in_one_go and before and pair and not before.keys() & pair.keys():
                before |= pair
            elif pair != {}:
                values.append(pair)
            last, end = key, after
    return ", ".join(
        f"{name}{_told(values)} under {_place(part, cohort)}" for (name, part), values in found.items()
    )


def _place(part: str, cohort: str) -> str:
    if not cohort or part not in ("external", "compress"):
        return part
    return f"external {cohort!r}" if part == "external" else f"{part} of external {cohort!r}"


def _pair(text: str, start: int) -> tuple[dict[str, str] | None, int]:
    """What a mapping's option is given, and where that ends; empty if nothing, None if it cannot be read."""
    found = _WORD.match(text, start)
    if found is None or "=" not in found[1]:
        return {}, start
    word, end = found[1], found.end()
    if text[end : end + 1].strip() not in ("", ";", ")"):
        return None, end  # it goes on with what no shell takes for a part of a word
    if _MARK.match(text, end - 1):
        word, end = word[:-1], end - 1
    key, _, value = shlex.split(word)[0].partition("=")
    return ({key: value} if key and value else None), end


def _told(values: list[dict[str, str] | None]) -> str:
    known = dict.fromkeys(flow(each) for each in values if each is not None)
    if not known or None in values or any("\n" in each for each in known):
        return ""
    return f": {' or '.join(known)}"


def _may_stand(name: str, part: str) -> bool:
    model, of_study = PARTS[part]
    return name in model.model_fields and name not in of_study


@contextmanager
def told_by_fields(file: Path, part: str = "train", cohort: str = "") -> Iterator[None]:
    """What an error says to type on a command line is said of the study's file, too.

    Raises:
        HistonicError: As it came, with more to do.
    """
    try:
        yield
    except HistonicError as error:
        if words := field_words(error.todo, part, cohort):
            error.todo = f"{error.todo} In {file.name}: {words}."
            error.args = (error.asked, error.found, error.todo)
        raise
