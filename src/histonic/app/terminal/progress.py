"""Progress of long work: one line that is redrawn on a terminal, elsewhere a line now and then."""

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

from histonic.app.terminal.output import Output
from histonic.app.terminal.time_left import TimeLeft, told_time
from histonic.core.progress import Listener

SECONDS_BETWEEN_LINES = 10.0


class _TimeLeftColumn(TimeRemainingColumn):
    """The time left, in words where parts of a stage may end early."""

    def render(self, task: Task) -> Text:
        """The column's text for the bar."""
        words = task.fields.get("left", "")
        return Text(words, style="progress.remaining") if words else super().render(task)


class TerminalProgress(Listener):
    """A bar with the time left where standard error is a terminal, else plain lines every ten seconds.

    Use it as a context manager; everything goes to standard error, so that results can be piped, and to the
    log, if there is one.

    Args:
        output: Says what is to be said.
    """

    is_vital = True

    def __init__(self, output: Output | None = None) -> None:
        self.output = output or Output()
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Any = None
        if self.console.is_terminal and not self.output.quiet:
            self._bar = Progress(
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
        self._began = self._last = time.monotonic()
        self._left = TimeLeft(None, self._last)
        self._ends_early = self._has_told = False
        self._printer = self.output.printer

    def __enter__(self) -> TerminalProgress:
        if self._bar is not None:
            self.output.printer = self._print_above
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._tell_end()
        if self._bar is not None:
            self._bar.stop()
        self.output.printer = self._printer

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a new bar in the place of the one before, or say so in a line."""
        self._tell_end()
        self._name, self._ends_early, self._has_told = name, False, False
        self._began = self._last = time.monotonic()
        self._left = TimeLeft(total, self._last)
        if self._bar is not None:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(name, total=total, note="", left="")
        self._line(f"{name} ...")

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Move the bar, or print a line if the last one is ten seconds old."""
        self._left.advance(steps)
        self._show(steps, note)

    def doing(self, note: str, share: float = 0.0) -> None:
        """Say what is worked on; the time left counts the share of the next step."""
        self._left.doing(share)
        self._show(0, note)

    def may_end_early(self) -> None:
        """Parts of the stage may need fewer steps than they have."""
        self._ends_early = True
        self._left.may_end_early()

    def ended(self, took: int | None, most: int, note: str = "") -> None:
        """A part of the stage has ended, see :func:`histonic.core.progress.end_part`."""
        self._ends_early = True
        self._show(self._left.ended(took, most), note)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.output.note(line)

    def warn(self, line: str) -> None:
        """Print a warning above the bar, also if nothing else is to be said."""
        self.output.warn(line)

    def detail(self, line: str) -> None:
        """Print a line if more is to be said."""
        self.output.detail(line)

    def slide(self, slide_id: str, failed: str = "") -> None:
        """Say so if more is to be said; failures are listed at the end."""
        self.output.detail(f"{slide_id}: {failed or 'done'}")

    def _show(self, steps: int, note: str) -> None:
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            more = {"note": note} if note else {}
            left = self._left.words(now) if self._ends_early else ""
            self._bar.update(self._task, advance=steps, left=left, **more)
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last, self._has_told = now, True
            self._line(f"{self._name}: {self._left.told(now)}" + (f": {note}" if note else ""))

    def _tell_end(self) -> None:
        """Say that a stage is done which was long enough to be told of on its way."""
        if self._has_told:
            self._line(f"{self._name}: done in {told_time(time.monotonic() - self._began)}")

    def _line(self, line: str) -> None:
        self.output.to_log("progress", line)
        if self._bar is None and not self.output.quiet:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _print_above(self, line: str) -> None:
        self._bar.console.print(line, markup=False)
