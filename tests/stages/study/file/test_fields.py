"""Options in messages of a study are told as fields of its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from histonic.core.errors import OutputError, TableError
from histonic.stages.study.file.fields import field_words, told_by_fields


@pytest.mark.parametrize(
    ("text", "part", "words"),
    [
        (
            "Write one class in one way: --classes 'cll=CLL' --classes 'a b=CLL'.",
            "train",
            "classes: {cll: CLL, a b: CLL} under train",
        ),
        ("Name it: --columns patient_id=Fall.", "train", "columns: {patient_id: Fall} under train"),
        ("--columns a=b; if not: --columns a=c.", "train", "columns: {a: b} under train"),
        ("Say --decimal point or --decimal comma.", "audit", "decimal under train"),
        ("Say --decimal point.", "external", "decimal under external"),
        ("Name slides by folders (--names path).", "train", "names under compress"),
        ("--sheet Klinik, or --times-differ.", "train", "sheet under train, times_differ under external"),
        ("Give --folds 3 (--out, --store and --replace are the study's).", "train", "folds under train"),
        ("Nothing to type; a--folds and --nothing.", "train", ""),
    ],
)  # fmt: skip
def test_options_are_fields(text: str, part: str, words: str) -> None:
    assert field_words(text, part) == words


def test_an_error_keeps_its_kind_and_says_the_field() -> None:
    with pytest.raises(TableError) as raised, told_by_fields(Path("a/my.yaml")):
        raise TableError("Read.", "Two spellings.", "Join them: --classes 'cll=CLL'.")
    assert raised.value.todo == "Join them: --classes 'cll=CLL'. In my.yaml: classes: {cll: CLL} under train."
    assert raised.value.todo in str(raised.value)
    full = OutputError("Write.", "No space.", "Free some.")
    full.is_full = True
    with pytest.raises(OutputError) as other, told_by_fields(Path("a/my.yaml")):
        raise full
    assert other.value is full and full.is_full and full.todo == "Free some."
