"""What all objectives share: parts of their parameters, and a validation that is the loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from histonic.encoders.objectives.base import Objective, Outputs, Targets


class Square(Objective):
    """The mean square of a layer on the codes."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 3))
        self.top = nn.Linear(3, 1)

    def loss(self, outputs: Outputs, targets: Targets) -> Tensor:
        return outputs["top"].square().mean()


def test_the_trunk_and_the_rest_are_parts() -> None:
    objective = Square()
    groups = objective.groups()
    assert [id(each) for each in groups["trunk"]] == [id(each) for each in objective.encoder.parameters()]
    assert [id(each) for each in groups["rest"]] == [id(each) for each in objective.top.parameters()]


def test_the_verdict_is_the_loss_unless_said_otherwise() -> None:
    outputs = {"top": torch.tensor([[1.0], [3.0]], requires_grad=True)}
    assert Square().validate(outputs, {}).loss == 5.0
    assert Square().picture(torch.zeros(2, 2)) is None


def test_an_objective_without_forward_or_loss_says_so() -> None:
    bare = Objective(nn.Linear(2, 3))
    with pytest.raises(TypeError, match="Objective has no forward"):
        bare(torch.zeros(1, 2))
    with pytest.raises(TypeError, match="Objective has no loss"):
        bare.loss({}, {})
