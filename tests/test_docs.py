"""Every Python block of the README and the docs runs, page by page, in an empty folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from histonic.aggregators.registry import AGGREGATORS
from histonic.encoders.base import ENCODERS

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "histonic"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)[^)]*\)")


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "docs"}
    for number, code in enumerate(blocks(page), start=1):
        exec(compile(code, f"{page.name}, block {number}", "exec"), namespace)


@pytest.fixture(autouse=True)
def _forget_what_pages_register() -> Iterator[None]:
    yield
    for registry in (ENCODERS, AGGREGATORS):
        for name in [name for name in registry if registry.is_of_session(name)]:
            registry.forget(name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("name", ["architecture.md", "walks.md"])
def test_files_that_the_plan_names_exist(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    plain = "\n".join(part for part in page.split("\n\n") if not part.startswith("| what | place |"))
    known = {path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py")}
    tails = {"/".join(path.split("/")[-count:]) for path in known for count in (1, 2, 3, 4)}
    for file in re.findall(r"`([a-z_/]+\.py)`", plain):
        assert file in tails or (ROOT / file).is_file(), f"docs/{name} names {file}"
    for folder in re.findall(r"`([a-z_/]+)/`", plain):
        assert (SOURCE / folder).is_dir() or (ROOT / folder).is_dir() or folder == "templates", (
            f"docs/{name} names {folder}/"
        )


def test_a_slide_passes_few_files() -> None:
    page = (ROOT / "docs" / "walks.md").read_text(encoding="utf-8")
    slide = page[page.index("## One slide") : page.index("## One label")]
    assert len(re.findall(r"^\| \d+ \|", slide, re.MULTILINE)) <= 12


def test_the_shelves_are_there() -> None:
    for shelf in ("tutorials", "how-to", "concepts", "reference"):
        assert list((ROOT / "docs" / shelf).glob("*.md")), shelf
