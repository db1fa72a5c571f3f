"""Listeners: what they hear, and that none of them ends a run."""

from __future__ import annotations

import inspect
import sys
import warnings
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from histonic.core.progress import (
    EVENTS,
    Forwarding,
    Listener,
    Listeners,
    Measures,
    Silent,
    end_part,
    heard,
    say_detail,
    say_doing,
    say_may_end_early,
    tell_measures,
    tell_slide,
    warn,
)

WORDS: dict[str, tuple[Any, ...]] = {
    "stage": ("read", 3),
    "advance": (1, "a"),
    "doing": ("b", 0.5),
    "say": ("c",),
    "warn": ("d",),
    "detail": ("e",),
    "measured": (Measures("net", 1, 2, {"loss": 0.5}),),
    "slide": ("s", "torn"),
    "may_end_early": (),
    "ended": (1, 3, "f"),
}


class All(Forwarding):
    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Any, ...]]] = []

    def pass_on(self, name: str, *words: Any) -> None:
        self.heard.append((name, words))


class Least:
    """No more than the protocol asks for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.lines.append(name)

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.done += steps

    def say(self, line: str) -> None:
        self.lines.append(line)


class Broken(Listener):
    def measured(self, measures: Measures) -> None:
        raise KeyError("AUROC")

    def say(self, line: str) -> None:
        raise OSError("no board")


def tell_all(listener: Listener) -> None:
    for name in EVENTS:
        getattr(listener, name)(*WORDS[name])


def test_every_event_has_the_same_words_in_all_listeners() -> None:
    assert set(EVENTS) == set(WORDS)
    for name in EVENTS:
        own, passed = (inspect.signature(getattr(each, name)) for each in (Listener, Forwarding))
        assert str(own) == str(passed)


def test_all_is_passed_on_to_each() -> None:
    one, two = All(), All()
    with pytest.warns(RuntimeWarning):
        tell_all(Listeners(one, Broken(), two))
    assert one.heard == two.heard == list(WORDS.items())


def test_a_listener_with_the_least_hears_what_it_can() -> None:
    least = Least()
    tell_all(heard(least))
    # A warning is a line for it, and the steps that were spared are done.
    assert least.lines == ["read", "c", "d"] and least.done == 3
    for tell in (
        lambda: say_may_end_early(least),
        lambda: say_detail(least, "x"),
        lambda: say_doing(least, "x"),
    ):
        tell()
    tell_measures(least, Measures("n", 0, 0))
    tell_slide(least, "a", "torn")
    warn(least, "odd")
    end_part(least, None, 4)
    assert least.lines[-1] == "odd" and least.done == 7


def test_an_exception_is_told_once_and_ends_nothing() -> None:
    listener = heard(Broken())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            tell_all(listener)
    (only,) = told
    assert "The listener Broken failed in" in str(only.message) and "The run goes on" in str(only.message)


def test_an_interruption_is_no_failure() -> None:
    class Stop(Listener):
        def advance(self, steps: int = 1, note: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        heard(Stop()).advance()


def test_the_command_line_may_end_a_run() -> None:
    class Unread(Broken):
        is_vital = True

    with pytest.raises(OSError, match="no board"):
        Listeners(Unread(), Silent()).say("x")


def test_none_is_silent_and_what_is_guarded_is_guarded_once() -> None:
    assert isinstance(heard(None), Silent)
    listener = heard(Broken())
    assert heard(listener) is listener


class _Kernel:
    """What stands for IPython in a notebook."""

    class display:  # a module there
        HTML = str
        shown: ClassVar[list[str]] = []

        @classmethod
        def display(cls, html: str, display_id: bool) -> Any:
            cls.shown.append(html)
            return SimpleNamespace(update=cls.shown.append)

    @staticmethod
    def get_ipython() -> Any:
        return SimpleNamespace(kernel=object())


def test_in_a_notebook_a_bar_is_drawn_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(heard(None)) is Silent
    monkeypatch.setitem(sys.modules, "IPython", _Kernel)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "IPython.display", _Kernel.display)  # type: ignore[arg-type]
    shown = _Kernel.display.shown
    listener = heard(None)
    listener.stage("compress", 2)
    listener.ended(1, 2)
    listener.advance()
    assert "compress" in shown[0] and "100 %" in shown[-1]
    shown.clear()
    for chosen in (Listener(), Silent(), Least()):
        listener = heard(chosen)
        listener.stage("compress", 2)
        listener.advance(2)
    assert not shown


def test_in_a_terminal_with_ipython_none_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(colors="linux"))
    monkeypatch.setitem(sys.modules, "IPython", shell)  # type: ignore[arg-type]
    assert type(heard(None)) is Silent
