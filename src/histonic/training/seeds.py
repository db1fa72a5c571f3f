"""Generators of random numbers from a seed and what it is for."""

from __future__ import annotations

import numpy as np


def torch_seed(*keys: int) -> int:
    """A seed for torch of its own for each combination of keys."""
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1)


def seeded(*keys: int) -> np.random.Generator:
    """A generator of its own for each combination of keys, so that any epoch can be drawn again."""
    return np.random.default_rng(np.random.SeedSequence(keys))
