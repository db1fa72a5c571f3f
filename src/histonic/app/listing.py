"""What is installed: the readers, encoders and aggregators, and what each of them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.registry import Entry, Registry
from histonic.encoders.base import ENCODERS
from histonic.slides.base import READERS
from histonic.slides.tissue.registry import FINDERS

FAMILIES: tuple[Registry[Any], ...] = (READERS, FINDERS, ENCODERS, AGGREGATORS)


@dataclass(frozen=True)
class Plugin:
    """One plugin.

    Attributes:
        family: ``reader``, ``tissue``, ``encoder`` or ``aggregator``.
        name: By which it is asked for.
        state: ``ready``, ``needs: `` and what to install, or ``fails: `` and why.
        summary: What it is.
        origin: The package that it comes from.
    """

    family: str
    name: str
    state: str
    summary: str
    origin: str


def list_plugins(check: bool = False) -> list[Plugin]:
    """All plugins, and whether they can be used.

    Args:
        check: Import what is ready; without it nothing is imported.
    """
    return [
        Plugin(registry.family, entry.name, _state(registry, entry, check), entry.summary, entry.origin)
        for registry in FAMILIES
        for entry in registry.entries().values()
    ]


def lines_of(plugins: Sequence[Plugin]) -> list[str]:
    """One line a plugin: family, name, whether it can be used, what it is."""
    widest = max(len(each.name) for each in plugins)
    family = max(len(each.family) for each in plugins)
    return [
        f"{each.family:<{family}} {each.name:<{widest}} {each.state:<7} {each.summary}"
        + ("" if each.origin == "histonic" else f" (from {each.origin})")
        for each in plugins
    ]


def _state(registry: Registry[Any], entry: Entry, check: bool) -> str:
    if entry.missing():
        return f"needs: {entry.install()}"
    try:
        if check:
            registry.get(entry.name)
    except SettingsError as error:
        return f"fails: {error.reason}"
    return "ready"
