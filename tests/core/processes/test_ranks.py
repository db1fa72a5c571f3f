"""The place of a process among those that torchrun started."""

from __future__ import annotations

import pytest

from histonic.core.processes.ranks import Ranks, is_follower, launched


def words(rank: int, world: int, here: int) -> dict[str, str]:
    return {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(here),
    }


def test_only_several_processes_of_torchrun_are_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched(words(5, 8, 4)) == Ranks(5, 8, 4) and Ranks(5, 8, 4).hosts == 2
    assert launched(words(0, 1, 1)) is None
    # Variables of the same names are set by other programs, too.
    assert launched({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}) is None
    assert not is_follower()
    for name, value in words(1, 2, 2).items():
        monkeypatch.setenv(name, value)
    assert is_follower()
