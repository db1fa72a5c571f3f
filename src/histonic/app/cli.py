"""The command line: all commands and groups, exit codes, and errors without tracebacks.

Exit codes: 0 all done; 1 done, but slides failed, the doctor or the audit found errors, or a plugin cannot be
imported; 2 bad input; 130 interrupted.
"""

from __future__ import annotations

import difflib
import sys

import click

from histonic.app.cohort import audit, compress, doctor
from histonic.app.encoder import encoder
from histonic.app.installation import demo, list_
from histonic.app.model import external, predict, train
from histonic.app.result import compare, explain, report, verify
from histonic.app.tiles import simulate, tiles
from histonic.core.errors import HistonicError


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


histonic = CommandLine(
    "histonic",
    [
        *(doctor, compress, audit, train, external, predict, report, explain, compare, verify, demo, list_),
        *(encoder, tiles, simulate),
    ],
    help="Slides and a label table in, a cross-validated patient-level model and a report out.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
click.version_option(package_name="histonic", prog_name="histonic")(histonic)


def main() -> None:
    """Entry point of the ``histonic`` command."""
    try:
        histonic(standalone_mode=False)
    except click.exceptions.Exit as leave:
        sys.exit(leave.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except HistonicError as error:
        click.echo(f"histonic: {error}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; the same command goes on where it stopped", err=True)
        sys.exit(130)
