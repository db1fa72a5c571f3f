"""A command whose arguments are the settings of its verb, which are imported only when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from histonic.core.settings import Settings
    from histonic.data.maps.failures import Failure

R = TypeVar("R")


class SettingsCommand(click.Command):
    """Makes settings of the command line and a YAML file, and exits with the code its callback returns.

    Every field of the settings becomes an option (fields of a nested model as ``--outer-inner``), those in
    ``positional`` become arguments. ``--config FILE`` reads the same keys from YAML; the command line wins.

    Args:
        name: Name of the command.
        settings: ``module:class`` of its settings model.
        positional: Fields given by position, the last of which may take several values.
        more: What :class:`click.Command` takes; the callback gets the settings.
    """

    def __init__(self, name: str, *, settings: str, positional: Sequence[str] = (), **more: Any) -> None:
        super().__init__(name, **more)
        self._settings = settings
        self._positional = positional

    @cached_property
    def model(self) -> type[Settings]:
        """The settings model."""
        module, _, name = self._settings.partition(":")
        model: type[Settings] = getattr(importlib.import_module(module), name)
        return model

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Arguments and options of the command."""
        from histonic.app.terminal.options import parameters

        self.params = self.params or parameters(self.model, self._positional)
        return super().get_params(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the words typed; without any, help is shown if some are needed."""
        self.no_args_is_help = any(field.is_required() for field in self.model.model_fields.values())
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command."""
        from histonic.app.terminal.options import settings_from

        if self.callback is not None:
            raise SystemExit(self.callback(settings_from(self.model, ctx.params)))


def settings_command(
    name: str, settings: str, *positional: str
) -> Callable[[Callable[[Any], int]], SettingsCommand]:
    """Make a :class:`SettingsCommand` of a function that gets the settings and returns the exit code."""
    return click.command(name, cls=SettingsCommand, settings=settings, positional=positional)


def with_progress(run: Callable[..., R], settings: Settings) -> R:
    """The result of a verb whose progress is shown meanwhile."""
    from histonic.app.terminal.progress import TerminalProgress

    with TerminalProgress() as progress:
        return run(settings, progress=progress)


def show_failures(failures: Sequence[Failure]) -> int:
    """Print a line for each slide that failed; the exit code."""
    for failure in failures:
        click.echo(f"failed  {failure.path}  at {failure.stage}: {failure.reason}")
    return 1 if failures else 0
