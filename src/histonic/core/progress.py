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


def say_may_end_early(progress: Progress) -> None:
    """Tell a listener that parts of the stage may need fewer steps than its total has for them.

    A listener that wants to know has the methods ``may_end_early`` and ``ended`` besides those of
    :class:`Progress`; for the others the steps that are not needed are simply done.
    """
    listening = getattr(progress, "may_end_early", None)
    if listening is not None:
        listening()


def end_part(progress: Progress, took: int | None, most: int, note: str = "") -> None:
    """Tell a listener that a part of the stage has ended.

    Args:
        progress: The listener.
        took: The part's steps that it was told of; None if there was nothing to do, so that the part says
            nothing about others.
        most: The steps that the stage's total has for it.
        note: What was worked on.

    Example:
        >>> class Counter(Silent):
        ...     done = 0
        ...     def advance(self, steps=1, note=""):
        ...         self.done += steps
        >>> counter = Counter()
        >>> counter.advance(3); end_part(counter, took=3, most=10); counter.done
        10
    """
    listening = getattr(progress, "ended", None)
    if listening is not None:
        listening(took, most, note)
    elif most - (took or 0):
        progress.advance(most - (took or 0), note)
