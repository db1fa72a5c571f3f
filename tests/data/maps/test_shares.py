"""Shares of tissue: whose stand out, by hand, and the table of a store."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histonic.core.compressed import CompressedSlide, MapSettings, SlideDescription
from histonic.core.grid import TileGrid
from histonic.core.settings import TissueSettings
from histonic.data.maps.failures import Failure
from histonic.data.maps.shares import (
    FEWEST,
    NO_CELL,
    TissueShare,
    cohort_words,
    read_shares,
    tissue_outliers,
    write_shares,
)
from histonic.data.maps.store import map_folder
from histonic.data.maps.writer import write_map

SLIDE_MM2, FIELD_MM2 = 300.0, 1.0


def cohort(*shares: float, scan_mm2: float | None = SLIDE_MM2, start: int = 0) -> list[TissueShare]:
    """Slides s0, s1 ... with these shares of tissue; of 0 no cell is kept."""
    return [
        TissueShare(f"s{start + k}", math.ceil(1000 * share), share, share, scan_mm2=scan_mm2)
        for k, share in enumerate(shares)
    ]


def found(shares: list[TissueShare]) -> list[tuple[str, str]]:
    return [(each.slide_id, each.kind) for each in tissue_outliers(shares)]


def test_the_bound_is_that_of_median_and_deviations_by_hand() -> None:
    # Logarithms to the base 2 of these shares: -3, -2, -2, -1, -1 and that of the last slide, x.
    # With x below all: the median is -2, the deviations are 1, 0, 0, 1, 1 and far; their median is 1.
    # The bound is 3.5 * 1.4826 * 1 * 6 / 5.2 = 5.99 below: at -7.99, which is a share of 0.00394.
    others = (0.125, 0.25, 0.25, 0.5, 0.5)
    bound = 2 ** (-2 - 3.5 * 1.4826 * 6 / 5.2)
    assert bound == pytest.approx(0.00394, abs=1e-5)
    assert found(cohort(*others, 0.0040)) == []
    assert found(cohort(*others, 0.0039)) == [("s5", "less")]


def test_alike_slides_stand_out_from_a_third_on() -> None:
    assert found(cohort(0.6, 0.6, 0.6, 0.6, 0.21)) == []
    assert found(cohort(0.6, 0.6, 0.6, 0.6, 0.19)) == [("s4", "less")]


def test_a_slide_that_is_all_tissue_stands_out_where_the_others_are_not() -> None:
    assert found(cohort(0.3, 0.4, 0.25, 0.5, 1.0)) == [("s4", "all")]
    assert found(cohort(0.3, 0.4, 0.25, 0.5, 0.97)) == []
    # Large resections: glass of 5 to 40 %, so that next to none is not far.
    assert found(cohort(0.95, 0.6, 0.9, 0.8, 0.7, 0.97, 1.0)) == []
    # Fields are all tissue, and one of them is fat or lumen in part.
    assert found(cohort(1.0, 1.0, 0.97, 1.0, 0.5, scan_mm2=FIELD_MM2)) == []
    assert found(cohort(1.0, 1.0, 0.97, 1.0, 0.2, scan_mm2=FIELD_MM2)) == [("s4", "less")]
    assert found(cohort(1.0, 1.0, 1.0, 1.0, 1.0)) == []


def test_slides_and_fields_of_one_cohort_are_not_neighbours() -> None:
    slides, fields = (0.3, 0.25, 0.4, 0.2, 0.35), (1.0, 0.98, 1.0, 0.9)
    mixed = [*cohort(*slides), *cohort(*fields, scan_mm2=FIELD_MM2, start=5)]
    assert found(mixed) == []
    wrong = [*mixed, *cohort(1.0, 0.001, start=9), *cohort(0.1, scan_mm2=FIELD_MM2, start=11)]
    assert found(wrong) == [("s10", "less"), ("s11", "less"), ("s9", "all")]
    words = {each.slide_id: each.words for each in tissue_outliers(wrong)}
    assert words["s11"].endswith("10 % of the slide, where the median of 5 fields or cores is 98 %")
    assert words["s9"].endswith("100 % of the slide, where the median of 7 slides is 30 %")


def test_few_slides_have_no_neighbours() -> None:
    assert FEWEST == 4
    assert found(cohort(0.3, 0.3, 0.001)) == []
    assert found(cohort(0.3, 0.3, 0.3, 0.001)) == [("s3", "less")]


def test_a_slide_with_nothing_always_stands_out_and_is_no_neighbour() -> None:
    assert found(cohort(0.0)) == [("s0", "nothing")]
    assert tissue_outliers(cohort(0.0))[0].words == "nothing on it is tissue: no cell is kept"
    shares = [*cohort(0.3, 0.2, 0.4, 0.01), *cohort(0.0, 0.0, 0.0, 0.0, 0.0, start=4)]
    assert found(shares) == [*((f"s{k}", "nothing") for k in range(4, 9)), ("s3", "less")]
    assert tissue_outliers(shares)[0].words.endswith("where the median of 4 others is 25 %")


def test_where_one_area_is_not_known_cells_are_compared() -> None:
    shares = [TissueShare(f"s{k}", 9, 0.3, 0.5) for k in range(4)]
    old = TissueShare("old", 9, None, 0.45)
    assert found([*shares, old]) == []
    assert cohort_words([*shares, old]) == (
        "Tissue is 50 % of the cells of the median slide (45 % to 50 %, 5 slides)."
    )
    assert old.words() == "tissue 45 % of its cells (9)"
    low = tissue_outliers([*shares, TissueShare("old", 9, None, 0.05)])[0].words
    assert "5.0 % of its cells, where the median of 5 slides is 50 %" in low


@given(st.lists(st.floats(0, 1), max_size=12), st.randoms())
def test_the_order_does_not_matter_and_none_is_named_twice(values: list[float], random: object) -> None:
    shares = cohort(*values)
    first = tissue_outliers(shares)
    random.shuffle(shares)  # type: ignore[attr-defined]
    assert {(each.slide_id, each.words) for each in first} == {
        (each.slide_id, each.words) for each in tissue_outliers(shares)
    }
    assert len({each.slide_id for each in first}) == len(first)


@given(st.lists(st.floats(0.01, 0.97), min_size=4, max_size=12))
def test_never_most_of_the_slides_stand_out(values: list[float]) -> None:
    assert len(found(cohort(*values))) < len(values) / 2


def test_maps_without_an_area_and_failures_are_read(tmp_path: Path, slide_maker: object) -> None:
    mask = np.zeros((4, 5), bool)
    mask[1, :4] = True
    grid = TileGrid.over((5 * 128, 4 * 128), slide_mpp=0.5, tile_px=128, mpp=0.5)
    for name, given_mask in (("b", None), ("a", "hash")):
        made: CompressedSlide = slide_maker(name, np.ones((3, 4, 5)), mask)  # type: ignore[operator]
        about = SlideDescription(fingerprint=name, mask=given_mask)
        rule = MapSettings(tissue=TissueSettings(source="all"))
        slide = CompressedSlide(name, made.features, mask, grid, made.encoder, about, settings=rule)
        write_map(map_folder(tmp_path, name), slide)
    failures = [
        Failure("empty", "empty.svs", "tissue", f"{NO_CELL} Give a mask."),
        Failure("torn", "torn.svs", "open", "The file is cut off."),
        Failure("masked", "masked.svs", "tissue", "Its mask is of another shape."),
        Failure("a", "a.svs", "tissue", f"{NO_CELL} Give a mask."),
    ]
    shares = read_shares(tmp_path, ["b", "a"], failures)
    assert [(each.slide_id, each.cells, each.of_cells) for each in shares] == [
        ("a", 4, 0.2),
        ("b", 4, 0.2),
        ("empty", 0, 0.0),
    ]
    assert [each.tissue_from for each in shares] == ["mask", "all", ""]
    assert shares[0].scan_mm2 == pytest.approx(0.32 * 0.256)
    assert shares[0].tissue_mm2 == pytest.approx(4 * 0.064**2)
    write_shares(tmp_path, shares, tissue_outliers(shares))
    with (tmp_path / "tissue.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["slide_id"] for row in rows] == ["a", "b", "empty"]
    assert rows[0]["share_of_area"] == "" and rows[0]["share_of_cells"] == "0.2"
    assert [row["stands_out"] for row in rows] == ["", "", "nothing"]
    assert rows[2]["words"] == (
        "nothing on it is tissue: no cell is kept, where the median of 2 others is 20 %"
    )
