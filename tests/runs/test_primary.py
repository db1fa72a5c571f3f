"""The metric that leads a target: what can be asked for, and what is refused."""

from __future__ import annotations

import pytest

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.runs.primary import LEADING, primary_of, with_primary

MSI = Task("msi", "binary", ("msi",), ("no", "yes"))
KI67 = Task("ki67=percent", "regression", ("ki67",))
OS = Task("os", "survival", ("months", "dead"))


def test_the_first_of_a_kind_is_the_default() -> None:
    assert [primary_of(task) for task in (MSI, KI67, OS)] == ["AUROC", "Spearman correlation", "C-index"]


@pytest.mark.parametrize(
    ("text", "metric"),
    [("os=Uno's C", "Uno's C"), ("os=unos-c", "Uno's C"), ("ki67=percent=MAE", "Mean absolute error")],
)
def test_spelling_does_not_count(text: str, metric: str) -> None:
    found = {task.name: task for task in with_primary([MSI, KI67, OS], [text])}
    assert metric in (found["os"].primary, found["ki67=percent"].primary)
    assert found["msi"] == MSI


def test_the_choice_survives_a_file() -> None:
    task = with_primary([MSI], ["msi=brier score"])[0]
    assert Task.from_dict(task.to_dict()) == task and task.primary == "Brier score"
    assert "primary" not in MSI.to_dict()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("msi", "It has no '='"),
        ("grade=AUROC", "no target 'grade'; there are msi"),
        ("msi=AUPRC", "Use one of AUROC, Brier score"),
        ("msi=C-index", "Use one of AUROC, Brier score"),
    ],
)
def test_what_cannot_lead_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        with_primary([MSI], [text])


def test_every_kind_has_a_default() -> None:
    assert all(LEADING.values())
