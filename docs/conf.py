"""The documentation site: `make docs` builds it into docs/_build/html."""

from __future__ import annotations

import importlib
import os
import re
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGES = PROJECT["urls"]["Source"] + "/blob/main/"

project = "histonic"
author = "The histonic developers"
copyright = "The histonic developers, Apache-2.0"
version = release = PROJECT["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
# Headings of three ranks are anchors, as they are where the pages are read in the repository.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # notebooks carry their results; tests run them
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
html_theme = "furo"
html_title = f"histonic {release}"
html_theme_options = {
    "source_repository": PROJECT["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}

LINK = re.compile(r"(\]\()((?:\.\./)+[^)#\s]+)")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def out_of_tree(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links to files beside docs/ (tables of benchmarks, model cards) lead to the repository."""
    folder = Path(app.srcdir, PurePosixPath(docname).parent)

    def lead(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve()
        if target.is_relative_to(app.srcdir) or not target.is_relative_to(ROOT):
            return found[0]
        return found[1] + PAGES + target.relative_to(ROOT).as_posix()

    source[0] = LINK.sub(lead, source[0])


def first_line(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Put back what Napoleon took for a type: the words before a colon in the first line of a property."""
    if what in ("attribute", "property", "data"):
        for place, line in enumerate(lines):
            if line.startswith(":type:") and lines[0]:
                lines[0] = f"{line.removeprefix(':type:').strip()}: {lines[0]}"
                lines[place] = ""


class SettingsTable(SphinxDirective):
    """``settings-table:: module.Class``: the keys of a model of settings, their defaults and meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table."""
        home, _, name = self.arguments[0].rpartition(".")
        fields: dict[str, Any] = getattr(importlib.import_module(home), name).model_fields
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 24 18 58", ""]
        rows = [("keyword", "default", "meaning")]
        for key, field in fields.items():
            default = "" if field.is_required() else self._shown(field)
            rows.append(
                (f"``{key}``", default, (field.description or "").replace("\\", "\\\\").replace("*", "\\*"))
            )
        for row in rows:
            lines += [f"   {'* -' if place == 0 else '  -'} {cell}" for place, cell in enumerate(row)]
        table = nodes.container()
        self.state.nested_parse(StringList(lines, self.arguments[0]), self.content_offset, table)
        return table.children

    def _shown(self, field: Any) -> str:
        default = field.get_default(call_default_factory=True, validated_data={})
        if default in (None, ()) or hasattr(default, "model_dump"):
            return ""
        return f"``{str(default) if isinstance(default, Path) else repr(default)}``"


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", out_of_tree)
    app.connect("autodoc-process-docstring", first_line, priority=600)  # after Napoleon
    app.add_directive("settings-table", SettingsTable)
