"""Aggregators registered in a session: tried at once, with the slip named."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import nn

from histonic.aggregators.base import build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.compressed import EncoderDescription, EncoderSpec, MapSettings
from histonic.core.errors import BundleError, SettingsError
from histonic.core.task import Task
from histonic.models.bundle import BundleFacts, read_bundle, write_bundle
from histonic.models.members import Member
from histonic.models.session import register_aggregator
from histonic.models.trained import Trained


class Middle(nn.Module):
    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()
        self.size = code_size

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean((2, 3))


@pytest.fixture
def name() -> Iterator[str]:
    yield "test-own"
    AGGREGATORS.forget("test-own")


def test_a_class_of_the_session_makes_models(name: str) -> None:
    before = torch.get_rng_state()
    assert register_aggregator(name)(Middle) is Middle
    assert torch.equal(before, torch.get_rng_state()), "trying it leaves the session's chance alone"
    task = Task("msi", "binary", ("msi",), ("no", "yes"))
    model = build_model(name, code_size=5, crop_cells=16, tasks=[task])
    assert isinstance(model.aggregator, Middle)


class Wide(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean(3)


class Nameless(nn.Module):
    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__()

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean((2, 3))


class Narrow(Middle):
    def __init__(self, code_size: int) -> None:
        super().__init__(code_size, 8)


class Learned(Middle):
    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__(code_size, crop_cells)
        self.linear = nn.Linear(code_size, code_size)

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.linear(codes.mean((2, 3)))


class Detached(Learned):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.linear(codes.mean((2, 3))).detach()


class NumpyOut(Learned):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> object:
        return self.linear(codes.mean((2, 3))).detach().numpy()


class NotANumber(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().forward(codes, mask) * torch.nan


class Chance(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(super().forward(codes, mask))


class Company(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        vectors = super().forward(codes, mask)
        return vectors - vectors.mean(0)


class Normalised(Learned):
    """Batch normalisation is no slip: in evaluation mode it knows no company."""

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__(code_size, crop_cells)
        self.norm = nn.BatchNorm1d(code_size)

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(self.norm(self.linear(codes.mean((2, 3)))), 0.5, self.training)


def test_what_training_alone_does_is_no_slip(name: str) -> None:
    assert register_aggregator(name)(Normalised) is Normalised


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
@pytest.mark.parametrize("member", [Learned, Normalised], ids=["learned", "normalised"])
def test_gradients_that_the_session_has_switched_off_are_no_slip(
    name: str, off: Callable[[], AbstractContextManager[None]], member: type[nn.Module]
) -> None:
    with off():
        assert register_aggregator(name)(member) is member
        assert not torch.is_grad_enabled(), "the session's choice stays"


class Pair(Learned):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> object:
        vectors = self.linear(codes.mean((2, 3)))
        return vectors if self.training else (vectors, mask)


class Total(Learned):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        vectors = self.linear(codes.mean((2, 3)))
        return vectors if self.training else vectors.sum()


class Squeezed(Learned):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.linear(codes.mean((2, 3))).squeeze()


class Whole(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.mean((2, 3)) > 0


class Beside(Middle):
    """Chance beside a number so large that the largest of all would hide it."""

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full((len(codes), 1), 1e4), torch.randn(len(codes), self.size - 1)], 1)


@pytest.mark.parametrize(
    ("member", "found"),
    [
        (Wide, r"it gave \(2, 6, 24\)"),
        (Nameless, "without size"),
        (Narrow, "it failed: TypeError"),
        (Detached, "weights learn nothing"),
        (NumpyOut, "gave a ndarray"),
        (NotANumber, "not finite"),
        (Chance, "a second time it gave other vectors"),
        (Company, "a map alone it gave other vectors"),
        (Pair, "gave a tuple in evaluation mode"),
        (Total, r"For 2 maps it gave \(\) in evaluation mode"),
        (Squeezed, r"For one map it gave \(6,\) in evaluation mode; its size says \(1, 6\)"),
        (Whole, "gave torch.bool"),
        (Beside, "a second time it gave other vectors"),
    ],
)
def test_slips_are_named_when_it_is_registered(name: str, member: type[nn.Module], found: str) -> None:
    with pytest.raises(SettingsError, match=found):
        register_aggregator(name)(member)
    assert name not in AGGREGATORS


class OfTissue(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (codes * mask[:, None]).sum((2, 3)) / mask.sum((1, 2)).clamp(min=1)[:, None]


class Careful(OfTissue):
    """It checks its input: without tissue codes have to be zeros."""

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if (codes * (1 - mask[:, None])).abs().max() > 0:
            raise ValueError("codes without tissue")
        return super().forward(codes, mask)


class Undefined(OfTissue):
    """Not a number where what is without tissue is not zeros."""

    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        outside = (codes * (1 - mask[:, None])).abs().sum((2, 3))
        return super().forward(codes, mask) + torch.where(outside > 0, torch.nan, 0.0)


class Asleep(Learned):
    """Its last layer begins with zeros, as of networks whose branches are to begin as nothing."""

    def __init__(self, code_size: int, crop_cells: int) -> None:
        super().__init__(code_size, crop_cells)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)


@pytest.mark.parametrize(
    ("member", "warned"),
    [(Middle, 1), (Learned, 1), (OfTissue, 0), (Asleep, 0), (Careful, 0), (Undefined, 0)],
)
def test_one_that_does_not_look_at_the_mask_is_taken_with_a_word(
    name: str, member: type[nn.Module], warned: int
) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert register_aggregator(name)(member) is member
    assert len(said) == warned
    for each in said:
        assert name in str(each.message) and "the same whatever the mask" in str(each.message)
        assert each.filename == __file__, "the line that registers is shown"


class Other(Middle):
    def forward(self, codes: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return codes.amax((2, 3))


def test_a_bundle_is_not_read_with_a_class_of_its_name_that_does_something_else(
    name: str, tmp_path: Path
) -> None:
    register_aggregator(name)(Middle)
    task = Task("age", "regression", ("age",))
    model = build_model(name, code_size=5, crop_cells=16, tasks=[task])
    spec = EncoderSpec("uni", "elsewhere:TRIDENT", 224, 0.5, 5)
    facts = BundleFacts(
        tasks=(task,), fusion="late", test_crops=3, compress_settings=MapSettings(),
        encoder=EncoderDescription(name="uni", fingerprint="f", spec=spec),
    )  # fmt: skip
    trained = Trained(Member(0, 0, 0, name, 16, {}, {}), 5, model.state_dict(), (), {}, {})
    write_bundle(tmp_path / "bundle", facts, [trained], None)
    register_aggregator(name)(Other)
    with pytest.raises(BundleError, match="has other code than that of the training"):
        read_bundle(tmp_path / "bundle")
    register_aggregator(name)(Middle)
    assert isinstance(read_bundle(tmp_path / "bundle").models[0].aggregator, Middle)
    AGGREGATORS.forget(name)
    with pytest.raises(BundleError, match="not known here"):
        read_bundle(tmp_path / "bundle")


def test_names_of_histonic_are_taken() -> None:
    with pytest.raises(SettingsError, match=r"histonic has .* of that name"):
        register_aggregator("convnet")(Middle)
