"""The page as PDF, printed by a Chromium or Chrome that is there; nothing is loaded from a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from histonic.core.errors import OutputError, SettingsError
from histonic.core.files import replacing_file

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
"""Where browsers lie that are on no path."""
SECONDS = 300


def find_browser() -> str:
    """A browser that can print without a screen, by its name.

    Raises:
        SettingsError: There is none.
    """
    for name in BROWSERS:
        found = shutil.which(name)
        if found:
            return found
    for place in PLACES:
        if Path(place).is_file():
            return place
    raise SettingsError(
        "Write the report as PDF.",
        f"There is no browser to print it: none of {', '.join(BROWSERS)} is on the path.",
        "Install Chromium or Chrome, or leave out --pdf and print report.html from any browser.",
    )


def print_pdf(page: Path, path: Path, browser: str | None = None) -> None:
    """Print a page.

    Args:
        page: The HTML file.
        path: The PDF to write.
        browser: The program; found by name if None.

    Raises:
        SettingsError: There is no browser.
        OutputError: It wrote no PDF.
    """
    program = browser or find_browser()
    asked = f"Print {page} to {path}."
    with tempfile.TemporaryDirectory(prefix="histonic-pdf-") as profile, replacing_file(path) as partial:
        made = Path(profile) / "page.pdf"
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-sync",
            "--no-first-run",
            # No name can be resolved: whatever a page asked for, nothing would be loaded.
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={made}",
            page.resolve().as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            # Chromium refuses to run as root with its sandbox; the page runs its own script alone.
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OutputError(
                asked, f"{program} failed: {type(error).__name__}.", "Print the page from a browser."
            ) from error
        if not made.is_file() or made.read_bytes()[:5] != b"%PDF-":
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise OutputError(asked, f"{program} wrote no PDF: {last}", "Print the page from a browser.")
        shutil.copyfile(made, partial)
