"""The documentation site: every page and notebook is in its tree once, every public name in the reference."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path, PurePosixPath

import histonic

DOCS = Path(__file__).resolve().parents[1] / "docs"
TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pages() -> list[str]:
    found = [*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")]
    kept = [path for path in found if not {"_build", ".ipynb_checkpoints"} & set(path.parts)]
    return sorted({path.relative_to(DOCS).with_suffix("").as_posix() for path in kept})


def listed(page: str) -> list[str]:
    """The pages that the trees of a page name."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8") if (DOCS / f"{page}.md").exists() else ""
    names = []
    for tree in TREE.findall(text):
        for line in tree.splitlines():
            if line and not line.startswith(":") and "<" not in line:
                name = (PurePosixPath(page).parent / line).as_posix()
                fits = re.compile(re.escape(name).replace(r"\*", "[^/]*")).fullmatch
                names += [each for each in pages() if fits(each)] or ([] if "*" in name else [name])
    return names


def test_every_page_is_in_the_tree_once() -> None:
    named = Counter(name for page in pages() for name in listed(page))
    missing = sorted(set(pages()) - {"index"} - set(named))
    assert not missing, f"docs/index.md has no line for {missing}"
    assert not sorted(set(named) - set(pages())), "docs/index.md names pages that are not there"
    assert not [name for name, count in named.items() if count > 1]


def test_every_public_name_is_documented_once() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference/python").glob("*.md"))
    found = re.findall(r"^\.\. auto(?:function|class):: histonic\.(\w+)$", text, re.MULTILINE)
    # Settings are told in a table where the function that takes them is.
    found += set(re.findall(r"settings-table:: \S+\.(\w+)$", text, re.MULTILINE)) & set(histonic.__all__)
    # The base of all errors stands with the others.
    missing = sorted(set(histonic.__all__) - {"HistonicError"} - set(found))
    assert not missing, f"no page of docs/reference/python has {missing}"
    assert sorted(found) == sorted(set(found)) and set(found) < set(histonic.__all__)
    assert "automodule:: histonic.core.errors" in text


def test_settings_that_are_shown_exist() -> None:
    for page in (DOCS / "reference/python").glob("*.md"):
        for place in re.findall(r"settings-table:: (\S+)", page.read_text(encoding="utf-8")):
            home, _, name = place.rpartition(".")
            assert getattr(importlib.import_module(home), name).model_fields, f"{page.name}: {place}"
