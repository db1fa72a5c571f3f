"""The command line: all commands and groups, exit codes, and errors without tracebacks.

Exit codes: 0 all done; 1 done, but slides failed, the doctor or the audit found errors, or a plugin cannot be
imported; 2 bad input; 70 a fault of histonic, or no memory left; 130 interrupted; 141 nobody reads what is
printed.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from histonic.app.bench import bench
from histonic.app.cohort import audit, compress, convert, doctor, import_, project
from histonic.app.encoder import encoder, study
from histonic.app.installation import demo, list_
from histonic.app.model import external, predict, recipe, train
from histonic.app.result import compare, explain, export, export_onnx, report, verify
from histonic.app.study import init, run
from histonic.app.terminal.faults import (
    PIPE_CODE,
    end_like_an_interruption,
    end_quietly,
    print_any_text,
    unforeseen,
)
from histonic.app.terminal.output import Output, command_name
from histonic.app.terminal.usage import is_help, usage_error
from histonic.app.tiles import simulate, tiles
from histonic.app.view.command import view
from histonic.core.errors import HistonicError
from histonic.core.processes.ranks import is_follower

INTERRUPTED = HistonicError(
    "Go on to the end.", "The command was interrupted.", "Give it again: it goes on where it stopped."
)


class CommandLine(click.Group):
    """A group that names the nearest command, also one of a group in it, where there is none of a name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words begin with."""
        if not (args[0] in self.commands or args[0].startswith("-") or ctx.resilient_parsing):
            groups = [each for each in self.commands.values() if isinstance(each, click.Group)]
            inner = [f"{group.name} {name}" for group in groups for name in group.commands]
            near = difflib.get_close_matches(args[0], [*self.commands, *inner], n=1, cutoff=0.5)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def make_context(self, *words: Any, **more: Any) -> click.Context:
        """Read the first words; may print help."""
        with _past_click():
            return super().make_context(*words, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _past_click():
            return super().invoke(ctx)


class _PastClick(Exception):
    """Carries an error that click would take for Ctrl-C (EOFError) or end at once (a broken pipe)."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError) as error:
        raise _PastClick(error) from error


histonic = CommandLine(
    "histonic",
    [
        *(init, run, doctor, convert, compress, import_, project, audit, train, external, predict, recipe),
        *(report, view, explain, compare, verify, export, export_onnx, demo, list_),
        *(encoder, tiles, simulate, study, bench),
    ],
    help="Slides and a label table in, a cross-validated patient-level model and a report out.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
click.version_option(package_name="histonic", prog_name="histonic")(histonic)


def main() -> None:
    """Entry point of the ``histonic`` command."""
    end_like_an_interruption()
    print_any_text()
    sys.exit(end_quietly(_run()))


def _run() -> int:
    """Run what the command line says, and say how it ended; the exit code."""
    if is_follower():
        # Of many processes with one command one speaks; what is wrong with this one goes to stderr.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - to the end of the process
    with Output(sys.argv[1:]) as output:
        code = _ended(output)
        if code != PIPE_CODE:
            try:
                output.end(code)
            except OSError as error:
                told, code = unforeseen(error, output.log)
                if told is not None:
                    click.echo(f"histonic: {told}", err=True)
    return code


def _ended(output: Output) -> int:
    try:
        code = histonic(prog_name="histonic", standalone_mode=False, obj=output)
    except SystemExit as leave:
        code = leave.code
    except click.exceptions.Exit as leave:
        code = leave.exit_code
    except click.ClickException as error:
        if is_help(error):
            error.show()
        context = getattr(error, "ctx", None)
        output.command = output.command or (command_name(context) if context else "")
        output.fail(usage_error(error), line="" if is_help(error) else None)
        return 2
    except HistonicError as error:
        output.fail(error)
        return 2
    except (KeyboardInterrupt, click.Abort):
        output.fail(INTERRUPTED, "Interrupted", "interrupted; the same command goes on where it stopped")
        return 130
    except _PastClick as carried:
        return _unforeseen(output, carried.error)
    except Exception as error:  # noqa: BLE001 - the last resort: a log, no traceback
        return _unforeseen(output, error)
    return code if isinstance(code, int) else 0


def _unforeseen(output: Output, error: Exception) -> int:
    told, code = unforeseen(error, output.log)
    output.fail(told)
    return code
