"""Words that the command line cannot take, told like other errors: what was asked, found, and what to do."""

from __future__ import annotations

import click

from histonic.core.errors import SettingsError
from histonic.core.hints.elsewhere import here


class UsageError(SettingsError):
    """The words of a command line fit no command, option or argument."""


def is_help(error: click.ClickException) -> bool:
    """Whether nothing is wrong: a command was typed without words that needs some, and shows its help."""
    return isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ()))  # of click 8.2


def usage_error(error: click.ClickException) -> UsageError:
    """The three parts of an error that click has found.

    Args:
        error: Of an unknown command or option, or of words too many or too few.

    Example:
        >>> print(usage_error(click.NoSuchOption("--lr")))
        Run 'histonic'.
          found: No such option: --lr
          to do: See 'histonic --help'.
    """
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "histonic"
    found = "No words follow it." if is_help(error) else error.format_message()
    todo = ""
    if isinstance(error, click.NoSuchOption):
        found = f"No such option: {error.option_name}"
        todo = "" if context is None else _option_hint(error, context)
    elif "unexpected extra argument" in found and ".y" in found:
        todo = "Give a settings file with --config FILE.yaml."
    return UsageError(f"Run '{path}'.", found, f"{todo} See '{path} --help'.".strip())


def _option_hint(error: click.NoSuchOption, context: click.Context) -> str:
    """What an option from elsewhere is called here, or the nearest name."""
    options = {
        option.removeprefix("--"): option
        for param in context.command.get_params(context)
        for option in (*param.opts, *param.secondary_opts)
        if option.startswith("--")
    }
    if isinstance(context.command, click.Group):
        if error.option_name in ("-q", "--quiet", "-v", "--verbose", "--json", "--log-file"):
            return f"Write {error.option_name} after the command."
        return ""
    name = error.option_name.lstrip("-").replace("_", "-")
    for words in here(name.replace("-", "_")):
        option, _, value = words.partition(" ")
        if option.replace("_", "-") in options:
            return f"Here it is called --{option.replace('_', '-')}{f' {value}' if value else ''}."
    if name in options:
        return f"Write it {options[name]}."
    if error.possibilities:
        return f"Did you mean {' or '.join(sorted(error.possibilities))}?"
    return ""
