"""The keywords of Python calls are the fields of their settings, and mypy refuses all others."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Unpack, get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter

import histonic
from histonic.core.settings import Settings
from histonic.stages.compress.settings import CompressKeywords, CompressSettings
from histonic.stages.predict.settings import PredictKeywords, PredictSettings
from histonic.stages.study.file.settings import (
    InitStudyKeywords,
    InitStudySettings,
    RunStudyKeywords,
    RunStudySettings,
)
from histonic.stages.train.settings import TrainKeywords, TrainSettings

VERBS = [
    (histonic.compress, CompressSettings, CompressKeywords),
    (histonic.train_slides, TrainSettings, TrainKeywords),
    (histonic.predict, PredictSettings, PredictKeywords),
    (histonic.init_study, InitStudySettings, InitStudyKeywords),
    (histonic.run_study, RunStudySettings, RunStudyKeywords),
]
PLAIN = (int, float, bool, type(None))
SOURCE = Path(__file__).resolve().parents[1] / "src"
SAMPLE = """\
from pathlib import Path

import histonic

histonic.compress(slides=["a.svs", Path("b.svs")], encoder="colour", out="store", tissue={"mpp": 4})
histonic.train_slides(store="store", labels="labels.csv", target=["msi"], out=Path("run"), folds=3)
histonic.predict(bundle="run/bundle", slides=["a.svs"], mpp=0.5)
histonic.compress(encodr="colour", out="store")  # wrong
histonic.compress(out="store", mpp="half")  # wrong
histonic.train_slides(store="store", split="sites")  # wrong
histonic.predict(bundle="run/bundle", slide=["a.svs"])  # wrong
"""


@pytest.mark.parametrize(("verb", "model", "keywords"), VERBS)
def test_keywords_are_the_fields(verb: Callable[..., Any], model: type[Settings], keywords: type) -> None:
    hints = get_type_hints(keywords)
    assert set(hints) == set(model.model_fields)
    assert get_type_hints(verb)["values"] == Unpack[keywords]


@pytest.mark.parametrize(("verb", "model", "keywords"), VERBS)
def test_keywords_have_the_types_of_the_fields(
    verb: Callable[..., Any], model: type[Settings], keywords: type
) -> None:
    hints = get_type_hints(keywords)
    for name, field in model.model_fields.items():
        kind = field.annotation
        if (
            kind is str
            or get_origin(kind) is Literal
            or all(each in PLAIN for each in get_args(kind) or [kind])
        ):
            assert hints[name] == kind, name
        if not field.is_required():
            TypeAdapter(hints[name], config={"arbitrary_types_allowed": True}).validate_python(
                field.get_default(call_default_factory=True)
            )


@pytest.mark.long
def test_mypy_refuses_wrong_keywords(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        "sample.py",
    ]
    shown = subprocess.run(
        command, cwd=tmp_path, env={"MYPYPATH": str(SOURCE), "PATH": ""}, capture_output=True, text=True
    )
    wrong = [number for number, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith("# wrong")]
    found = [int(line) for line in re.findall(r"^sample\.py:(\d+): error", shown.stdout, re.MULTILINE)]
    assert sorted(set(found)) == wrong, shown.stdout + shown.stderr
    assert 'Unexpected keyword argument "encodr" for "compress"' in shown.stdout
