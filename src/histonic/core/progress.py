"""How long work reports on itself without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener to long work; the command line draws bars, tests and notebooks may stay silent."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins, of ``total`` steps (None: not known)."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done; ``note`` says what is being worked on."""

    def say(self, line: str) -> None:
        """One line for the reader, such as a slide that was skipped."""


class Silent:
    """A :class:`Progress` that drops everything.

    Example:
        >>> Silent().advance(3)
    """

    def stage(self, name: str, total: int | None = None) -> None:
        """Drop the name of the stage."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Drop the steps."""

    def say(self, line: str) -> None:
        """Drop the line."""
