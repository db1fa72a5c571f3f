"""The keywords of Python calls are the fields of their settings, and mypy refuses all others."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, get_args, get_origin, get_type_hints

import pytest
from pydantic import TypeAdapter

import histonic
from histonic.core.settings import Settings

PLAIN = (int, float, bool, type(None))
SOURCE = Path(__file__).resolve().parents[1] / "src"


def verbs() -> list[tuple[Callable[..., Any], type[Settings], Any]]:
    """Public functions that take settings or their keys, with the settings and what the keywords are."""
    found = []
    for name in histonic.__all__:
        verb = getattr(histonic, name)
        if not inspect.isfunction(verb) or "settings" not in inspect.signature(verb).parameters:
            continue
        hints = get_type_hints(verb)
        model = next(each for each in get_args(hints["settings"]) if each is not type(None))
        found.append((verb, model, hints.get("values")))
    return found


VERBS = verbs()
WRONG = {
    "audit": ('store="store", label="labels.csv"', 'permutations="many"'),
    "compare_runs": ("run=[]", "resamples=None"),
    "compress": ('encodr="colour", out="store"', 'out="store", mpp="half"'),
    "convert": ("qualty=80", 'lossless="yes"'),
    "doctor": ('slide="a.svs"', "labels=3"),
    "explain": ('slides=["s1"]', 'method="gradcam"'),
    "export_features": ('form="clam"', 'to="klam"'),
    "export_onnx": ('bundle="run"', "model=3"),
    "external_test": ('labls="b.csv"', 'times_differ="no"'),
    "extract_tiles": ("tile=128", 'unannotated="keep"'),
    "import_features": ('source="clam"', 'form="klam"'),
    "init_study": ('label="labels.csv"', "slides=3"),
    "make_pool": ("source=[]", 'seed="x"'),
    "predict": ('slide=["a.svs"]', 'mpp="fine"'),
    "project": ('stores="a"', "encoder=1"),
    "recipe": ('challenge="bach"', "data=1"),
    "run_study": ('file="study.yaml"', 'dry_run="yes"'),
    "simulate_crops": ('mask="masks"', 'crop_px="large"'),
    "simulate_mosaic": ("patient=10", 'kind="needles"'),
    "simulate_needles": ('canvass="512"', 'canvas="512"'),
    "simulate_rectangles": ("side=10", 'side_px="10"'),
    "study_needles": ("canvas=64", 'canvases="64"'),
    "study_rectangles": ('objective="vae"', 'objectives=["vea"]'),
    "study_tasks": ("set=[]", 'linear="svn"'),
    "train_encoder": ('objectiv="vae"', 'objective="vea"'),
    "train_slides": ('store="store", split="sites"', 'targets=["msi"]'),
    "transfer": ("seed=1", 'modes=["frozn"]'),
    "verify": ('path="store"', 'repair="yes"'),
    "write_report": ('runs=["run"]', 'resamples="many"'),
}
"""Of every verb two calls with one slip each: in a name, in a value (or two names)."""
SAMPLE = """\
from pathlib import Path

import numpy as np
import pandas as pd

import histonic

table = pd.DataFrame({"patient_id": ["1"], "msi": ["high"]})
image = np.zeros((256, 256, 3), np.uint8)
histonic.compress(slides=["a.svs", Path("b.svs")], encoder="colour", out="store", tissue={"mpp": 4})
histonic.compress(slides="a.svs", out="store")
histonic.compress(slides={"a": (image, 0.5)}, out="store")
histonic.compress(slides=[histonic.open_slide("a.svs"), (image, 0.5)], out="store")
histonic.compress(histonic.CompressSettings(out=Path("store")), encoder="colour")
histonic.train_slides(store="store", labels="labels.csv", target=["msi"], out=Path("run"), folds=3)
histonic.train_slides(store="store", labels=table, target="msi", out="run")
histonic.predict(bundle="run/bundle", slides=["a.svs"], mpp=0.5)
histonic.doctor(slides="slides", labels=table, target="msi").ok
"""


def test_every_verb_says_its_keywords() -> None:
    assert {verb.__name__ for verb, _, _ in VERBS} == set(WRONG)
    for verb, _, keywords in VERBS:
        assert get_origin(keywords) is Unpack, f"{verb.__name__} takes any keywords"


@pytest.mark.parametrize(("verb", "model", "keywords"), VERBS, ids=lambda each: getattr(each, "__name__", ""))
def test_keywords_are_the_fields(verb: Callable[..., Any], model: type[Settings], keywords: Any) -> None:
    hints = get_type_hints(get_args(keywords)[0])
    assert set(hints) == set(model.model_fields)
    assert getattr(histonic, model.__name__) is model


@pytest.mark.parametrize(("verb", "model", "keywords"), VERBS, ids=lambda each: getattr(each, "__name__", ""))
def test_keywords_have_the_types_of_the_fields(
    verb: Callable[..., Any], model: type[Settings], keywords: Any
) -> None:
    hints = get_type_hints(get_args(keywords)[0])
    for name, field in model.model_fields.items():
        kind = field.annotation
        if (
            kind is str
            or get_origin(kind) is Literal
            or all(each in PLAIN for each in get_args(kind) or [kind])
        ):
            assert hints[name] == kind, name
        if get_origin(kind) is tuple and get_args(kind)[0] in (str, Path):
            assert str in get_args(hints[name]), f"{name}: one alone is a list of one"
        if get_origin(kind) is dict:
            assert get_origin(hints[name]) is Mapping, name
        if not field.is_required():
            TypeAdapter(hints[name], config={"arbitrary_types_allowed": True}).validate_python(
                field.get_default(call_default_factory=True)
            )


def faults(folder: Path, sample: str) -> tuple[list[int], str]:
    """Lines of a user's script in which mypy finds a fault, and what it says."""
    (folder / "sample.py").write_text(sample, encoding="utf-8")
    command: Sequence[str] = [
        *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file="),
        *("--disable-error-code=import-untyped", "sample.py"),
    ]
    shown = subprocess.run(
        command, cwd=folder, env={"MYPYPATH": str(SOURCE), "PATH": ""}, capture_output=True, text=True
    )
    said = shown.stdout + shown.stderr
    return sorted({int(line) for line in re.findall(r"^sample\.py:(\d+): error", said, re.MULTILINE)}), said


@pytest.mark.long
def test_mypy_refuses_wrong_keywords(tmp_path: Path) -> None:
    wrong = [f"histonic.{verb}({call})" for verb, calls in WRONG.items() for call in calls]
    first = SAMPLE.count("\n") + 1
    found, said = faults(tmp_path, SAMPLE + "\n".join(wrong) + "\n")
    assert found == list(range(first, first + len(wrong))), said
    assert 'Unexpected keyword argument "encodr" for "compress"' in said
