"""Words of predictions, and records that are damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from histonic.core.documents import write_document
from histonic.core.errors import SettingsError, TableError
from histonic.core.settings import make_settings
from histonic.stages.explain.files import _words_of, read_records, write_summary
from histonic.stages.explain.record import RECORD, Explanation, prediction_words, read_explanation, title_of
from histonic.stages.explain.settings import ExplainSettings

INPUTS: dict[str, Any] = {
    "bundle": "b", "slide": "s", "tissue": "t", "picture": "", "by_path": False, "output": None,
    "checks": False, "tiles": 4, "seed": 0, "lesion": [], "mask": None,
}  # fmt: skip


def explained(**changes: Any) -> Explanation:
    """Of a survival target, without checks."""
    values = {
        "inputs": INPUTS, "why": "asked", "slide_id": "s", "patient_id": "", "target": "os",
        "kind": "survival", "method": "occlusion", "output": "a higher risk", "meaning": "", "joined": False,
        "prediction": {"risk": 1.0, "high_risk": 1}, "patient_prediction": None, "truth": (31.5, 1),
        "networks": [{"repeat": 0, "fold": 1, "initialisation": 0}], "unseen": False, "shrinkage": 1.0,
        "cells": 9, "curves": None, "randomisation": None, "lesion": None,
        "picture_note": "",
    }  # fmt: skip
    return Explanation.model_validate({**values, **changes})


def test_predictions_in_words() -> None:
    assert prediction_words({"predicted": "G3", "p_G3": 0.876}, "multiclass") == "G3 (88 %)"
    # Called against its share in training, though another class is likelier.
    rare = {"predicted": "G3", "p_G1": 0.87, "p_G3": 0.13}
    assert prediction_words(rare, "multiclass") == "G3 (13 %, much for so rare a class)"
    middle = {"predicted": "G2", "decided_by": "median", "p_G1": 0.4, "p_G2": 0.2, "p_G3": 0.4}
    assert prediction_words(middle, "ordinal") == "G2 (20 %, the median)"
    early = {"predicted": "yes", "decided_by": "sensitivity=0.95", "p_no": 0.7, "p_yes": 0.3}
    assert prediction_words(early, "binary") == "yes (30 %, at sensitivity=0.95)"
    assert prediction_words({"predicted": 12.345}, "regression") == "12.3"
    assert prediction_words({"risk": -0.5, "high_risk": 0}, "survival") == "low risk (-0.50)"


def test_a_title_says_event_and_who_was_asked() -> None:
    assert title_of(explained()) == (
        "s   |   os: predicted high risk (1.00), truth event at 31.5   |   all networks; not of the cohort"
    )
    assert "truth no event until 31.5" in title_of(explained(truth=(31.5, 0)))
    assert "truth" not in title_of(explained(truth=None))
    prediction = {"predicted": "yes", "p_no": 0.3, "p_yes": 0.7}
    named = explained(target="msi", kind="binary", truth="no", unseen=True, prediction=prediction)
    assert title_of(named) == (
        "s   |   msi: predicted yes (70 %), truth no   |   networks that never saw the patient"
    )


@pytest.mark.parametrize(
    ("method", "against", "levels"), [("hires-cam", True, 4), ("grad-cam", False, 2), ("attention", False, 2)]
)
def test_only_signed_methods_speak_against(method: str, against: bool, levels: int) -> None:
    heading, found, ends = _words_of(explained(method=method, output="G3"))
    assert len(found) == levels and any(level.sign < 0 for level in found) == against
    assert ("against" in heading, "against" in ends[1]) == (against, against)
    assert ("G3" in heading) == (method != "attention")


def test_the_old_name_of_another_method_is_refused() -> None:
    with pytest.raises(SettingsError, match="gradcam"):
        make_settings(ExplainSettings, {"run": "run", "method": "gradcam"}, "the command line")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_document(tmp_path / RECORD, explained())
    assert read_explanation(tmp_path / RECORD) == explained()
    (tmp_path / RECORD).write_text((tmp_path / RECORD).read_text().replace("31.5", "null"))
    with pytest.raises(TableError, match=r"(?s)explanation\.json.*truth.*histonic explain"):
        read_explanation(tmp_path / RECORD)


def test_a_damaged_record_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "msi" / "s1").mkdir(parents=True)
    (tmp_path / "msi" / "s1" / RECORD).write_text("{")
    assert read_records(tmp_path) == []
    write_summary(tmp_path)
    assert (tmp_path / "summary.csv").read_text().startswith("target,slide_id")
