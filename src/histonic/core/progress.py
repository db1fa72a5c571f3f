"""How long work reports on itself without knowing who listens: progress, metrics, slides in one protocol."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Protocol

from histonic.core.notebooks.progress import NotebookProgress, in_notebook


class Progress(Protocol):
    """The least that a listener to long work can be; :class:`Listener` hears of more."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins, of ``total`` steps (None: not known)."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done; ``note`` says what is being worked on."""

    def say(self, line: str) -> None:
        """One line for the reader, such as a slide that was skipped."""


@dataclass(frozen=True)
class Measures:
    """Numbers that a network's training knows of itself after a step or an epoch.

    Attributes:
        network: Which one learns, such as ``fold 2 of 4, network 1 of 2``, or the name of an encoder.
        epoch: That the numbers belong to, from 1; 0 is the untrained network.
        step: Steps of the optimizer until then, since the training began.
        values: By name: of a step ``loss``; of an epoch ``training loss`` (not before the first),
            ``validation loss``, ``learning rate`` and the scores of validation, such as ``grade AUROC``.
        is_step: Whether they are of a single step, not of an epoch.
    """

    network: str
    epoch: int
    step: int
    values: Mapping[str, float] = field(default_factory=dict)
    is_step: bool = False


class Listener:
    """Base of listeners to long work, whose methods drop what they hear: override those you want.

    A verb calls them from the process that it was called in, one at a time, also if it trains in several
    processes. An exception in a listener does not end the run: a warning tells of the first one, and the
    others are dropped. To stop a run, raise :class:`KeyboardInterrupt`; the same call then goes on with it.

    Example:
        >>> class Losses(Listener):
        ...     def measured(self, measures):
        ...         print(measures.network, measures.epoch, measures.values)
        >>> Losses().measured(Measures("fold 1 of 4", 3, 30, {"validation loss": 0.5}))
        fold 1 of 4 3 {'validation loss': 0.5}

    Attributes:
        is_vital: Whether a run shall end where this listener fails, as the command line does where nobody
            reads any more.
    """

    is_vital: ClassVar[bool] = False

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins, of ``total`` steps (None: not known)."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done; ``note`` says what is being worked on."""

    def doing(self, note: str, share: float = 0.0) -> None:
        """What is being worked on now, and the share of the next step (0 to 1) that is done."""

    def say(self, line: str) -> None:
        """One line for the reader, such as a slide that was skipped."""

    def warn(self, line: str) -> None:
        """A line that the reader should not miss; by default said as others are."""
        self.say(line)

    def detail(self, line: str) -> None:
        """A line for those who want to know more: what is read, what is cached, which engine is used."""

    def measured(self, measures: Measures) -> None:
        """Losses and scores of a network after a step or an epoch."""

    def slide(self, slide_id: str, failed: str = "") -> None:
        """A slide is done, or has failed for the reason that is told."""

    def may_end_early(self) -> None:
        """Parts of the stage may need fewer steps than its total has for them."""

    def ended(self, took: int | None, most: int, note: str = "") -> None:
        """A part of the stage has ended, see :func:`end_part`; by default the steps spared are advanced."""
        if most - (took or 0):
            self.advance(most - (took or 0), note)


class Silent(Listener):
    """A :class:`Listener` that drops everything.

    Example:
        >>> Silent().advance(3)
    """


EVENTS = tuple(name for name, each in vars(Listener).items() if callable(each) and name[0] != "_")
"""Names of the methods of a listener."""


class Forwarding(Listener):
    """Base of listeners that pass on all that they hear in one way: override :meth:`pass_on`."""

    def pass_on(self, name: str, *words: Any) -> None:
        """Pass on an event.

        Args:
            name: Of the method that was called, one of :data:`EVENTS`.
            *words: What it was called with.
        """

    def stage(self, name: str, total: int | None = None) -> None:
        """Pass it on."""
        self.pass_on("stage", name, total)

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Pass it on."""
        self.pass_on("advance", steps, note)

    def doing(self, note: str, share: float = 0.0) -> None:
        """Pass it on."""
        self.pass_on("doing", note, share)

    def say(self, line: str) -> None:
        """Pass it on."""
        self.pass_on("say", line)

    def warn(self, line: str) -> None:
        """Pass it on."""
        self.pass_on("warn", line)

    def detail(self, line: str) -> None:
        """Pass it on."""
        self.pass_on("detail", line)

    def measured(self, measures: Measures) -> None:
        """Pass it on."""
        self.pass_on("measured", measures)

    def slide(self, slide_id: str, failed: str = "") -> None:
        """Pass it on."""
        self.pass_on("slide", slide_id, failed)

    def may_end_early(self) -> None:
        """Pass it on."""
        self.pass_on("may_end_early")

    def ended(self, took: int | None, most: int, note: str = "") -> None:
        """Pass it on."""
        self.pass_on("ended", took, most, note)


class _Whole(Forwarding):
    """All methods over a listener that has only some."""

    def __init__(self, listener: Progress) -> None:
        self._listener = listener

    def pass_on(self, name: str, *words: Any) -> None:
        method = getattr(self._listener, name, None) or partial(getattr(Listener, name), self)
        method(*words)


class _Heard(_Whole):
    """The same, outliving the listener's exceptions."""

    _has_failed = False

    def pass_on(self, name: str, *words: Any) -> None:
        try:
            super().pass_on(name, *words)
        except Exception as error:  # noqa: BLE001 - whatever a listener does, the run is worth more
            if self._has_failed:
                return
            self._has_failed = True
            told = " ".join(f"{type(error).__name__}: {error}".split())
            warnings.warn(
                f"The listener {type(self._listener).__name__} failed in {name}() ({told}). The run goes on; "
                "what else fails in it is not told.",
                RuntimeWarning,
                stacklevel=3,
            )


def heard(progress: Progress | None) -> Listener:
    """A listener as a verb takes it: exceptions of those that were given end no run.

    None becomes a bar in the cell of a notebook, and elsewhere a listener that says nothing.

    Args:
        progress: What the user gave: any object with some of the methods of :class:`Listener`.

    Example:
        >>> class Broken(Listener):
        ...     def advance(self, steps=1, note=""):
        ...         raise ValueError("no such bar")
        >>> with warnings.catch_warnings(record=True) as told:
        ...     listener = heard(Broken())
        ...     listener.advance(); listener.advance()
        >>> [str(each.message)[:46] for each in told]
        ['The listener Broken failed in advance() (Value']
    """
    if progress is None:
        return _Heard(NotebookProgress()) if in_notebook() else Silent()
    if isinstance(progress, Listener) and (progress.is_vital or isinstance(progress, _Heard | Listeners)):
        return progress
    return _Heard(progress)


class Listeners(Forwarding):
    """Several listeners as one, each of which hears everything, whatever becomes of the others.

    Example:
        >>> class Loud(Listener):
        ...     def say(self, line):
        ...         print(line)
        >>> Listeners(Loud(), Silent(), Loud()).say("done")
        done
        done
    """

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = [heard(each) for each in listeners]

    def pass_on(self, name: str, *words: Any) -> None:
        """Tell all of them."""
        for each in self._listeners:
            getattr(each, name)(*words)


def _whole(progress: Progress) -> Listener:
    return progress if isinstance(progress, Listener) else _Whole(progress)


def warn(progress: Progress, line: str) -> None:
    """Tell a listener of something that the reader should not miss."""
    _whole(progress).warn(line)


def say_detail(progress: Progress, line: str) -> None:
    """Tell a listener that wants to know more what is read, what is cached, or which engine is used."""
    _whole(progress).detail(line)


def say_doing(progress: Progress, note: str, share: float = 0.0) -> None:
    """Tell a listener what is being worked on, and the share of the next step that is done."""
    _whole(progress).doing(note, share)


def tell_measures(progress: Progress, measures: Measures) -> None:
    """Tell a listener losses and scores."""
    _whole(progress).measured(measures)


def tell_slide(progress: Progress, slide_id: str, failed: str = "") -> None:
    """Tell a listener that a slide is done, or why it failed."""
    _whole(progress).slide(slide_id, failed)


def say_may_end_early(progress: Progress) -> None:
    """Tell a listener that parts of the stage may need fewer steps than its total has for them.

    For listeners without a method for it, the steps that are not needed are simply done.
    """
    _whole(progress).may_end_early()


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
    _whole(progress).ended(took, most, note)
