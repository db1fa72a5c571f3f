"""The command 'histonic view'."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import answer, settings_command, with_progress

if TYPE_CHECKING:
    from pathlib import Path

    from histonic.app.view.guard import Guard
    from histonic.app.view.settings import ViewSettings
    from histonic.core.progress import Progress

NEEDED = ("starlette", "uvicorn")


@settings_command("view", "histonic.app.view.settings:ViewSettings", "what")
def view(settings: ViewSettings) -> int:
    """Look at a run, a store or a slide in the browser: cases, slides with pan and zoom, maps laid over them.

    A server on this machine alone, for whoever has the printed address; Ctrl-C ends it. Notes on patients
    go to WHAT.notes.csv beside it, or here if WHAT is a URL; nothing else is written. With --export DIR a
    folder of static files.
    """
    from histonic.app.view.content import open_viewed

    if settings.export is not None:
        from histonic.app.view.export import export

        folder = settings.export

        def write(settings: ViewSettings, *, progress: Progress) -> Path:
            return export(open_viewed(settings), folder, settings, progress)

        path = with_progress(write, settings)
        answer(paths={"export": path})
        click.echo(f"Exported: {path}. Any web server shows it; opened as a file it stays empty.")
        return 0
    _require_packages()
    from histonic.app.view.cache import ByteCache
    from histonic.app.view.server import serve
    from histonic.app.view.slides import SlidePool

    viewed = open_viewed(settings)
    pool = SlidePool(ByteCache(settings.cache_mb * 1_000_000))

    def tell(guard: Guard) -> None:
        click.echo(f"{viewed.title}: {len(viewed.cases):,} cases, {len(viewed.slides):,} slides")
        click.echo(f"Open {guard.url(guard.token)}")
        click.echo(f"Notes go to {viewed.notes_path}. Ctrl-C ends.")
        if settings.browser:
            click.launch(guard.url(guard.once))

    serve(viewed, pool, settings.port, tell)
    click.echo("\nended")
    return 0


def _require_packages() -> None:
    """Refuse early where the extra is absent.

    Raises:
        SettingsError: A package of it is.
    """
    from histonic.core.errors import SettingsError

    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise SettingsError(
            "View in the browser.",
            f"It needs {' and '.join(absent)}.",
            "Install the extra: pip install 'histonic[viewer]'; or write static files with --export DIR.",
        )
