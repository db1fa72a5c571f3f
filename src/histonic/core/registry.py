"""Families of plugins: built-ins listed as strings, others found through entry points."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from histonic.core.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Entry:
    """One name of a family.

    Attributes:
        name: What the user types.
        target: ``module:attribute``, imported only when asked for.
        summary: One line for ``histonic list``.
        needs: Packages (import names) that it cannot do without.
        origin: The distribution that brings it.
        extra: The extra of that distribution which brings what it needs, empty if there is none.
    """

    name: str
    target: str
    summary: str = ""
    needs: tuple[str, ...] = ()
    origin: str = "histonic"
    extra: str = ""

    def missing(self) -> tuple[str, ...]:
        """The needed packages that are not installed."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)

    def install(self) -> str:
        """The command that installs what is missing.

        Example:
            >>> Entry("a", "b:c", needs=("no_such_package",), extra="dicom").install()
            "pip install 'histonic[dicom]'"
        """
        what = f"'{self.origin}[{self.extra}]'" if self.extra else " ".join(self.missing())
        return f"pip install {what}"


class Registry(Generic[T]):
    """The members of one family by name, loaded only when asked for.

    Args:
        family: The word for one member, such as ``reader``.
        group: Entry-point group in which other packages register members.
        builtins: Members that histonic brings.
    """

    def __init__(self, family: str, group: str, builtins: tuple[Entry, ...]) -> None:
        self.family = family
        self.group = group
        self._builtins = builtins

    def entries(self) -> dict[str, Entry]:
        """All members by name, built-ins first, without importing any.

        Raises:
            SettingsError: Two members have the same name.
        """
        found: dict[str, Entry] = {}
        for entry in (*self._builtins, *self._plugins()):
            if entry.name in found:
                raise SettingsError(
                    f"List the {self.family}s.",
                    f"The name {entry.name!r} comes from both {found[entry.name].origin} and {entry.origin}.",
                    "Uninstall one of the two packages.",
                )
            found[entry.name] = entry
        return found

    def _plugins(self) -> tuple[Entry, ...]:
        return _found_by(importlib.metadata.entry_points, self.group)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries())

    def __contains__(self, name: object) -> bool:
        return name in self.entries()

    def get(self, name: str) -> T:
        """Import and return the member called ``name``.

        Raises:
            SettingsError: No such name (the nearest one is given), a package it needs is missing, or it
                cannot be imported.
        """
        entries = self.entries()
        if name not in entries:
            near = difflib.get_close_matches(name, entries, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise SettingsError(
                f"Use the {self.family} {name!r}.",
                f"There is no {self.family} of that name.",
                f"{hint}Known: {', '.join(entries)}. See 'histonic list'.",
            )
        entry = entries[name]
        if absent := entry.missing():
            raise SettingsError(
                f"Use the {self.family} {name!r}.",
                f"It needs {', '.join(absent)}, which is not installed.",
                f"Install it: {entry.install()}",
            )
        module, _, attribute = entry.target.partition(":")
        try:
            member: Any = getattr(importlib.import_module(module), attribute)
        except Exception as error:
            raise SettingsError(
                f"Use the {self.family} {name!r}.",
                f"{entry.target} cannot be imported: {' '.join(f'{type(error).__name__}: {error}'.split())}.",
                f"Update or reinstall {entry.origin}; 'histonic list --check' tries all plugins.",
            ) from error
        return member  # type: ignore[no-any-return]


@functools.cache
def _found_by(find: Callable[..., Iterable[importlib.metadata.EntryPoint]], group: str) -> tuple[Entry, ...]:
    """The members that other packages register, looked up once a process: each opened slide asks for them."""
    return tuple(
        Entry(point.name, point.value, origin=point.dist.name if point.dist else "an unknown package")
        for point in find(group=group)
    )
