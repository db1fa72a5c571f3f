"""What is installed: the readers, encoders and aggregators, and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from histonic.aggregators.registry import AGGREGATORS
from histonic.core.registry import Registry
from histonic.encoders.base import ENCODERS
from histonic.slides.base import READERS


def plugin_lines() -> Iterator[str]:
    """One line a plugin: family, name, whether it can be used, what it is."""
    families: tuple[Registry[Any], ...] = (READERS, ENCODERS, AGGREGATORS)
    for registry in families:
        for entry in registry.entries().values():
            absent = entry.missing()
            state = f"needs: pip install {' '.join(absent)}" if absent else "ready"
            origin = "" if entry.origin == "histonic" else f" (from {entry.origin})"
            yield f"{registry.family:<11} {entry.name:<12} {state:<7} {entry.summary}{origin}"
