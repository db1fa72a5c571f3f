"""Words of predictions, and records that are damaged."""

from __future__ import annotations

from pathlib import Path

from histonic.stages.explain.files import RECORD, prediction_words, read_records, title_of, write_summary


def test_predictions_in_words() -> None:
    assert prediction_words({"predicted": "G3", "p_G3": 0.876}, "multiclass") == "G3 (88 %)"
    # Called against its share in training, though another class is likelier.
    rare = {"predicted": "G3", "p_G1": 0.87, "p_G3": 0.13}
    assert prediction_words(rare, "multiclass") == "G3 (13 %, much for so rare a class)"
    assert prediction_words({"predicted": 12.345}, "regression") == "12.3"
    assert prediction_words({"risk": -0.5, "high_risk": 0}, "survival") == "low risk (-0.50)"


def test_a_title_says_event_and_who_was_asked() -> None:
    record = {"slide_id": "s", "target": "os", "kind": "survival", "unseen": False}
    record |= {"prediction": {"risk": 1.0, "high_risk": 1}, "truth": [31.5, 1]}
    assert title_of(record) == (
        "s   |   os: predicted high risk (1.00), truth event at 31.5   |   all networks; not of the cohort"
    )
    assert "truth no event until 31.5" in title_of(record | {"truth": [31.5, 0]})
    assert "truth" not in title_of(record | {"truth": None})


def test_a_damaged_record_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "msi" / "s1").mkdir(parents=True)
    (tmp_path / "msi" / "s1" / RECORD).write_text("{")
    assert read_records(tmp_path) == []
    write_summary(tmp_path)
    assert (tmp_path / "summary.csv").read_text().startswith("target,slide_id")
