"""How the templates of the report's pages are filled in."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def template_environment() -> Environment:
    """The templates: all text is escaped, and a value that is not there is an error."""
    return Environment(
        loader=PackageLoader("histonic.stages.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
