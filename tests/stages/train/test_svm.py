"""Support vector machines as heads: the minima of scikit-learn, calibrated margins, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC, LinearSVR

from histonic.core.errors import SettingsError
from histonic.core.task import Task
from histonic.nn.heads import Head
from histonic.stages.train.linear_heads import PENALTIES, Sample, _path, fit_head
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.svm import SVM_LOSSES, TUBE, calibrated, ordinal_hinge, require_usable

BINARY = Task("b", "binary", ("b",), ("no", "yes"))
CLASSES = Task("m", "multiclass", ("m",), ("a", "b", "c"))
GRADE = Task("o", "ordinal", ("o",), ("1", "2", "3"))
SCORE = Task("s", "regression", ("s",))
OS = Task("os", "survival", ("t", "e"))
P, E = 60, 4


def sample(kind: str, signal: float = 1.0) -> Sample:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(P, E)) * [1, 5, 0.1, 1] + [0, 100, 0, 3]
    latent = signal * features[:, 0] + rng.normal(size=P)
    targets = {
        "binary": (latent > 0) * 1.0,
        "multiclass": np.digitize(latent, [-0.6, 0.6]) * 1.0,
        "ordinal": np.digitize(latent, [-0.6, 0.6]) * 1.0,
        "regression": 50 + 10 * latent,
    }[kind]
    return Sample(torch.from_numpy(features), np.arange(P), targets)


def ready(task: Task, data: Sample) -> Head:
    head = Head(task, E)
    if task.is_classification:
        counts = torch.from_numpy(np.bincount(data.targets.astype(int)))
        head.set_shares(counts / counts.sum(), counts / counts.sum())
    else:
        head.set_scale(float(data.targets.mean()), float(data.targets.std()))
    return head


@pytest.mark.parametrize("task", [BINARY, CLASSES], ids=["binary", "multiclass"])
def test_margins_are_those_of_liblinear(task: Task) -> None:
    data, penalty = sample(task.kind), PENALTIES[4]
    head = _path(ready(task, data).double(), data, True)[5][0]
    features = data.features.numpy()
    features = (features - features.mean(0)) / features.std(0)
    # Ours: mean squared hinge + penalty / 2 * w^2; theirs: C * sum + w^2 / 2, and a hardly penalised bias.
    model = LinearSVC(C=1 / (penalty * P), dual=False, tol=1e-10, intercept_scaling=1e3, max_iter=100_000)
    wanted = model.fit(features, data.targets.astype(int)).decision_function(features)
    assert np.allclose(head(data.features).detach(), wanted.reshape(P, -1), atol=2e-3)


def test_values_are_those_of_liblinear() -> None:
    data, penalty = sample("regression"), PENALTIES[4]
    head = _path(ready(SCORE, data).double(), data, True)[5][0]
    features = data.features.numpy()
    features = (features - features.mean(0)) / features.std(0)
    wanted = (data.targets - data.targets.mean()) / data.targets.std()
    model = LinearSVR(
        C=1 / (penalty * P), epsilon=TUBE, loss="squared_epsilon_insensitive", dual=False, tol=1e-10,
        intercept_scaling=1e3, max_iter=100_000,
    )  # fmt: skip
    found = head(data.features).detach()[:, 0]
    assert np.allclose(found, model.fit(features, wanted).predict(features), atol=2e-3)


def test_thresholds_by_hand() -> None:
    outputs = torch.tensor([[0.5, -2.0], [3.0, 0.0]])
    # Class 1: above the first (hinge 0.5), not above the second (0); class 0: 4 and 1. Missing: nothing.
    wanted = (0.25 + 0 + 16 + 1) / 2
    assert float(ordinal_hinge(outputs, torch.tensor([1.0, 0.0]))) == pytest.approx(wanted)
    three = torch.cat([outputs, torch.ones(1, 2)])
    assert float(ordinal_hinge(three, torch.tensor([1.0, 0.0, torch.nan]))) == pytest.approx(wanted)


@pytest.mark.parametrize("task", [BINARY, CLASSES, GRADE], ids=lambda task: task.kind)
def test_calibration_scales_and_shifts_the_outputs(task: Task) -> None:
    data = sample(task.kind, 3.0)
    head = _path(ready(task, data).double(), data, True)[5][0]
    margins = head(data.features).detach()
    found = calibrated([head], margins, torch.from_numpy(data.targets))[0](data.features).detach()
    slopes = [np.polyfit(margins[:, k], found[:, k], 1) for k in range(task.outputs)]
    for k, (scale, shift) in enumerate(slopes):
        assert np.allclose(scale * margins[:, k].numpy() + shift, found[:, k], atol=1e-6)
    assert np.ptp([scale for scale, _ in slopes]) < 1e-6 and slopes[0][0] > 1
    if task.kind == "ordinal":
        assert (found[:, 0] > found[:, 1]).all()


@pytest.mark.parametrize("task", [BINARY, CLASSES, GRADE, SCORE], ids=lambda task: task.kind)
def test_signal_is_found_and_noise_is_not_trusted(task: Task) -> None:
    for signal in (3.0, 0.0):
        data = sample(task.kind, signal)
        head = ready(task, data)
        fitted = fit_head(head, data, np.arange(P), svm=True)
        best = min(loss for _, loss in fitted.losses)
        assert all(train is None for train, _ in fitted.losses)
        if signal:
            assert best < 0.85 * fitted.losses[0][1] and float(head.shrinkage) > 0.5
            if task.is_classification:
                assert np.allclose(fitted.unseen.sum(1), 1)
                assert (fitted.unseen.argmax(1) == data.targets).mean() > 0.65
        else:
            assert best > 0.9 * fitted.losses[0][1]


def settings(**more: object) -> TrainSettings:
    given = {"store": "s", "labels": "l.csv", "target": ["b"], "out": "run", "linear_heads": "svm"}
    return TrainSettings(**{**given, **more})  # type: ignore[arg-type]


def test_what_has_no_svm_is_refused() -> None:
    require_usable([settings(aggregator="votes"), settings()], [BINARY, GRADE])
    require_usable([settings(linear_heads="ridge")], [OS])
    with pytest.raises(SettingsError, match="'os' is a survival time"):
        require_usable([settings(aggregator="votes")], [BINARY, OS])
    with pytest.raises(SettingsError, match="convnet is trained together with its heads"):
        require_usable([settings()], [BINARY])
    assert "survival" not in SVM_LOSSES
