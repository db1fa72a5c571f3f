"""Which label each class gives, which shapes are dropped, and what is counted."""

from __future__ import annotations

import numpy as np

from histonic.core.units import XY
from histonic.data.annotations.shapes import Annotations, CodeMask, LabelRule, Point, Region, apply_rule

SQUARE = (np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 8.0], [0.0, 8.0]]),)


def drawn(*names: str) -> Annotations:
    return Annotations(tuple(Region(name, SQUARE) for name in names))


def test_classes_not_named_keep_their_name() -> None:
    named = apply_rule(drawn("Tumor", "Stroma"), LabelRule({"Tumor": "cancer"}))
    assert [region.label for region in named.regions] == ["cancer", "Stroma"]
    assert named.labels == ("Stroma", "cancer")


def test_excluded_regions_stay_and_skipped_ones_go() -> None:
    named = apply_rule(drawn("a", "b", "c"), LabelRule(exclude=("b",), skip=("c",)))
    assert [region.label for region in named.regions] == ["a", None]
    assert named.labels == ("a",) and not named.passed_over


def test_shapes_without_a_class_are_counted_unless_named() -> None:
    shapes = Annotations(drawn("unclassified", "a").regions, (Point("unclassified", XY(1, 1)),))
    assert apply_rule(shapes, LabelRule()).passed_over == {"shape without a class": 2}
    assert apply_rule(shapes, LabelRule()).labels == ("a",)
    assert apply_rule(shapes, LabelRule({"unclassified": "b"})).labels == ("a", "b")
    assert apply_rule(shapes, LabelRule(skip=("unclassified",))).passed_over == {}


def test_points_of_excluded_classes_go() -> None:
    shapes = Annotations(points=(Point("a", XY(0, 0)), Point("b", XY(1, 1))))
    named = apply_rule(shapes, LabelRule({"a": "mitosis"}, exclude=("b",)))
    assert named.points == (Point("mitosis", XY(0, 0)),)


def test_code_zero_is_nothing_unless_named() -> None:
    mask = CodeMask(np.array([[0, 1, 2]], np.uint8), {0: "0", 1: "1", 2: "2"})
    named = apply_rule(Annotations(mask=mask), LabelRule({"1": "tumour"}, exclude=("2",))).mask
    assert named is not None and named.labels == {1: "tumour", 2: None}
    named = apply_rule(Annotations(mask=mask), LabelRule({"0": "normal"}, skip=("2",))).mask
    assert named is not None and named.labels == {0: "normal", 1: "1"}
