"""A command: what all say in the same way, and arguments that are the settings of its verb, imported late."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from histonic.app.terminal.output import Output, answer, answer_failure, command_name, current

if TYPE_CHECKING:
    from histonic.core.settings import Settings
    from histonic.data.maps.failures import Failure

R = TypeVar("R")
__all__ = [
    "Command",
    "SettingsCommand",
    "answer",
    "answer_failure",
    "settings_command",
    "show_failures",
    "with_progress",
]


class _DiskPath(click.Path):
    """A file or folder on a disk, by the rule of settings; a URL would be written to as ``https:``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        from histonic.core.places.urls import require_paths

        try:
            require_paths(value, takes_urls=False)
        except ValueError as error:
            self.fail(f"{str(error)[0].upper()}{str(error)[1:]}.", param, ctx)
        return super().convert(value, param, ctx)


def _own_options() -> list[click.Option]:
    """What every command can be told of what it says."""
    return [
        click.Option(["-q", "--quiet"], is_flag=True, help="Neither progress nor notes: only what matters."),
        click.Option(["-v", "--verbose"], is_flag=True, help="Also what is read, what is cached, and so on."),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            help="Print one JSON object on the standard output, and all else on standard error.",
        ),
        click.Option(
            ["--log-file"],
            metavar="FILE",
            type=_DiskPath(path_type=Path),
            help="Append all that is said to this file, with the time, and tracebacks of faults.",
        ),
    ]


class Command(click.Command):
    """A command that says what it says as ``--quiet``, ``--verbose``, ``--json`` and ``--log-file`` ask."""

    @cached_property
    def own_options(self) -> list[click.Option]:
        """The options that all commands have."""
        return _own_options()

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Arguments and options, those of all commands last."""
        *params, last = super().get_params(ctx)
        is_help = last is self.get_help_option(ctx)
        return [*params, *self.own_options, last] if is_help else [*params, last, *self.own_options]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        output = ctx.find_object(Output) or Output()
        ctx.obj = output
        said = {name: ctx.params.pop(name) for name in ("quiet", "verbose", "as_json", "log_file")}
        output.begin(command_name(ctx), **said)
        with output.speaking():
            return self.work(ctx)

    def work(self, ctx: click.Context) -> Any:
        """What the command does."""
        return super().invoke(ctx)


class SettingsCommand(Command):
    """Makes settings of the command line and a YAML file, and exits with the code its callback returns.

    Every field of the settings becomes an option (fields of a nested model as ``--outer-inner``), those in
    ``positional`` become arguments. ``--config FILE`` reads the same keys from YAML; the command line wins.

    Args:
        name: Name of the command.
        settings: ``module:class`` of its settings model.
        positional: Fields given by position, the last of which may take several values.
        measures: Whether it has losses or rates to tell, so that ``--tensorboard`` makes sense.
        absent: ``module:function`` that gets the settings typed so far, and the name of a field that is
            missing, and returns what to do about it; empty where it knows nothing.
        more: What :class:`click.Command` takes; the callback gets the settings.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: str,
        positional: Sequence[str] = (),
        measures: bool = False,
        absent: str = "",
        **more: Any,
    ) -> None:
        super().__init__(name, **more)
        self._settings = settings
        self._positional = positional
        self._measures = measures
        self._absent = absent

    @cached_property
    def model(self) -> type[Settings]:
        """The settings model."""
        model: type[Settings] = _found(self._settings)
        return model

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Arguments and options of the command."""
        from histonic.app.terminal.options import parameters

        self.params = self.params or [*parameters(self.model, self._positional), *self._listeners()]
        return super().get_params(ctx)

    def _listeners(self) -> list[click.Option]:
        if not self._measures:
            return []
        words = "Write losses, scores and slides into this folder as TensorBoard reads them."
        return [click.Option(["--tensorboard"], metavar="FOLDER", type=_DiskPath(path_type=Path), help=words)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words typed; without any, help is shown if some are needed."""
        self.no_args_is_help = any(field.is_required() for field in self.model.model_fields.values())
        return super().parse_args(ctx, args)

    def work(self, ctx: click.Context) -> None:
        """Run the command."""
        from histonic.app.terminal.options import settings_from

        current().tensorboard = ctx.params.pop("tensorboard", None)
        absent = _found(self._absent) if self._absent else None
        if self.callback is not None:
            raise SystemExit(self.callback(settings_from(self.model, ctx.params, self._positional, absent)))


def _found(place: str) -> Any:
    """What lies at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def settings_command(
    name: str, settings: str, *positional: str, measures: bool = False, absent: str = ""
) -> Callable[[Callable[[Any], int]], SettingsCommand]:
    """Make a :class:`SettingsCommand` of a function that gets the settings and returns the exit code."""
    return click.command(
        name, cls=SettingsCommand, settings=settings, positional=positional, measures=measures, absent=absent
    )


def with_progress(run: Callable[..., R], settings: Settings) -> R:
    """The result of a verb whose progress is shown meanwhile, and told to the listeners asked for."""
    from histonic.app.terminal.progress import TerminalProgress
    from histonic.core.progress import Listeners

    output = current()
    if output.tensorboard is None:
        with TerminalProgress(output) as progress:
            return run(settings, progress=progress)
    from histonic.training.listeners.tensorboard import TensorBoard

    with TensorBoard(output.tensorboard) as board, TerminalProgress(output) as progress:
        result = run(settings, progress=Listeners(progress, board))
    answer(paths={"tensorboard": output.tensorboard})
    return result


def show_failures(failures: Sequence[Failure]) -> int:
    """Print a line for each slide that failed; the exit code."""
    for failure in failures:
        click.echo(f"failed  {failure.path}  at {failure.stage}: {failure.reason}")
        answer_failure(failure.path, failure.stage, failure.reason)
    return 1 if failures else 0
