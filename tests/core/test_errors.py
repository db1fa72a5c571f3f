"""The errors: the tree drawn in the docstring is the real one."""

from __future__ import annotations

import re

from histonic.core import errors
from histonic.core.errors import HistonicError


def drawn_tree() -> set[tuple[str, str]]:
    """(class, parent) as drawn; four characters of drawing per level."""
    found = set()
    parents: list[str] = []
    for line in errors.__doc__.split("```")[1].splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+)", line)
        if match:
            depth = len(match.group(1)) // 4
            parents[depth:] = [match.group(2)]
            if depth:
                found.add((match.group(2), parents[depth - 1]))
    return found


def real_tree(parent: type) -> set[tuple[str, str]]:
    found = set()
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            found |= {(child.__name__, parent.__name__)} | real_tree(child)
    return found


def test_drawn_tree_is_the_real_one():
    assert drawn_tree() == real_tree(HistonicError)
    assert ("NoTissueError", "SlideError") in drawn_tree()


def test_error_has_three_parts():
    error = errors.TableError("Read a.csv.", "It is empty.", "Fill it.")
    assert (error.asked, error.found, error.todo) == ("Read a.csv.", "It is empty.", "Fill it.")
    assert error.reason == "It is empty. Fill it."
    assert str(error).splitlines() == ["Read a.csv.", "  found: It is empty.", "  to do: Fill it."]
