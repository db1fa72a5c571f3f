"""Options in messages of a study are told as fields of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from histonic.core.errors import OutputError, TableError
from histonic.data.tables.styles import columns_line
from histonic.data.targets.classes import join_option
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
        ("--columns a=b; if not: --columns a=c.", "train", "columns: {a: b} or {a: c} under train"),
        ("Hide one of them: --columns fold=none or --columns split=none.", "train",
         "columns: {fold: none} or {split: none} under train"),
        ("Name it with --columns fold=COLUMN or --columns split=COLUMN, or use --split random.", "train",
         "columns: {fold: COLUMN} or {split: COLUMN} under train, split under train"),
        ("--columns split=A. Else --columns fold=none, or --columns fold=none --columns split=none.", "train",
         "columns: {split: A} or {fold: none} or {fold: none, split: none} under train"),
        ("One, then the other: --columns a=b --columns a=c.", "train",
         "columns: {a: b} or {a: c} under train"),
        ("A quote that is left open: --columns a='b or c.", "train", "columns under train"),
        ("Not as a shell takes it: --columns a=b(c).", "train", "columns under train"),
        ("--columns split=none or --columns fold='x.", "train", "columns under train"),
        ("--columns patient_id=Fall-Nr. or another", "train", "columns: {patient_id: Fall-Nr.} under train"),
        ("Leave out --columns.", "train", "columns under train"),
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


@pytest.mark.parametrize(
    ("text", "part", "words"),
    [
        ("Say --decimal point.", "external", "decimal under external 'Ulm'"),
        (
            "Name it: --columns patient_id=Fall.",
            "external",
            "columns: {patient_id: Fall} under external 'Ulm'",
        ),
        ("Give --mpp 0.5.", "compress", "mpp under compress of external 'Ulm'"),
        ("Compress with --tile-um 128.", "external", "tile_um under compress of external 'Ulm'"),
        ("Say --decimal point.", "compress", "decimal under external 'Ulm'"),
        ("Train with --folds 3.", "external", "folds under train"),
    ],
)
def test_of_a_cohort_from_elsewhere_its_name_is_told(text: str, part: str, words: str) -> None:
    assert field_words(text, part, "Ulm") == words


NAMES = (
    "Fall", "Patient No", "Fälle", "Fall-Nr.", "Nr. ", "Case (old)", "a; b", "it's", "a: b", "#1", "x # y",
    "no", "null", "1", 'say "so"', "a\\b", "Größe, cm", "a=b", "or", "--sheet x", "[a]", "{a}", "*a", "Nr.:",
    "?",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "end", [".", ", or another.", "; or another.", ". Else write it down.", " (or not)."]
)
def test_a_column_of_any_name_is_told_as_it_is_called(name: str, end: str) -> None:
    line = columns_line("patient_id", [name])
    words = field_words(f"Name it, such as: {line}{end}")
    assert words.endswith(" under train") and words.count("under") == 1
    assert yaml.safe_load(words.removesuffix(" under train")) == {"columns": {"patient_id": name}}
    joined = field_words(f"Join them: {join_option([name], 'x')} --classes 'y=x'{end}")
    assert yaml.safe_load(joined.removesuffix(" under train")) == {
        "classes": {**dict([f"{name}=x".split("=", 1)]), "y": "x"}
    }


def test_a_name_of_two_lines_is_not_told() -> None:
    assert (
        field_words(f"Name it: {columns_line('patient_id', ['Fall' + chr(10) + 'Nr'])}.")
        == "columns under train"
    )


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
