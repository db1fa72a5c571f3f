"""The page as PDF: by a browser that is there, refused in good time where none is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from histonic.core.errors import OutputError, SettingsError
from histonic.core.task import Task
from histonic.stages.report import pdf
from histonic.stages.report.report import write_report
from histonic.stages.report.settings import ReportSettings

MSI = Task("msi", "binary", ("msi",), ("stable", "instable"))


def test_without_a_browser_nothing_is_computed(
    tmp_path: Path, make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "PLACES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    run = make_run(tmp_path / "run", [MSI], pictures=False)
    with pytest.raises(SettingsError, match="none of chromium"):
        write_report(ReportSettings(run=run, pdf=True))
    assert not (run / "report.html").exists()


def script(path: Path, body: str) -> str:
    """A program that stands for a browser."""
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="programs are written as scripts")
def test_what_a_browser_prints_is_kept_and_failures_are_told(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<p>1</p>")
    find = "out = next(a.split('=', 1)[1] for a in sys.argv if a.startswith('--print-to-pdf='))\n"
    prints = script(tmp_path / "prints", find + "open(out, 'wb').write(b'%PDF-1.4 ' + sys.argv[-1].encode())")
    pdf.print_pdf(page, tmp_path / "report.pdf", prints)
    assert (tmp_path / "report.pdf").read_bytes() == b"%PDF-1.4 " + page.as_uri().encode()
    fails = script(tmp_path / "fails", "sys.exit('no display')")
    with pytest.raises(OutputError, match="wrote no PDF: no display"):
        pdf.print_pdf(page, tmp_path / "other.pdf", fails)
    assert not (tmp_path / "other.pdf").exists()


@pytest.mark.long
def test_a_real_browser_prints(tmp_path: Path, make_run: Callable[..., Path]) -> None:
    try:
        pdf.find_browser()
    except SettingsError:
        pytest.skip("no Chromium or Chrome is on the path")
    run = make_run(tmp_path / "run", [MSI])
    write_report(ReportSettings(run=run, resamples=100, pdf=True))
    assert (run / "report.pdf").read_bytes().startswith(b"%PDF-")
