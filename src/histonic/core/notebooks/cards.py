"""What an object says of itself: one line at a prompt, a small table in a notebook."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

LONGEST = 200
"""Letters of one value that are shown."""


@dataclass(frozen=True)
class Card:
    """What is shown of an object, in the order in which it is shown.

    Attributes:
        title: What it is, with its name.
        rows: Pairs of a word and its value, both plain text.

    Example:
        >>> card = Card("Store 'a<b'", (("maps", "3"), ("mpp", "0.5")))
        >>> card.text()
        "Store 'a<b' (maps: 3, mpp: 0.5)"
        >>> card.html().startswith("<table><caption>Store &#x27;a&lt;b&#x27;</caption><tr><th>maps</th>")
        True
    """

    title: str
    rows: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """On one line, whatever line breaks the values hold."""
        told = ", ".join(f"{_plain(word)}: {_plain(value)}" for word, value in self.rows)
        return f"{_plain(self.title)} ({told})"

    def html(self, jpeg: bytes | None = None) -> str:
        """As a table; names and paths are escaped, so that none of them is taken for markup.

        Args:
            jpeg: A small picture that is shown beside it.
        """
        rows = "".join(
            f"<tr><th>{escape(_plain(word))}</th><td>{escape(_plain(value))}</td></tr>"
            for word, value in self.rows
        )
        table = f"<table><caption>{escape(_plain(self.title))}</caption>{rows}</table>"
        if jpeg is None:
            return table
        uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
        return f'<div style="display:flex;gap:1em;align-items:start">{table}<img src="{uri}" alt=""></div>'


def share_text(part: int, whole: int) -> str:
    """A count with its share.

    Example:
        >>> share_text(1200, 4800), share_text(0, 0)
        ('1,200 of 4,800 (25.0 %)', '0 of 0')
    """
    share = f" ({100 * part / whole:.1f} %)" if whole else ""
    return f"{part:,} of {whole:,}{share}"


def _plain(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."
