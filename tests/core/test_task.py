"""Targets as users write them."""

from __future__ import annotations

import json

import pytest

from histonic.core.errors import SettingsError
from histonic.core.task import TASK_KINDS, TargetRequest, Task, column_target, parse_target


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("grade", TargetRequest("grade")),
        ("grade:ordinal", TargetRequest("grade", "ordinal")),
        ("score:regression:Ki67 percent", TargetRequest("score", "regression", ("Ki67 percent",))),
        ("score::ki67", TargetRequest("score", None, ("ki67",))),
        ("os:survival", TargetRequest("os", "survival")),
        ("os:survival: months , dead ", TargetRequest("os", "survival", ("months", "dead"))),
        ("g:ordinal:who:low<mid<high", TargetRequest("g", "ordinal", ("who",), ("low", "mid", "high"))),
        ("g:ordinal::<1% < 1-49% < >49%", TargetRequest("g", "ordinal", (), ("<1%", "1-49%", ">49%"))),
        ("g::who: low < high ", TargetRequest("g", "ordinal", ("who",), ("low", "high"))),
        ("msi:binary:mmr:positive=MSI-H", TargetRequest("msi", "binary", ("mmr",), positive="MSI-H")),
        ("msi:binary: positive = 1:high", TargetRequest("msi", "binary", positive="1:high")),
        ("msi:::positive=yes", TargetRequest("msi", "binary", positive="yes")),
        ("y:binary:IHC:score<5", TargetRequest("y", "binary", ("IHC:score<5",))),
    ],
)
def test_parse_target(text, request_):
    assert parse_target(text) == request_


@pytest.mark.parametrize(
    "column",
    ["PD-L1: <1%", "a:positive=b", "age: months, years", "IHC:score<5", " grade ", "a\x00b", "x" * 161],
)
@pytest.mark.parametrize("kind", ["", *(each for each in TASK_KINDS if each != "survival")])
def test_a_column_is_offered_only_as_it_is_read(column, kind):
    text = column_target(column, kind)
    read = parse_target(text) if text else TargetRequest("", kind or None, (column,))
    assert read.columns == (column,) and read.kind == (kind or None) and not read.order and not read.positive
    assert (text == "") == (column not in ("PD-L1: <1%", "IHC:score<5") or kind in ("", "ordinal"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (":binary", "empty"),
        ("grade:ordnal", "ordnal"),
        ("Grade: WHO", "colon in its name: NAME::COLUMN, or rename"),
        ("os:survival:months", "2 needed"),
        ("os:survival:entry,exit,dead", "left truncation.*os:survival:exit,dead with --columns entry=none"),
        ("grade:binary:a,b", "1 needed"),
        ("grade:ordinal:a:low<mid<low", "'low' stands twice"),
        ("grade:ordinal:a:positive=high", "no positive class"),
        ("os:survival:t,e:positive=1", "no positive class"),
        ("msi:binary:a:positive=", "No class follows"),
    ],
)
def test_parse_target_refuses(text, word):
    with pytest.raises(SettingsError, match=f"(?s){word}"):
        parse_target(text)


@pytest.mark.parametrize(
    ("kind", "classes", "outputs"),
    [
        ("binary", ("a", "b"), 1),
        ("multiclass", ("a", "b", "c"), 3),
        ("ordinal", ("1", "2", "3", "4"), 3),
        ("regression", (), 1),
        ("survival", (), 1),
    ],
)
def test_outputs_per_kind(kind, classes, outputs):
    task = Task("t", kind, ("c",), classes)
    assert task.outputs == outputs
    assert task.is_classification == bool(classes)
    assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


@pytest.mark.parametrize(
    ("classes", "values"),
    [
        (("3", "4", "5"), (3.0, 4.0, 5.0)),
        (("-1", "0.5", "10"), (-1.0, 0.5, 10.0)),
        (("G1", "G2"), (0.0, 1.0)),
        (("1", "2", "2+"), (0.0, 1.0, 2.0)),
        (("3", "2", "1"), (0.0, 1.0, 2.0)),
    ],
)
def test_classes_count_by_their_numbers_or_their_place(classes, values):
    assert Task("t", "ordinal", ("c",), classes).class_values == values


def test_every_kind_is_known_and_no_other():
    assert set(TASK_KINDS) == {"binary", "multiclass", "ordinal", "regression", "survival"}
    with pytest.raises(SettingsError, match="ranking"):
        Task("t", "ranking", ("c",))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "name is absent"),
        ([], "its content"),
        ({"name": "t", "kind": "guess", "columns": ["c"]}, "kind is 'guess'"),
        ({"name": "t", "kind": "binary", "columns": "c"}, "columns is 'c'"),
        ({"name": "t", "kind": "survival", "columns": ["c"], "intervals": "4"}, "intervals is '4'"),
    ],
)
def test_damaged_values_are_refused_by_their_field(values, words):
    with pytest.raises(SettingsError, match=words):
        Task.from_dict(values)


@pytest.mark.parametrize("name", ["x" * 300, "ä" * 81, "a\nb", "a\x00b"])
def test_names_that_cannot_name_a_file_are_refused(name):
    with pytest.raises(SettingsError, match=r"bytes|printed"):
        parse_target(name)
