"""Cards are one line of text, or a table that no name can break out of."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from histonic.core.notebooks.cards import LONGEST, Card, share_text


class _Reader(HTMLParser):
    """Tags and texts, as a browser would take them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not attrs
        if tag in ("caption", "th", "td"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_text_becomes_markup(title: str, word: str, value: str) -> None:
    reader = _Reader()
    reader.feed(Card(title, ((word, value),)).html())
    reader.close()
    assert reader.tags == ["table", "caption", "tr", "th", "td"]
    assert [" ".join(each.split()) for each in reader.cells] == [
        " ".join(each.split()) for each in (title, word, value)
    ]


def test_one_line_however_long_and_broken_the_values_are() -> None:
    shown = Card("Run\nx", (("folder", "a\n" * 300),)).text()
    assert "\n" not in shown
    assert len(shown) < LONGEST + 40 and shown.endswith("...)")


def test_shares_by_hand() -> None:
    assert share_text(1, 3) == "1 of 3 (33.3 %)"
    assert share_text(0, 0) == "0 of 0"
