"""Commands that need no data: list what is installed, and try it in a demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import settings_command, with_progress

if TYPE_CHECKING:
    from histonic.app.settings import DemoSettings


@settings_command("demo", "histonic.app.settings:DemoSettings")
def demo(settings: DemoSettings) -> int:
    """Simulate a small cohort of slides, then compress, train and report on it; no data needed."""
    from histonic.app.demo import run_demo

    click.echo(f"Report: {with_progress(run_demo, settings)}")
    return 0


@click.command("list")
@click.option("--check", is_flag=True, help="Import what is ready; exit code 1 if something fails.")
def list_(check: bool) -> None:
    """Show readers, encoders and aggregators: what is there, what is missing, what to install."""
    from histonic.app.listing import list_plugins

    lines, failed = list_plugins(check)
    click.echo("\n".join(lines))
    raise SystemExit(1 if failed else 0)
