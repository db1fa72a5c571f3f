"""Heads fitted as convex problems: the minima of scikit-learn and lifelines, and no faith in noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from lifelines import CoxPHFitter
from sklearn.linear_model import LogisticRegression, Ridge

from histonic.core.task import Task
from histonic.nn.heads import Head
from histonic.stages.train.linear_heads import PARTS, PENALTIES, Sample, _assign, _path, fit_head

BINARY = Task("b", "binary", ("b",), ("no", "yes"))
CLASSES = Task("m", "multiclass", ("m",), ("a", "b", "c"))
GRADE = Task("o", "ordinal", ("o",), ("1", "2", "3"))
SCORE = Task("s", "regression", ("s",))
OS = Task("os", "survival", ("t", "e"))
P, E = 60, 4


def sample(kind: str, signal: float = 1.0) -> Sample:
    """Patients with one slide each; the first feature decides, the others do not."""
    rng = np.random.default_rng(4)
    features = rng.normal(size=(P, E)) * [1, 5, 0.1, 1] + [0, 100, 0, 3]
    latent = signal * features[:, 0] + rng.normal(size=P)
    targets = {
        "binary": (latent > 0) * 1.0,
        "multiclass": np.digitize(latent, [-0.6, 0.6]) * 1.0,
        "ordinal": np.digitize(latent, [-0.6, 0.6]) * 1.0,
        "regression": 50 + 10 * latent,
        "survival": np.stack([np.exp(-latent) + 0.01, rng.random(P) < 0.7], axis=1) * 1.0,
    }[kind]
    return Sample(torch.from_numpy(features), np.arange(P), targets)


def ready(task: Task, data: Sample) -> Head:
    """A head that knows what the stage tells it."""
    head = Head(task, E)
    if task.is_classification:
        counts = torch.from_numpy(np.bincount(data.targets.astype(int)))
        head.set_shares(counts / counts.sum(), counts / counts.sum())
    elif task.kind == "regression":
        head.set_scale(float(data.targets.mean()), float(data.targets.std()))
    return head


def fitted(task: Task, penalty: float) -> tuple[Head, Sample, np.ndarray]:
    data = sample(task.kind)
    number = PENALTIES.index(penalty) + 1
    head = _path(ready(task, data).double(), data)[number][0]
    features = data.features.numpy()
    return head, data, (features - features.mean(0)) / features.std(0)


@pytest.mark.parametrize("penalty", [PENALTIES[1], PENALTIES[5]])
def test_ridge(penalty: float) -> None:
    head, data, features = fitted(SCORE, penalty)
    wanted = (data.targets - data.targets.mean()) / data.targets.std()
    # Ours: mean square + penalty / 2 * w^2; theirs: sum of squares + alpha * w^2.
    model = Ridge(alpha=penalty / 2 * P).fit(features, wanted)
    assert np.allclose(head(data.features).detach()[:, 0], model.predict(features), atol=1e-4)


@pytest.mark.parametrize("task", [BINARY, CLASSES], ids=["binary", "multiclass"])
def test_logistic_ridge(task: Task) -> None:
    penalty = PENALTIES[3]
    head, data, features = fitted(task, penalty)
    # Ours: mean loss + penalty / 2 * w^2; theirs: C * sum of losses + w^2 / 2.
    model = LogisticRegression(C=1 / (penalty * P), max_iter=5000, tol=1e-9)
    expected = model.fit(features, data.targets.astype(int)).predict_proba(features)
    assert np.allclose(head.predict(head(data.features)).detach(), expected, atol=1e-4)


def test_cox_ridge() -> None:
    penalty = PENALTIES[4]
    head, data, features = fitted(OS, penalty)
    frame = pd.DataFrame(features).assign(time=data.targets[:, 0], event=data.targets[:, 1])
    # Theirs: mean over patients + penalizer / 2 * w^2, deviations with P - 1; ours: mean over events.
    penalizer = penalty * data.targets[:, 1].sum() / P * (P - 1) / P
    model = CoxPHFitter(penalizer=penalizer).fit(frame, "time", "event")
    slopes = head.linear.weight[0].detach().numpy() * data.features.numpy().std(0)
    assert np.allclose(slopes, model.params_.to_numpy(), atol=2e-3)


@pytest.mark.parametrize("task", [BINARY, CLASSES, GRADE, SCORE, OS], ids=lambda task: task.kind)
def test_signal_is_found_and_noise_is_not_trusted(task: Task) -> None:
    for signal in (2.0, 0.0):
        data = sample(task.kind, signal)
        head = ready(task, data)
        losses = fit_head(head, data, np.arange(P)).losses
        assert len(losses) == len(PENALTIES) + 1 and losses[0][0] is None
        best = min(loss for _, loss in losses)
        assert all(np.isfinite([loss for _, loss in losses]))
        if signal:
            assert best < 0.9 * losses[0][1] and float(head.shrinkage) > 0.5
        else:
            assert best > 0.9 * losses[0][1]


def test_slides_of_a_patient_count_as_one() -> None:
    data = sample("regression")
    patient_of = np.repeat(np.arange(P), 2)
    shifted = torch.stack([data.features + 1, data.features - 1], dim=1).flatten(0, 1)
    twice = Sample(shifted, patient_of, data.targets)
    one, two = (_path(ready(SCORE, data).double(), each)[5][0] for each in (data, twice))
    assert torch.allclose(one.linear.weight, two.linear.weight, atol=1e-8)
    assert twice.take(np.array([3, 1])).features.shape == (4, E)
    assert np.allclose(twice.mean(shifted.numpy()), data.features)


def test_a_constant_feature_counts_for_nothing() -> None:
    data = sample("regression")
    data.features[:, 2] = 7.0
    head = _path(ready(SCORE, data).double(), data)[8][0]
    assert float(head.linear.weight[0, 2].detach()) == 0 and torch.isfinite(head(data.features)).all()


def test_classes_are_dealt_evenly() -> None:
    targets = np.array([0.0] * 15 + [1.0] * 5)
    parts = _assign(targets)
    assert np.bincount(parts).tolist() == [4] * PARTS
    assert np.bincount(parts[15:]).tolist() == [1] * PARTS
