"""Progress of long work on a terminal as bars, elsewhere as a line now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from histonic.app.terminal.time_left import TimeLeft

SECONDS_BETWEEN_LINES = 10.0


class _TimeLeftColumn(TimeRemainingColumn):
    """The time left, in words where parts of a stage may end early."""

    def render(self, task: Task) -> Text:
        """The column's text for one bar."""
        words = task.fields.get("left", "")
        return Text(words, style="progress.remaining") if words else super().render(task)


class TerminalProgress:
    """Bars with the time left where the output is a terminal, else plain lines every ten seconds.

    Use it as a context manager; everything goes to standard error, so that results can be piped.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Any = None
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description:<12}"),
                BarColumn(bar_width=28),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                _TimeLeftColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
            )
        self._task: Any = None
        self._name = ""
        self._last = time.monotonic()
        self._left = TimeLeft(None, self._last)
        self._ends_early = False

    def __enter__(self) -> TerminalProgress:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a new bar, or say so in a line."""
        self._name, self._ends_early = name, False
        self._last = time.monotonic()
        self._left = TimeLeft(total, self._last)
        if self._bars is not None:
            self._task = self._bars.add_task(name, total=total, note="", left="")
        else:
            self._line(f"{name} ...")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move the bar, or print a line if the last one is ten seconds old."""
        self._left.advance(steps)
        self._show(steps, note)

    def may_end_early(self) -> None:
        """Parts of the stage may need fewer steps than they have."""
        self._ends_early = True
        self._left.may_end_early()

    def ended(self, took: int | None, most: int, note: str = "") -> None:
        """A part of the stage has ended, see :func:`histonic.core.progress.end_part`."""
        self._ends_early = True
        self._show(self._left.ended(took, most), note)

    def _show(self, steps: int, note: str) -> None:
        now = time.monotonic()
        if self._bars is not None and self._task is not None:
            more = {"note": note} if note else {}
            left = self._left.words(now) if self._ends_early else ""
            self._bars.update(self._task, advance=steps, left=left, **more)
            return
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._line(f"{self._name} {self._left.told(now)} {note}".rstrip())

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bars is not None:
            self._bars.console.print(line, markup=False)
        else:
            self._line(line)

    def _line(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
