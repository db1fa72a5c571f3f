"""Losses: golden values by hand and from lifelines, gradients, and silence about missing targets."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter

from histonic.core.task import TASK_KINDS, Task
from histonic.nn.losses import LOSSES, cox_efron, discrete_hazards, joint_loss, survival_loss

CLASSES = ("a", "b", "c")


def task_of(kind: str) -> Task:
    classes = {"binary": ("no", "yes"), "multiclass": CLASSES, "ordinal": CLASSES}.get(kind, ())
    return Task(kind, kind, ("x",), classes)  # type: ignore[arg-type]


def targets_of(kind: str, n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    if kind == "survival":
        both = np.stack([rng.integers(1, 5, n), rng.random(n) < 0.6], axis=1)
        return torch.tensor(both, dtype=torch.float64)
    if kind == "regression":
        return torch.tensor(rng.normal(size=n))
    return torch.tensor(rng.integers(0, len(task_of(kind).classes), n), dtype=torch.float64)


def efron_by_hand(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    """The log partial likelihood, term by term as in a textbook."""
    total = 0.0
    for moment in np.unique(time[event == 1]):
        tied = np.flatnonzero((time == moment) & (event == 1))
        at_risk = np.exp(risk[time >= moment]).sum()
        for turn in range(len(tied)):
            total -= math.log(at_risk - turn / len(tied) * np.exp(risk[tied]).sum())
        total += risk[tied].sum()
    return total


def test_every_kind_of_target_has_a_loss() -> None:
    assert tuple(LOSSES) == TASK_KINDS


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_missing_targets_are_left_out(kind: str) -> None:
    torch.manual_seed(0)
    outputs = torch.randn(12, task_of(kind).outputs, dtype=torch.float64)
    targets = targets_of(kind, 12)
    wanted = LOSSES[kind](outputs[:8], targets[:8])  # type: ignore[index]
    targets[8:] = math.nan
    assert torch.isclose(LOSSES[kind](outputs, targets), wanted)  # type: ignore[index]
    assert wanted > 0


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_a_batch_of_missing_targets_costs_nothing(kind: str) -> None:
    outputs = torch.randn(4, task_of(kind).outputs, requires_grad=True)
    targets = torch.full_like(targets_of(kind, 4), math.nan)
    loss = LOSSES[kind](outputs, targets)  # type: ignore[index]
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None and not outputs.grad.any()


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_gradients_by_finite_differences(kind: str) -> None:
    torch.manual_seed(1)
    outputs = torch.randn(9, task_of(kind).outputs, dtype=torch.float64, requires_grad=True)
    targets = targets_of(kind, 9)
    targets[2] = math.nan
    assert torch.autograd.gradcheck(lambda o: LOSSES[kind](o, targets), outputs)  # type: ignore[index]


def test_classification_by_hand() -> None:
    p = torch.tensor([0.2, 0.5, 0.3])
    assert LOSSES["multiclass"](p.log()[None], torch.tensor([2.0])).item() == pytest.approx(-math.log(0.3))
    logit = torch.logit(torch.tensor([[0.9], [0.9]]))
    wanted = -(math.log(0.9) + math.log(0.1)) / 2
    assert LOSSES["binary"](logit, torch.tensor([1.0, 0.0])).item() == pytest.approx(wanted)
    above = torch.logit(torch.tensor([[0.8, 0.3]]))  # class 1: above the first threshold, not the second
    wanted = -(math.log(0.8) + math.log(0.7)) / 2
    assert LOSSES["ordinal"](above, torch.tensor([1.0])).item() == pytest.approx(wanted)


def test_squared_error_by_hand() -> None:
    loss = LOSSES["regression"](torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0]))
    assert loss.item() == pytest.approx((1 + 4) / 2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 30))
def test_cox_is_efrons_formula(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    risk, time = rng.normal(scale=2, size=n), rng.integers(1, 6, n).astype(float)
    event = (rng.random(n) < 0.7).astype(float)
    event[0] = 1
    found = cox_efron(torch.tensor(risk)[:, None], torch.tensor(np.stack([time, event], axis=1)))
    assert found.item() == pytest.approx(-efron_by_hand(risk, time, event) / event.sum(), abs=1e-10)


@pytest.mark.parametrize("ties", [False, True])
def test_cox_is_the_likelihood_of_lifelines(ties: bool) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=60)
    time = rng.exponential(np.exp(-x)) * 10 + 0.1
    time = np.ceil(time) if ties else time
    event = rng.random(60) < 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = CoxPHFitter().fit(pd.DataFrame({"x": x, "t": time, "e": event}), "t", "e")
    risk = torch.tensor(x * fitted.params_["x"])[:, None]
    found = cox_efron(risk, torch.tensor(np.stack([time, event], axis=1)))
    assert -found.item() * event.sum() == pytest.approx(fitted.log_likelihood_, abs=1e-6)


def test_cox_rewards_higher_risk_for_earlier_events() -> None:
    targets = torch.tensor([[1.0, 1], [2.0, 1], [3.0, 0]])
    right, wrong = torch.tensor([[2.0], [1.0], [0.0]]), torch.tensor([[0.0], [1.0], [2.0]])
    assert cox_efron(right, targets) < cox_efron(wrong, targets)


@given(st.floats(-50, 50))
def test_cox_knows_no_absolute_risk(shift: float) -> None:
    torch.manual_seed(0)
    risk, targets = torch.randn(10, 1, dtype=torch.float64), targets_of("survival", 10)
    assert cox_efron(risk + shift, targets).item() == pytest.approx(cox_efron(risk, targets).item())


def test_cox_stays_finite_at_extreme_risks() -> None:
    risk = torch.tensor([[-400.0], [0.0], [400.0], [90.0]], requires_grad=True)
    loss = cox_efron(risk, torch.tensor([[1.0, 1], [1.0, 1], [2.0, 0], [3.0, 1]]))
    loss.backward()
    assert torch.isfinite(loss) and risk.grad is not None and torch.isfinite(risk.grad).all()


def test_cox_without_events_costs_nothing() -> None:
    assert cox_efron(torch.randn(3, 1), torch.tensor([[1.0, 0], [2.0, 0], [3.0, 0]])).item() == 0


def test_the_joint_loss_is_the_sum() -> None:
    torch.manual_seed(0)
    tasks = [task_of(kind) for kind in TASK_KINDS]
    outputs = {task.name: torch.randn(8, task.outputs) for task in tasks}
    targets = {task.name: targets_of(task.kind, 8).float() for task in tasks}
    parts = [LOSSES[task.kind](outputs[task.name], targets[task.name]) for task in tasks]
    assert joint_loss(tasks, outputs, targets).item() == pytest.approx(sum(part.item() for part in parts))


def test_discrete_hazards_are_the_likelihood_written_out() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    targets = torch.tensor([[0, 1], [3, 1], [0, 0], [4, 0], [2, 1], [torch.nan, 1]], dtype=torch.float64)
    h = logits.sigmoid()
    likelihood = [
        h[0, 0],
        (1 - h[1, 0]) * (1 - h[1, 1]) * (1 - h[1, 2]) * h[1, 3],
        torch.ones(()).double(),
        (1 - h[3]).prod(),
        (1 - h[4, 0]) * (1 - h[4, 1]) * h[4, 2],
    ]
    wanted = -torch.stack(likelihood).log().mean()
    assert torch.allclose(discrete_hazards(logits, targets), wanted)
    assert torch.allclose(survival_loss(logits, targets), wanted)
    assert survival_loss(logits[:, :1], targets) != wanted
