"""The errors: the tree drawn in the docstring is the real one."""

from __future__ import annotations

import pickle
import re

import pytest

from histonic.core import errors
from histonic.core.errors import HistonicError
from histonic.data.maps.store import Store


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


SECRET = "https://me:KEY@h.org/a b/store?X-Amz-Signature=KEY"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Open {SECRET}.", "Open https://h.org/a b/store."),
        ("Open https:/me:KEY@h.org:80/a?KEY, 'S3:/b/c?KEY'.", "Open https:/h.org:80/a, 'S3:/b/c'."),
        ("(azure://me:K@EY@h/a)\nIs it? a?b", "(azure://h/a)\nIs it? a?b"),
        ("s3://b/x gave https://u:KEY@h/y?KEY.", "s3://b/x gave https://h/y."),
        ("Did you mean s3://b/a? Look.", "Did you mean s3://b/a? Look."),
        ("Read C:/x@y/a?b, score:/a@b, 10:/ of it?yes", "Read C:/x@y/a?b, score:/a@b, 10:/ of it?yes"),
    ],
)
def test_no_error_shows_passwords_and_signatures(text: str, shown: str) -> None:
    error = HistonicError(text, text, text)
    assert {error.asked, error.found, error.todo} == {shown}
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_url_in_the_place_of_a_folder_shows_no_secrets() -> None:
    with pytest.raises(errors.StoreError, match="It is a URL") as caught:
        Store.open(SECRET)
    assert "KEY" not in str(caught.value) and "h.org/a b/store" in caught.value.asked
