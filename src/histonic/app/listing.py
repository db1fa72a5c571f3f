"""What is installed: the readers, encoders and aggregators, and what each of them needs."""

from __future__ import annotations

from typing import Any

from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.registry import Entry, Registry
from histonic.encoders.base import ENCODERS
from histonic.slides.base import READERS
from histonic.slides.tissue.registry import FINDERS

FAMILIES: tuple[Registry[Any], ...] = (READERS, FINDERS, ENCODERS, AGGREGATORS)


def list_plugins(check: bool = False) -> tuple[list[str], int]:
    """One line a plugin: family, name, whether it can be used, what it is.

    Args:
        check: Import what is ready; without it nothing is imported.

    Returns:
        The lines, and how many plugins could not be imported.
    """
    lines, failed = [], 0
    widest = max(len(name) for registry in FAMILIES for name in registry.entries())
    family = max(len(registry.family) for registry in FAMILIES)
    for registry in FAMILIES:
        for entry in registry.entries().values():
            state = _state(registry, entry, check)
            failed += state.startswith("fails")
            origin = "" if entry.origin == "histonic" else f" (from {entry.origin})"
            name = f"{registry.family:<{family}} {entry.name:<{widest}}"
            lines.append(f"{name} {state:<7} {entry.summary}{origin}")
    return lines, failed


def _state(registry: Registry[Any], entry: Entry, check: bool) -> str:
    if entry.missing():
        return f"needs: {entry.install()}"
    try:
        if check:
            registry.get(entry.name)
    except SettingsError as error:
        return f"fails: {error.reason}"
    return "ready"
