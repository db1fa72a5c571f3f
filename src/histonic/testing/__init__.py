"""What plugin authors and users with strange slides test with; contracts are loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from histonic.testing.contracts import (
        TASKS,
        AggregatorContract,
        BagContract,
        EncoderContract,
        PaddingContract,
        SlideContract,
    )

__all__ = [
    "TASKS",
    "AggregatorContract",
    "BagContract",
    "EncoderContract",
    "PaddingContract",
    "SlideContract",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from histonic.testing import contracts

        return getattr(contracts, name)
    raise AttributeError(f"module 'histonic.testing' has no attribute {name!r}")
