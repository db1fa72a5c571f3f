"""Another cohort's events and times are read as the run's were; anything else is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from histonic.core.errors import SettingsError, TableError
from histonic.core.task import Coding, EventCodes, EventCoding, TargetRequest, Task
from histonic.data.tables.label_table import LabelTable, read_labels
from histonic.runs.documents import RunDocument, RunSettings
from histonic.stages.predict.inherited import inherited_meaning, own_event_codings, require_same_follow_up

OS = Task("os", "survival", ("os_months", "censorship"))
GRADE = Task("grade", "ordinal", ("grade",), ("low", "high"))


def test_codings_are_those_of_the_run_or_in_older_runs_of_its_settings(
    run_facts: Callable[[Sequence[Task]], dict[str, Any]],
) -> None:
    values = {key: value for key, value in run_facts([GRADE, OS]).items() if key not in ("format", "sha256")}
    facts = RunDocument.model_validate_json(json.dumps(values))
    settings = RunSettings(store="s", labels="l.csv", out="r", event_coding="censored")
    assert own_event_codings(facts, settings) == {"os": EventCoding("censored", "months")}
    kept = facts.model_copy(update={"codings": {"os": Coding("", event=EventCoding("1/2", "days"))}})
    assert own_event_codings(kept, settings) == {"os": EventCoding("1/2", "days")}


@pytest.mark.parametrize("codes", ["event", "censored", "1/2"])
def test_codes_are_inherited_and_others_refused(codes: EventCodes) -> None:
    own = {"os": EventCoding(codes, "months")}
    for given in (None, codes):
        assert inherited_meaning(own, given, ()) == {"event_coding": codes, "event_of_interest": []}
    other: EventCodes = "event" if codes != "event" else "censored"
    with pytest.raises(SettingsError, match=f"'os' with --event-coding {other}") as refused:
        inherited_meaning(own, other, ())
    assert f"trained with --event-coding {codes}" in refused.value.found
    assert inherited_meaning({}, None, ())["event_coding"] == "event"


def test_the_event_of_interest_is_inherited_and_another_one_refused() -> None:
    own = {"os": EventCoding("event", "months"), "css": EventCoding("event", "months", "2")}
    for given in ([], ["css=2"], ["css=2.0"]):
        assert inherited_meaning(own, None, given)["event_of_interest"] == ["css=2"]
    with pytest.raises(SettingsError, match="trained with --event-of-interest 2"):
        inherited_meaning(own, None, ["css=1"])
    with pytest.raises(SettingsError, match="trained with no competing causes"):
        inherited_meaning(own, None, ["2"])


def labels(folder: Path, columns: Sequence[str], words: Sequence[str], **classes: str) -> LabelTable:
    time, event = columns
    rows = "".join(f"P{k},{k + 1},{words[k % 2]}\n" for k in range(8))
    (folder / "oslo.csv").write_text(f"patient_id,{time},{event}\n{rows}")
    return read_labels(folder / "oslo.csv", classes={f"{event}:{k[1:]}": each for k, each in classes.items()})


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("os_days", "censorship"), "1 of the months is 30.44 days"),
        (("followup_weeks", "censorship"), "in weeks, by the name of 'followup_weeks'"),
        (("os_years", "censorship"), "1 of the months is 0.08333 years"),
        (("os_months", "death"), "'death' does not mark the censored"),
        (("os_months", "status"), "--classes COLUMN:1=dead"),
    ],
)
def test_names_that_contradict_the_run_are_refused(
    tmp_path: Path, columns: tuple[str, str], words: str
) -> None:
    own, requests = {"os": EventCoding("censored", "months")}, [TargetRequest("os", "survival", columns)]
    with pytest.raises(TableError) as refused:
        require_same_follow_up(own, [GRADE, OS], requests, labels(tmp_path, columns, "01"))
    assert words in str(refused.value) and "oslo.csv" in refused.value.asked


@pytest.mark.parametrize("columns", [OS.columns, ("fu_months", "cens"), ("time", "alive")])
def test_names_that_do_not_are_read(tmp_path: Path, columns: tuple[str, ...]) -> None:
    requests = [TargetRequest("os", "survival", columns), TargetRequest("grade", "ordinal", ("g",))]
    own = {"os": EventCoding("censored", "months")}
    require_same_follow_up(own, [OS, GRADE], requests, labels(tmp_path, columns, "01"))


def test_words_need_no_coding(tmp_path: Path) -> None:
    columns = ("os_months", "death")
    own, requests = {"os": EventCoding("censored", "months")}, [TargetRequest("os", "survival", columns)]
    require_same_follow_up(own, [OS], requests, labels(tmp_path, columns, ["Dead", "Alive"]))
    absent = TargetRequest("os", "survival", ("os_months", "absent"))
    require_same_follow_up(own, [OS], [absent], labels(tmp_path, columns, "01"))
    given = labels(tmp_path, columns, "01", _1="dead", _0="alive")
    require_same_follow_up(own, [OS], requests, given)
