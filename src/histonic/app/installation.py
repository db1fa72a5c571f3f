"""Commands that need no data: list what is installed, and try it in a demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import Command, answer, settings_command, with_progress

if TYPE_CHECKING:
    from histonic.app.settings import DemoSettings


@settings_command("demo", "histonic.app.settings:DemoSettings", measures=True)
def demo(settings: DemoSettings) -> int:
    """Simulate a small cohort of slides, then compress, train and report on it; no data needed."""
    from histonic.app.demo import run_demo

    report = with_progress(run_demo, settings)
    click.echo(f"Report: {report}")
    answer(paths={"report": report, "run": report.parent, "store": settings.out / "store"})
    return 0


@click.command("list", cls=Command)
@click.option("--check", is_flag=True, help="Import what is ready; exit code 1 if something fails.")
def list_(check: bool) -> None:
    """Show readers, encoders and aggregators: what is there, what is missing, what to install."""
    from histonic.app.listing import lines_of, list_plugins

    rows = list_plugins(check)
    failed = sum(row.state.startswith("fails") for row in rows)
    click.echo("\n".join(lines_of(rows)))
    answer(numbers={"plugins": len(rows), "failed": failed}, rows=[vars(row) for row in rows])
    raise SystemExit(1 if failed else 0)
