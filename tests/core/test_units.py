"""Pairs of numbers name their parts."""

from __future__ import annotations

from histonic.core.units import RC, WH, XY, Shape


def test_pairs_name_their_parts():
    assert (XY(1, 2).x, WH(1, 2).h, RC(1, 2).row, Shape(1, 2).cols) == (1, 2, 1, 2)
