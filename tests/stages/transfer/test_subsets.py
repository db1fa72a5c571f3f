"""Choices of sets: all of them, or a seeded sample in which each comes about equally often."""

from __future__ import annotations

from collections import Counter

from histonic.stages.transfer.subsets import draw_subsets


def test_a_sample_of_choices_is_seeded_and_balanced() -> None:
    names = [f"t{number}" for number in range(8)]
    drawn = draw_subsets(names, 3, 8, seed=4)
    assert drawn == draw_subsets(names, 3, 8, seed=4) != draw_subsets(names, 3, 8, seed=5)
    assert len(set(drawn)) == 8 and all(len(set(each)) == 3 for each in drawn)
    used = Counter(name for each in drawn for name in each)
    assert set(used.values()) <= {2, 3, 4}
    assert len(draw_subsets(names, 7, 7, seed=0)) == 7
