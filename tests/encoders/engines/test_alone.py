from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import pytest

from histonic.core.compressed import EncodingDescription
from histonic.encoders.engines.alone import rate_alone
from histonic.encoders.engines.pool import EncodingPool


def test_the_rate_is_that_of_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def encode(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        calls.append(len(tiles))
        return np.zeros((len(tiles), 1), np.float32)

    clock = iter(range(0, 10**6, 2))  # two seconds pass between any two looks
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    description = EncodingDescription(engine="eager", batch=4, machine="a machine")
    with EncodingPool(encode, description, 1, workers=3) as pool:
        rate = rate_alone(pool, 8, 1.0)
    assert set(calls) == {4}
    assert sum(calls) == 3 * 12  # one round that counts nothing, two that do
    assert rate == 24 / 6
