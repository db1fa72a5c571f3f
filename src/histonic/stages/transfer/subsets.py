"""Which sets encoders of so many tasks are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

import numpy as np


def draw_subsets(names: Sequence[str], count: int, most: int, seed: int) -> list[tuple[str, ...]]:
    """All choices of ``count`` names, or a seeded sample in which the names occur about equally often.

    Args:
        names: To choose from.
        count: How many in a choice.
        most: Choices at most.
        seed: Of the sample.

    Example:
        >>> draw_subsets(["a", "b", "c"], 2, 6, seed=0)
        [('a', 'b'), ('a', 'c'), ('b', 'c')]
    """
    if comb(len(names), count) <= most:
        return list(combinations(names, count))
    rng = np.random.default_rng([seed, count, 19])
    used = np.zeros(len(names))
    chosen: set[tuple[int, ...]] = set()
    while len(chosen) < most:
        # The least used first, at random among equals; a little noise ends a search that goes in circles.
        order = np.argsort(used + rng.random(len(names)) * 1.5)
        pick = tuple(sorted(int(number) for number in order[:count]))
        if pick not in chosen:
            chosen.add(pick)
            used[list(pick)] += 1
    return [tuple(names[number] for number in pick) for pick in sorted(chosen)]
