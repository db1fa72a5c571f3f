"""The multitask objective: whose tile counts for what, the effect of its options, and learning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from histonic.core.task import Task
from histonic.encoders.objectives.contrastive import nt_xent
from histonic.encoders.objectives.multitask import MultitaskObjective

TUMOUR = Task("tumour", "binary", ("label",), ("no", "yes"))
TYPE = Task("type", "multiclass", ("label",), ("a", "b", "c"))
SHARE = Task("share", "regression", ("label",))
GRADE = Task("grade", "ordinal", ("label",), ("1", "2", "3"))
NAN = float("nan")


def make(tasks: list[Task], **options: float | bool) -> MultitaskObjective:
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)
    )
    objective = MultitaskObjective(trunk, 6, tasks, **options)  # type: ignore[arg-type]
    for task in tasks:
        nn.init.normal_(objective.heads[task.name].linear.weight)
    return objective


def batch() -> tuple[Tensor, dict[str, Tensor]]:
    tiles = torch.randn(8, 3, 32, 32).clamp(-1, 1)
    targets = {
        "tumour": torch.tensor([0.0, 1, NAN, NAN, NAN, NAN, NAN, NAN]),
        "type": torch.tensor([NAN, NAN, 0.0, 1, 2, 1, 0, 2]),
    }
    return tiles, targets


def test_the_loss_is_the_sum_over_tiles_of_their_own_task_by_the_batch() -> None:
    objective, (tiles, targets) = make([TUMOUR, TYPE]), batch()
    outputs = objective(tiles)
    by_hand = F.binary_cross_entropy_with_logits(
        outputs["tumour"][:2, 0], targets["tumour"][:2], reduction="sum"
    ) + F.cross_entropy(outputs["type"][2:], targets["type"][2:].long(), reduction="sum")
    assert float(objective.loss(outputs, targets)) == pytest.approx(float(by_hand.detach()) / 8, rel=1e-5)


def test_a_tile_teaches_its_own_head_only() -> None:
    objective, (tiles, targets) = make([TUMOUR, TYPE]), batch()
    targets["type"] = torch.full((8,), NAN)
    objective.loss(objective(tiles), targets).backward()
    assert objective.heads["tumour"].linear.weight.grad.abs().sum() > 0  # type: ignore[union-attr]
    assert objective.heads["type"].linear.weight.grad.abs().sum() == 0  # type: ignore[union-attr]


def gradients(objective: MultitaskObjective) -> Mapping[str, Tensor]:
    tiles, targets = batch()
    objective.zero_grad()
    objective.loss(objective(tiles), targets).backward()
    return {name: value.grad.clone() for name, value in objective.named_parameters()}  # type: ignore[union-attr]


def test_rescaling_gives_a_head_the_gradient_it_would_have_alone() -> None:
    torch.manual_seed(3)
    plain = gradients(make([TUMOUR, TYPE], rescale=False))
    torch.manual_seed(3)
    rescaled = gradients(make([TUMOUR, TYPE], rescale=True))
    for name, value in plain.items():
        factor = {"0": 8 / 2, "1": 8 / 6}[name.split(".")[2]] if name.startswith("heads.") else 1
        assert torch.allclose(rescaled[name], factor * value, rtol=1e-4, atol=1e-7), name


def test_several_labels_a_tile_regression_and_ordinal_are_tasks_like_others() -> None:
    objective = make([TUMOUR, SHARE, GRADE])
    objective.heads["share"].set_scale(10.0, 5.0)
    tiles = torch.randn(4, 3, 16, 16)
    targets = {
        "tumour": torch.tensor([0.0, 1, 1, NAN]),
        "share": torch.tensor([5.0, 10, NAN, 20]),
        "grade": torch.tensor([0.0, 1, 2, NAN]),
    }
    outputs = objective(tiles)
    alone = [float(make_loss(objective, outputs, targets, name)) for name in ("tumour", "share", "grade")]
    assert float(objective.loss(outputs, targets)) == pytest.approx(sum(alone), rel=1e-5)
    result = objective.validate(outputs, targets)
    assert result.loss == pytest.approx(np.mean(list(result.scores.values())))
    assert list(result.scores) == ["tumour loss", "share loss", "grade loss"]


def make_loss(
    objective: MultitaskObjective, outputs: dict[str, Tensor], targets: dict[str, Tensor], name: str
) -> Tensor:
    only = {key: value if key == name else torch.full_like(value, NAN) for key, value in targets.items()}
    return objective.loss(outputs, only)


def test_dropout_hides_parts_of_the_code_in_training_only() -> None:
    objective = make([TYPE], dropout=0.5)
    tiles = torch.randn(4, 3, 16, 16)
    assert not torch.equal(objective(tiles)["type"], objective(tiles)["type"])
    objective.eval()
    assert torch.equal(objective(tiles)["type"], objective(tiles)["type"])


def test_the_self_supervised_terms_add_to_the_loss_as_weighted() -> None:
    tiles, targets = batch()
    plain = make([TUMOUR, TYPE])
    without = float(plain.loss(plain(tiles), targets))
    mixed = make([TUMOUR, TYPE], contrast=0.5, appearance=2.0)
    mixed.heads.load_state_dict(plain.heads.state_dict())
    assert (mixed.shows, plain.shows) == ("two views", "tile")
    outputs = mixed(tiles, tiles.flip(3))
    wanted = without + 2 * float(outputs["appearance"].square().mean())
    wanted += 0.5 * float(nt_xent(outputs["view 1"], outputs["view 2"]))
    assert float(mixed.loss(outputs, targets)) == pytest.approx(wanted, rel=1e-4)


def test_two_tasks_are_learned_at_once() -> None:
    objective = make([TUMOUR, TYPE], appearance=0.1)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(objective.parameters(), 1e-2)
    first = None
    for _ in range(150):
        tiles = torch.rand(32, 3, 32, 32, generator=generator) * 0.4 - 0.2
        labels = torch.randint(0, 3, (32,), generator=generator)
        tiles += torch.eye(3)[labels][:, :, None, None] * 0.5
        own = torch.arange(32) < 16
        targets = {
            "tumour": torch.where(own, (labels > 0).float(), NAN),
            "type": torch.where(own, NAN, labels.float()),
        }
        loss = objective.loss(objective(tiles), targets)
        first = first or float(loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.3 * first  # type: ignore[operator]
