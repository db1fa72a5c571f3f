"""The pages of the case list: what stands on the report itself, and files beside it for more patients."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from histonic.core.files import write_text
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.store import thumbnail_path
from histonic.runs.run import Run
from histonic.stages.report.cases.content import PAGE_PATIENTS
from histonic.stages.report.cases.document import Case, CaseList
from histonic.stages.report.cases.pictures import case_pictures

TEMPLATES = "histonic.stages.report"
PREFIX = "report-cases-"


@dataclass(frozen=True)
class CasePage:
    """One page of the list.

    Attributes:
        name: Its file, beside the report.
        words: Which patients are on it.
        cases: These patients.
    """

    name: str
    words: str
    cases: tuple[Case, ...]


def split_pages(listed: CaseList) -> list[CasePage]:
    """The pages, the first of which is the report.

    Example:
        >>> [page.words for page in split_pages(CaseList())]
        ['patients 1 to 0']
    """
    pages: list[CasePage] = []
    for start in range(0, max(1, len(listed.cases)), PAGE_PATIENTS):
        cases = listed.cases[start : start + PAGE_PATIENTS]
        name = f"{PREFIX}{len(pages) + 1}.html" if pages else "report.html"
        pages.append(CasePage(name, f"patients {start + 1} to {start + len(cases)}", cases))
    return pages


def script() -> Markup:
    """The script of the list, as it stands in a page."""
    text = (files(TEMPLATES) / "templates" / "cases.js").read_text(encoding="utf-8")
    return Markup(text)


def script_hash() -> str:
    """What the page allows to run, and nothing else: the hash of :func:`script`."""
    digest = hashlib.sha256(script().encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def pictures_of(run: Run, cases: Sequence[Case]) -> dict[str, str]:
    """Small pictures of the patients of a page, by slide_id."""
    paths: dict[str, Path] = {}
    for case in cases:
        if case.pictured:
            own = run.thumbnail(case.pictured)
            stored = thumbnail_path(local_folder(run.facts.store), case.pictured)
            paths[case.pictured] = own if own.is_file() else stored
    return case_pictures(paths)


def write_pages(environment: Environment, run: Run, listed: CaseList, histonic: str) -> list[Path]:
    """Write the pages beside the report, and remove those of an earlier, longer list.

    Args:
        environment: Of the report's templates.
        run: The run.
        listed: All patients.
        histonic: Version.

    Raises:
        OutputError: The folder cannot be written.
    """
    pages = split_pages(listed)[1:]
    template = environment.get_template("cases_page.html.j2")
    written = []
    for page in pages:
        path = run.folder / page.name
        text = template.render(
            words=page.words,
            cases=page.cases,
            listed=listed,
            pictures=pictures_of(run, page.cases),
            numbers_of=numbers_of(listed),
            histonic=histonic,
            script=script(),
            script_hash=script_hash(),
        )
        write_text(path, text)
        written.append(path)
    for old in run.folder.glob(f"{PREFIX}*.html"):
        if old not in written:
            old.unlink(missing_ok=True)
    return written


def numbers_of(listed: CaseList) -> dict[str, int]:
    """Place of each target in the list, by its name."""
    return {target.name: place for place, target in enumerate(listed.targets)}
