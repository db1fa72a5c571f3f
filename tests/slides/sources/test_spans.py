"""Tests of histonic.slides.sources.spans: few reads, the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.slides.sources.spans import NearReads, joined_spans, read_at

FILE = bytes(range(256)) * 8
RANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 48)), min_size=1, max_size=30)


@given(RANGES, st.integers(0, 200), st.integers(1, 400), st.integers(1, 3))
def test_every_range_is_what_a_read_of_its_own_gives(
    ranges: list[tuple[int, int]], gap: int, most: int, held: int
) -> None:
    spans = joined_spans(ranges, gap, most)
    assert all(any(start <= at and at + count <= stop for start, stop in spans) for at, count in ranges)
    near = NearReads(lambda at, count: FILE[at : at + count], ranges, held)
    assert all(near(at, count) == FILE[at : at + count] for at, count in ranges)


def test_a_span_ends_at_a_wide_gap_and_when_it_is_long() -> None:
    assert joined_spans([(0, 10), (20, 10), (41, 10)], gap=10) == [(0, 30), (41, 51)]
    assert joined_spans([(0, 10), (10, 10), (20, 10)], most=20) == [(0, 20), (20, 30)]
    assert joined_spans([(0, 100), (10, 5)], gap=0) == [(0, 100)]


def test_what_is_cut_short_is_read_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(FILE)
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, count, at: pread(file, min(count, 7), at))
    with path.open("rb") as file:
        assert read_at(file, 3, 100) == FILE[3:103]
        assert read_at(file, len(FILE) - 5, 100) == FILE[-5:]
