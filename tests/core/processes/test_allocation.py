"""The bound holds inside and is gone behind."""

from __future__ import annotations

import sys

import pytest

from histonic.core.processes.allocation import allocating_at_most


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the address space")
def test_the_bound_holds_and_goes() -> None:
    with allocating_at_most(300_000_000):
        assert len(bytearray(1_000_000)) == 1_000_000
        with pytest.raises(MemoryError):
            bytearray(600_000_000)
    assert len(bytearray(600_000_000)) == 600_000_000


def test_it_goes_after_an_error_too() -> None:
    with pytest.raises(KeyError), allocating_at_most(300_000_000):
        raise KeyError
    assert len(bytearray(600_000_000)) == 600_000_000
