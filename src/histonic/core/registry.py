"""Families of plugins: built-ins listed as strings, others from entry points or from a session."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
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
        self._session: dict[str, T] = {}

    def register(self, name: str, member: T) -> None:
        """Add a member to this process alone, such as a class of a notebook; one of its name is replaced.

        Args:
            name: What it is called in settings.
            member: The member.

        Raises:
            SettingsError: The name is taken by a built-in or a package, or is none.
        """
        asked = f"Register the {self.family} {name!r}."
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
            raise SettingsError(
                asked, "That is no name.", "Use a letter, then letters, digits, points, hyphens."
            )
        if name in self.entries() and name not in self._session:
            article = "an" if self.family[0] in "aeiou" else "a"
            raise SettingsError(
                asked,
                f"{self.entries()[name].origin} has {article} {self.family} of that name.",
                "Use another name.",
            )
        self._session[name] = member

    def forget(self, name: str) -> None:
        """Take a member of this session away again, if it is there."""
        self._session.pop(name, None)

    def is_of_session(self, name: str) -> bool:
        """Whether a member was registered in this process, so that other processes do not know it."""
        return name in self._session

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
        for name in self._session:
            found.setdefault(name, Entry(name, "", "registered in this session", origin="this session"))
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
                f"{hint}Known: {', '.join(entries)}. See 'histonic list'; one that was registered in another "
                "session has to be registered in this one, too.",
            )
        if name in self._session:
            return self._session[name]
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


def code_hash(thing: Any) -> str:
    """Twelve digits that change with the code of a class or function, as far as Python shows it.

    Example:
        >>> code_hash(lambda x: x + 1) == code_hash(lambda x: x + 2)
        False
    """
    subject = thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)
    try:
        text = inspect.getsource(subject)
    except (OSError, TypeError):
        text = getattr(subject, "__qualname__", repr(subject))
    digest = hashlib.sha256(text.encode())
    # Where there is no source, as of what was typed at a prompt, its methods tell.
    methods = (
        [] if inspect.isfunction(thing) else [value for _, value in sorted(vars(subject).items(), key=str)]
    )
    for found in (getattr(each, "__code__", None) for each in (thing, *methods)):
        if found is not None:
            digest.update(found.co_code + repr((_constants(found), found.co_names)).encode())
    return digest.hexdigest()[:12]


def _constants(code: Any) -> list[Any]:
    """Constants of code; of code within it the same, for its address is another in every session."""
    return [
        (each.co_code, each.co_names, _constants(each)) if inspect.iscode(each) else each
        for each in code.co_consts
    ]
