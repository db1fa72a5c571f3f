"""A progress bar in a notebook: one line that is drawn again in its place, without any widget."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

EVERY_S = 0.25
"""A bar is drawn no more often."""
LINES_SHOWN = 8
"""Lines that are kept below the bar, the newest last."""


class NotebookProgress:
    """Draws how long work goes on in the output of a cell.

    In a notebook every verb does so unless it is given another listener: ``progress=histonic.Listener()``
    shows nothing. Outside of a notebook nothing is shown.

    Args:
        display: Shows HTML for the first time and returns what updates it; IPython's by default.
        clock: Seconds.

    Example:
        >>> shown = []
        >>> bar = NotebookProgress(lambda html: shown.append(html) or shown.append, clock=lambda: 0.0)
        >>> bar.stage("compress", 4); bar.advance(1, "a.svs"); bar.advance(3)
        >>> "compress" in shown[0], "100 %" in shown[-1]
        (True, True)
    """

    def __init__(
        self,
        display: Callable[[str], Callable[[str], Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._display = display or _ipython_display
        self._clock = clock
        self._update: Callable[[str], Any] | None = None
        self._name, self._note = "", ""
        self._total: int | None = None
        self._done = 0
        self._began = self._drawn = 0.0
        self._lines: list[str] = []

    def stage(self, name: str, total: int | None = None) -> None:
        """A new stage begins, of ``total`` steps (None: not known)."""
        self._finish()
        self._name, self._total, self._done, self._note = name, total, 0, ""
        self._began, self._lines = self._clock(), []
        self._update = self._display(self._html())
        self._drawn = self._began

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done; ``note`` says what is being worked on."""
        self._done += steps
        self._note = note or self._note
        ended = self._total is not None and self._done >= self._total
        if ended or self._clock() - self._drawn >= EVERY_S:
            self._draw()

    def say(self, line: str) -> None:
        """One line for the reader, such as a slide that was skipped."""
        self._lines = [*self._lines, line][-LINES_SHOWN:]
        if self._update is None:
            self._update = self._display(self._html())
        else:
            self._draw()

    def _finish(self) -> None:
        if self._update is not None and self._name:
            self._draw()

    def _draw(self) -> None:
        self._drawn = self._clock()
        if self._update is not None:
            self._update(self._html())

    def _html(self) -> str:
        bar = self._bar() if self._name else ""
        said = "".join(f"<div>{escape(line)}</div>" for line in self._lines)
        return f'<div style="font-size:90%">{bar}{said}</div>'

    def _bar(self) -> str:
        seconds = self._clock() - self._began
        took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
        if not self._total:
            return f"<div><b>{escape(self._name)}</b> {self._done:,} · {took} {escape(self._note)}</div>"
        share = min(self._done / self._total, 1.0)
        left = ""
        if 0 < share < 1 and seconds > 2:
            rest = seconds * (1 - share) / share
            left = f" · about {rest:.0f} s left" if rest < 120 else f" · about {rest / 60:.0f} min left"
        inner = f"display:block;width:{100 * share:.1f}%;height:100%;background:#0072b2"
        outer = "display:inline-block;width:12em;height:.8em;background:#ddd;vertical-align:middle"
        filled = f'<span style="{outer}"><span style="{inner}"></span></span>'
        note = "" if share >= 1 else f" · {escape(self._note)}" if self._note else ""
        return f"<div><b>{escape(self._name)}</b> {filled} {100 * share:.0f} % · {took}{left}{note}</div>"


def _ipython_display(html: str) -> Callable[[str], Any]:
    """Show HTML in the cell's output; lines alone where there is no notebook."""
    if not in_notebook():
        return _silent
    from IPython.display import HTML, display

    handle = display(HTML(html), display_id=True)

    def update(new: str) -> None:
        handle.update(HTML(new))

    return update


def in_notebook() -> bool:
    """Whether Python runs in a kernel that shows HTML; IPython is not imported to find out.

    Example:
        >>> in_notebook()
        False
    """
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _silent(html: str) -> None:
    """No notebook, no bar."""
