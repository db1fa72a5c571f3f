"""Which output is explained, and that a higher number speaks for it."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.models.members import Member, RiskScale
from histonic.nn.heads import Head
from histonic.stages.explain.attribution.output import ExplainedOutput, choose_output

TYPES = Task("type", "multiclass", ("type",), ("a", "b", "c"))
GRADE = Task("grade", "ordinal", ("grade",), ("low", "mid", "high"))
SURVIVAL = Task("os", "survival", ("months", "event"))


def test_the_output_that_is_meant_if_none_is_named() -> None:
    assert choose_output(Task("msi", "binary", ("msi",), ("no", "yes")), None, "no").name == "yes"
    assert choose_output(TYPES, None, "b").name == "b"
    assert choose_output(GRADE, None, "low").name == "a higher class"
    assert choose_output(Task("s", "regression", ("s",)), None).name == "a higher value"
    assert choose_output(SURVIVAL, None).name == "a higher risk"


def test_an_unknown_class_is_refused_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match="Its classes are a, b, c"):
        choose_output(TYPES, "d", "a")
    with pytest.raises(SettingsError, match="It has no classes"):
        choose_output(SURVIVAL, "high")


@pytest.mark.parametrize("kind", ["binary", "multiclass", "ordinal"])
def test_evidence_is_the_log_odds_of_the_prediction(kind: str) -> None:
    classes = ("a", "b") if kind == "binary" else ("a", "b", "c")
    task = Task("t", kind, ("t",), classes)  # type: ignore[arg-type]
    head = Head(task, 3)
    outputs = torch.randn(6, task.outputs, generator=torch.Generator().manual_seed(0))
    if kind == "ordinal":
        outputs = outputs.sort(dim=1, descending=True).values
    for index in range(len(classes)):
        p = head.predict(outputs)[:, index]
        assert torch.allclose(ExplainedOutput(task, index).evidence(head, outputs), torch.logit(p), atol=1e-4)


def test_a_higher_class_is_a_higher_number() -> None:
    head = Head(GRADE, 3)
    low, high = torch.tensor([[-1.0, -2.0]]), torch.tensor([[2.0, 1.0]])
    member = Member.__new__(Member)
    assert ExplainedOutput(GRADE).evidence(head, low) < ExplainedOutput(GRADE).evidence(head, high)
    assert ExplainedOutput(GRADE).prediction(head, member, low) < ExplainedOutput(GRADE).prediction(
        head, member, high
    )


def test_risks_are_joined_on_the_scale_of_predictions() -> None:
    head = Head(SURVIVAL, 3)

    class Told:
        risks: ClassVar = {"os": RiskScale(1.0, 4.0, 0.0)}

    assert ExplainedOutput(SURVIVAL).weight(head, Told()) == 0.25  # type: ignore[arg-type]
    assert ExplainedOutput(SURVIVAL).prediction(head, Told(), torch.tensor([[9.0]])).item() == 2.0  # type: ignore[arg-type]
    head.shrinkage.fill_(0.0)
    assert ExplainedOutput(SURVIVAL).evidence(head, torch.tensor([[9.0]])).item() == 0.0
