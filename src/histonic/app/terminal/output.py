"""What a command says, and to whom: results to stdout, all else to stderr and a log; or one JSON object."""

from __future__ import annotations

import io
import json
import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import click

from histonic.app.terminal.faults import stop_printing
from histonic.app.terminal.logs import LogFile, shown_words
from histonic.core.errors import HistonicError


@dataclass
class Answer:
    """What a command has to tell a machine; the keys of the JSON object.

    Attributes:
        paths: Files and folders that were written, by a name.
        numbers: By name.
        rows: Findings, slides or whatever the command lists, each with the same keys.
        failures: What could not be done while the rest was: ``subject``, ``stage`` and ``reason``.
        warnings: What the reader should not miss.
        notes: What else was said on the way.
    """

    paths: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, float | None] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Stdout(io.TextIOBase):
    """The standard output of a command: passes on what is printed, and tells it a log."""

    def __init__(self, target: TextIO | None, asked: TextIO, told: Callable[[str], None]) -> None:
        self._target = target
        self._asked = asked
        self._told = told
        self._line = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._asked.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self._asked.errors

    def write(self, text: str) -> int:
        if self._target is not None:
            self._target.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._told(line)
        return len(text)

    def flush(self) -> None:
        if self._target is not None:
            self._target.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._target is not None and self._target.isatty()

    def fileno(self) -> int:
        return self._asked.fileno()


class Output:
    """Says what a command has to say, as its options ask.

    Attributes:
        quiet: Neither progress nor notes.
        verbose: Also what is read, what is cached, which engine is used.
        command: Its name, such as ``encoder train``.
        json: One JSON object on stdout; what else would be printed there goes to stderr.
        answer: What has been collected for that object.
        printer: Prints a line on stderr; drawn bars put one of their own here.
    """

    def __init__(self, words: Sequence[str] = ()) -> None:
        before = [*words, "--"].index("--")
        # For what is wrong before the options can be read.
        self.json = "--json" in words[:before]
        self.quiet = self.verbose = False
        self.answer = Answer()
        self.printer: Callable[[str], None] = _print_line
        self.log: LogFile | None = None
        self.tensorboard: Path | None = None
        self.command = ""
        self._began = time.monotonic()
        self._error: dict[str, str] | None = None

    def begin(
        self, command: str, *, quiet: bool, verbose: bool, as_json: bool, log_file: Path | None
    ) -> None:
        """Take in the options.

        Raises:
            OutputError: The log cannot be written.
        """
        self.command = command
        self.quiet, self.verbose, self.json = quiet, verbose, as_json
        if log_file is not None:
            self.log = LogFile(log_file, self.warn)
            self.log.begin()

    def __enter__(self) -> Self:
        self._shown = warnings.showwarning
        warnings.showwarning = self._take_warning
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        warnings.showwarning = self._shown

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """What is printed meanwhile goes where the options say."""
        if not self.json and self.log is None:
            yield
            return
        target = (None if self.quiet else sys.stderr) if self.json else sys.stdout
        with redirect_stdout(_Stdout(target, sys.stdout, lambda line: self.to_log("result", line))):
            yield

    def note(self, line: str) -> None:
        """A line on the way, for those who read along."""
        self.answer.notes.append(line)
        self.to_log("note", line)
        if not self.quiet:
            self.printer(line)

    def warn(self, line: str) -> None:
        """A line that nobody should miss."""
        self.answer.warnings.append(line)
        self.to_log("warning", line)
        self.printer(f"warning: {line}")

    def detail(self, line: str) -> None:
        """A line for those who want to know more."""
        self.to_log("detail", line)
        if self.verbose and not self.quiet:
            self.printer(line)

    def to_log(self, kind: str, text: str) -> None:
        """A line for the log alone."""
        if self.log is not None:
            self.log.write(kind, text)

    def fail(self, error: HistonicError | None, kind: str = "", line: str | None = None) -> None:
        """Say why the command ends.

        Args:
            error: The error; None where nobody reads what is said.
            kind: What a machine is told it is; by default the name of its class.
            line: What a person is told, if not the error's three parts.
        """
        if error is None:
            return
        self._error = {
            "kind": kind or type(error).__name__,
            "asked": " ".join(shown_words(error.asked.split(" "))),
            "found": error.found,
            "todo": error.todo,
        }
        self.to_log("error", str(error))
        told = f"histonic: {error}" if line is None else line
        try:
            if told:
                self.printer(told)
        except OSError:
            stop_printing(sys.stderr.fileno())

    def end(self, code: int) -> None:
        """Print the JSON object, if it was asked for, and close the log."""
        try:
            if self.json and (self.command or self._error or code):  # no command: help or version was printed
                # Names need not be text that the terminal's encoding has.
                click.echo(json.dumps(self.told(code), ensure_ascii=True, allow_nan=False))
        finally:
            if self.log is not None:
                self.log.end(code)

    def told(self, code: int) -> dict[str, Any]:
        """The JSON object, as plain values; docs/how-to/scripts.md says what its keys mean."""
        from importlib.metadata import version  # brings a parser of mail, which no other start needs

        answer: dict[str, Any] = _plain(vars(self.answer))
        return {
            "histonic": version("histonic"),
            "command": self.command,
            "exit_code": code,
            "seconds": round(time.monotonic() - self._began, 3),
            **answer,
            "error": self._error,
        }

    def _take_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """In the place of :func:`warnings.showwarning`."""
        self.to_log("detail", f"{category.__name__} of {filename}, line {lineno}:")
        self.warn(" ".join(str(message).split()))


def command_name(context: click.Context) -> str:
    """What a command is called without the program's name: ``encoder train``; empty of the program itself."""
    names = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))


def current() -> Output:
    """The output of the command that runs."""
    context = click.get_current_context(silent=True)
    found = None if context is None else context.find_object(Output)
    if found is None:
        found = Output()
        if context is not None:
            context.find_root().obj = found
    return found


def answer(
    *,
    paths: Mapping[str, Path | str | None] | None = None,
    numbers: Mapping[str, float | None] | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Tell the reader of ``--json`` what a command has found; what is None is left out of the paths."""
    told = current().answer
    told.paths.update({name: str(path) for name, path in (paths or {}).items() if path is not None})
    told.numbers.update(numbers or {})
    told.rows += [dict(row) for row in rows]


def answer_failure(subject: object, stage: str, reason: str) -> None:
    """Tell the reader of ``--json`` of a slide or another part that failed."""
    told = {"subject": str(subject), "stage": stage, "reason": reason}
    current().answer.failures.append(told)


def _print_line(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _plain(value: Any) -> Any:
    """A value as JSON has it; numbers that are not finite are null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    item = getattr(value, "item", None)  # numbers of NumPy
    return _plain(item()) if item is not None else str(value)
