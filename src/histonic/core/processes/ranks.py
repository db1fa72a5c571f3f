"""Whether this process is one of several that torchrun started with the same command, and which."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Ranks:
    """The place of a process among those that torchrun started.

    Attributes:
        rank: Of this process; 0 leads.
        world: How many there are.
        here: How many of them run on this host.
    """

    rank: int
    world: int
    here: int

    @property
    def hosts(self) -> int:
        """How many hosts there are; torchrun starts as many processes on each."""
        return self.world // self.here


def launched(environment: Mapping[str, str] = os.environ) -> Ranks | None:
    """The place of this process; None if it runs alone.

    Args:
        environment: Variables; torchrun tells by them.

    Example:
        >>> launched({}) is None
        True
        >>> words = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}
        >>> launched({"TORCHELASTIC_RUN_ID": "a", **words}).hosts
        2
    """
    if "TORCHELASTIC_RUN_ID" not in environment:
        return None
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    rank, world, here = (int(environment[name]) for name in names)
    return Ranks(rank, world, here) if world > 1 else None


def is_follower() -> bool:
    """Whether another process leads, so that this one prints and writes nothing."""
    ranks = launched()
    return ranks is not None and ranks.rank > 0
