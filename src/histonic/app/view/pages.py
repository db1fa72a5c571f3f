"""The files of the page, as they lie in the package; none of them asks for anything from elsewhere."""

from __future__ import annotations

from importlib.resources import files

STATIC = {
    "view.js": "text/javascript",
    "pane.js": "text/javascript",
    "paint.js": "text/javascript",
    "view.css": "text/css",
    "openseadragon/openseadragon.min.js": "text/javascript",
    "openseadragon/LICENSE": "text/plain",
}
"""Media type of each file that a page may ask for."""


def static_file(name: str) -> bytes:
    """A file of the page."""
    return (files("histonic.app.view") / "static" / name).read_bytes()
