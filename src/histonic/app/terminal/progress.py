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
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


def told_time(seconds: float) -> str:
    """A duration in the unit that a reader thinks in.

    Example:
        >>> told_time(89), told_time(620), told_time(12000)
        ('89 s', '10 min', '3 h 20 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


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
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
            )
        self._task: Any = None
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._began = self._last = time.monotonic()

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
        self._name, self._total, self._done = name, total, 0
        self._began = self._last = time.monotonic()
        if self._bars is not None:
            self._task = self._bars.add_task(name, total=total, note="")
        else:
            self._line(f"{name} ...")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move the bar, or print a line if the last one is ten seconds old."""
        self._done += steps
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=steps, note=note)
            return
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self._line(f"{self._name} {self._share(now)} {note}".rstrip())

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bars is not None:
            self._bars.console.print(line, markup=False)
        else:
            self._line(line)

    def _share(self, now: float) -> str:
        if not self._total or not self._done:
            return f"{self._done} done"
        left = (now - self._began) * (self._total - self._done) / self._done
        return f"{100 * self._done // self._total} %, about {told_time(left)} left"

    def _line(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
