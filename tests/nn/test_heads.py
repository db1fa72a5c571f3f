"""Heads: they begin at the baseline, correct probabilities to the prevalence, and speak the target's unit."""

from __future__ import annotations

import pytest
import torch

from histonic.core.task import TASK_KINDS, Task
from histonic.nn.heads import Head, Heads, prediction_width

PREVALENCE = torch.tensor([0.7, 0.2, 0.1])
SAMPLED = torch.tensor([0.4, 0.35, 0.25])


def head_of(kind: str, size: int = 4) -> Head:
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "ordinal": ("a", "b", "c")}.get(
        kind, ()
    )
    return Head(Task(kind, kind, ("x",), classes), size)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["multiclass", "ordinal"])
def test_an_untrained_head_predicts_the_prevalence(kind: str) -> None:
    head = head_of(kind)
    head.set_shares(PREVALENCE, SAMPLED)
    found = head.predict(head(torch.randn(5, 4)))
    assert torch.allclose(found, PREVALENCE.expand(5, 3), atol=1e-5)


def test_an_untrained_binary_head_predicts_the_prevalence() -> None:
    head = head_of("binary")
    head.set_shares(torch.tensor([0.95, 0.05]), torch.tensor([0.5, 0.5]))
    assert torch.allclose(head.predict(head(torch.randn(1, 4))), torch.tensor([[0.95, 0.05]]), atol=1e-6)


def test_an_untrained_value_is_the_training_mean_and_risk_is_equal() -> None:
    head = head_of("regression")
    head.set_scale(12.5, 3.0)
    assert head.predict(head(torch.randn(2, 4))).tolist() == [[12.5], [12.5]]
    risk = head_of("survival")
    assert risk.predict(risk(torch.randn(2, 4))).tolist() == [[0.0], [0.0]]


def test_standardising_is_undone_by_predicting() -> None:
    head = head_of("regression")
    head.set_scale(10.0, 4.0)
    values = torch.tensor([2.0, 10.0, 30.0])
    assert torch.allclose(head.predict(head.standardise(values)[:, None])[:, 0], values)
    head.set_scale(10.0, 0.0)
    assert torch.isfinite(head.standardise(values)).all()


def test_prior_correction_is_bayes_rule() -> None:
    head = head_of("multiclass")
    head.set_shares(PREVALENCE, SAMPLED)
    logits = torch.tensor([[0.3, -0.2, 1.1]])
    likelihood = logits.softmax(1) / SAMPLED
    wanted = likelihood * PREVALENCE / (likelihood * PREVALENCE).sum()
    assert torch.allclose(head.predict(logits), wanted, atol=1e-6)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "ordinal"])
def test_probabilities_are_probabilities(kind: str) -> None:
    torch.manual_seed(0)
    head = head_of(kind)
    torch.nn.init.normal_(head.linear.weight, std=3)
    found = head.predict(head(torch.randn(50, 4)))
    assert found.shape == (50, prediction_width(head.task))
    assert torch.allclose(found.sum(1), torch.ones(50), atol=1e-5) and (found >= 0).all()


def test_ordinal_thresholds_stay_in_order() -> None:
    torch.manual_seed(0)
    head = Head(Task("g", "ordinal", ("g",), tuple("abcdef")), 4)
    torch.nn.init.normal_(head.steps, std=5)
    outputs = head(torch.randn(20, 4))
    assert (outputs.diff(dim=1) <= 0).all()


def test_a_class_that_nobody_has_leaves_numbers_finite() -> None:
    for kind in ("multiclass", "ordinal"):
        head = head_of(kind)
        head.set_shares(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.5, 0.5, 0.0]))
        found = head.predict(head(torch.randn(2, 4)))
        assert torch.isfinite(found).all() and (found[:, 2] < 1e-3).all()


def test_heads_of_several_tasks() -> None:
    heads = Heads([head_of(kind).task for kind in TASK_KINDS], 4)
    outputs = heads(torch.randn(3, 4))
    assert {name: part.shape[1] for name, part in outputs.items()} == {
        "binary": 1,
        "multiclass": 3,
        "ordinal": 2,
        "regression": 1,
        "survival": 1,
    }
    assert {name: part.shape[1] for name, part in heads.predict(outputs).items()}["binary"] == 2
    with pytest.raises(KeyError):
        heads["absent"]


def test_names_with_points_are_possible() -> None:
    heads = Heads([Task("ki67.percent", "regression", ("x",))], 2)
    assert list(heads(torch.ones(1, 2))) == ["ki67.percent"]


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_trust_draws_predictions_to_the_baseline(kind: str) -> None:
    torch.manual_seed(0)
    head = head_of(kind)
    torch.nn.init.normal_(head.linear.weight)
    if kind == "regression":
        head.set_scale(5.0, 2.0)
    outputs = head(torch.randn(3, 4)).detach()
    full = head.predict(outputs)
    drawn = head.predict(outputs, shrinkage=0.25)
    head.shrinkage.fill_(0.25)
    assert torch.allclose(head.predict(outputs), head.baseline + 0.25 * (full - head.baseline), atol=1e-6)
    assert torch.equal(head.predict(outputs), drawn) and torch.equal(
        head.predict(outputs, shrinkage=1.0), full
    )
    head.shrinkage.fill_(0)
    assert torch.allclose(head.predict(outputs), head.baseline.expand_as(full))
    assert not torch.allclose(full, head.baseline.expand_as(full))


def hazard_head(times: list[float], events: list[int], intervals: int = 4) -> tuple[Head, torch.Tensor]:
    head = Head(Task("os", "survival", ("t", "e"), intervals=intervals), 3)
    targets = torch.tensor([times, events], dtype=torch.float64).T
    head.set_times(targets)
    return head, targets


def test_intervals_hold_equally_many_events_and_begin_at_their_hazards() -> None:
    head, targets = hazard_head([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 1, 1, 1, 1, 1, 1, 1, 0])
    found = head.standardise(targets)
    died = found[found[:, 1] == 1, 0]
    assert torch.bincount(died.long()).tolist() == [2, 2, 2, 2]
    # At risk 9, 7, 5, 3 of whom 2 die each time; half a patient more on either side.
    wanted = torch.tensor([2.5 / 10, 2.5 / 8, 2.5 / 6, 2.5 / 4])
    outputs = head(torch.randn(2, 3))
    assert torch.allclose(outputs.sigmoid(), wanted.expand(2, 4), atol=1e-6)
    assert torch.allclose(head.predict(outputs), torch.zeros(2, 1), atol=1e-5)


def test_the_censored_survive_an_interval_from_its_middle_on() -> None:
    head, _ = hazard_head([10, 20, 30, 40], [1, 1, 1, 1], intervals=2)
    edge = float(head.edges[0])
    assert edge == 25
    asked = torch.tensor([[12.0, 0], [13.0, 0], [30.0, 0], [33.0, 0], [25.0, 1], [26.0, 1], [torch.nan, 1]])
    found = head.standardise(asked)
    assert found[:-1, 0].tolist() == [0, 1, 1, 2, 0, 1]
    assert torch.isnan(found[-1]).all()


def test_higher_hazards_are_a_higher_risk() -> None:
    head, _ = hazard_head([1, 2, 3, 4], [1, 0, 1, 1])
    low, high = head.predict(torch.full((1, 4), -2.0)), head.predict(torch.full((1, 4), 1.0))
    assert low < 0 < high


def test_a_head_with_a_dense_layer_begins_at_the_prevalence_and_takes_any_arrangement() -> None:
    torch.manual_seed(0)
    head = Head(Task("msi", "binary", ("msi",), ("no", "yes")), 6, hidden=5)
    assert {name for name, _ in head.named_parameters()} > {"dense.dense.weight", "dense.norm.weight"}
    assert head.linear.in_features == 5
    head.set_shares(torch.tensor([0.8, 0.2]), torch.tensor([0.5, 0.5]))
    cells = torch.randn(3, 4, 6)
    assert torch.allclose(head.predict(head(cells[0])), torch.tensor([0.8, 0.2]).expand(4, 2), atol=1e-6)
    torch.nn.init.normal_(head.linear.weight)
    head.eval()
    one_by_one = torch.stack([head(cell[None])[0] for cell in cells.reshape(-1, 6)])
    assert torch.allclose(head(cells).reshape(-1, 1), one_by_one, atol=1e-6)
    by_hand = torch.nn.functional.leaky_relu(head.dense.norm(head.dense.dense(cells[0])), 0.2)  # type: ignore[union-attr, operator]
    assert torch.allclose(head(cells[0]), head.linear(by_hand), atol=1e-6)


def test_linear_heads_have_the_weights_that_they_always_had() -> None:
    names = set(Heads([Task("msi", "binary", ("msi",), ("no", "yes"))], 4).state_dict())
    assert names == {f"heads.0.{name}" for name in (
        "linear.weight", "linear.bias", "shrinkage", "prevalence", "sampled"
    )}  # fmt: skip
