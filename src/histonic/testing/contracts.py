"""Contract tests for plugins: subclass one in your own tests, say how to make the plugin, and run pytest.

```
class TestMyEncoder(EncoderContract):
    def make(self):
        return MyEncoder()
```
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch

from histonic.aggregators.base import CodeScale, SlideModel
from histonic.aggregators.registry import AggregatorClass, OwnLoss
from histonic.core.task import TASK_KINDS, Task
from histonic.encoders.base import Encoder, load_encoder
from histonic.nn.losses import joint_loss
from histonic.slides.base import Slide

TASKS = tuple(
    Task(
        kind,
        kind,
        ("time", "event") if kind == "survival" else (kind,),
        {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "ordinal": ("1", "2", "3")}.get(kind, ()),
    )
    for kind in TASK_KINDS
)
"""One target of each kind."""


class SlideContract(ABC):
    """What every reader's slide must do."""

    @abstractmethod
    def make(self) -> Slide:
        """An opened slide with a known mpp, at least 300 pixels wide and high."""

    def test_facts(self) -> None:
        """Size, resolution and fingerprint are there and stay the same."""
        with self.make() as slide, self.make() as again:
            assert slide.size_wh.w > 0 and slide.size_wh.h > 0
            assert slide.has_mpp and slide.mpp > 0 and slide.mpp_source != "missing"
            assert slide.native_mpps()[0] == slide.mpp
            assert list(slide.native_mpps()) == sorted(slide.native_mpps())
            assert len(slide.fingerprint) == 64 and slide.fingerprint == again.fingerprint

    def test_outside_is_white(self) -> None:
        """A region beside the slide is white, one across the border white only outside."""
        with self.make() as slide:
            beside = slide.read((-64, -64), (64, 64), slide.mpp)
            assert beside.shape == (64, 64, 3) and beside.dtype == np.uint8 and (beside == 255).all()
            across = slide.read((slide.size_wh.w - 10, slide.size_wh.h - 7), (32, 32), slide.mpp)
            assert (across[7:] == 255).all() and (across[:, 10:] == 255).all()
            inside = slide.read((slide.size_wh.w - 10, slide.size_wh.h - 7), (10, 7), slide.mpp)
            assert np.array_equal(across[:7, :10], inside)

    def test_regions_fit_together(self) -> None:
        """Two neighbours are the same pixels as one read over both, at any parity."""
        with self.make() as slide:
            whole = slide.read((31, 17), (101, 57), slide.mpp)
            assert np.array_equal(whole[:, :50], slide.read((31, 17), (50, 57), slide.mpp))
            assert np.array_equal(whole[:, 50:], slide.read((81, 17), (51, 57), slide.mpp))

    def test_coarser_is_the_average(self) -> None:
        """Where the finest pixels are averaged by three, each result is the mean of nine."""
        with self.make() as slide:
            fine = slide.read((30, 60), (96, 48), slide.mpp).astype(float)
            coarse = slide.read((30, 60), (32, 16), slide.mpp * 3)
            mean = fine.reshape(16, 3, 32, 3, 3).mean((1, 3))
            assert np.abs(coarse - mean).max() <= 0.5 + 1e-9

    def test_many_equals_each(self) -> None:
        """``read_many`` gives what ``read`` gives, on and off the pixel lattice."""
        with self.make() as slide:
            for scale in (1.0, 2.0, 1.37):
                xys = [(x, y) for y in (-20, 100, 3.5) for x in (0, 133, slide.size_wh.w - 40)]
                many = slide.read_many(xys, (48, 40), slide.mpp * scale)
                assert many.shape == (len(xys), 40, 48, 3)
                for xy, region in zip(xys, many, strict=True):
                    assert np.array_equal(region, slide.read(xy, (48, 40), slide.mpp * scale))


class EncoderContract(ABC):
    """What every tile encoder must do."""

    @abstractmethod
    def make(self) -> Encoder:
        """The encoder, ready to use on a CPU."""

    def tiles(self, count: int) -> np.ndarray:
        """Noise as tiles of the encoder's size, the same at every call."""
        side = self.make().spec.tile_px
        return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)

    def test_codes_have_the_shape_of_the_spec(self) -> None:
        """float32 ``(N, D)``, finite, for any number of tiles."""
        encoder = self.make()
        for count in (1, 3, 40):
            codes = encoder.encode(self.tiles(count))
            assert codes.shape == (count, encoder.spec.code_size) and codes.dtype == np.float32
            assert np.isfinite(codes).all()
        assert encoder.encode(self.tiles(1)[:0]).shape == (0, encoder.spec.code_size)

    def test_a_code_depends_on_its_tile_alone(self) -> None:
        """Order and company in the batch change nothing but rounding."""
        encoder = self.make()
        tiles = self.tiles(6)
        codes = encoder.encode(tiles)
        spread = codes.std() + 1e-6
        assert np.abs(encoder.encode(tiles[::-1].copy())[::-1] - codes).max() < 1e-4 * spread + 1e-4
        assert np.abs(encoder.encode(tiles[2:3])[0] - codes[2]).max() < 1e-4 * spread + 1e-4
        assert not np.array_equal(codes[0], codes[1])

    def test_flat_tiles_have_codes(self) -> None:
        """White and black tiles are no reason for NaN."""
        encoder = self.make()
        side = encoder.spec.tile_px
        flat = np.stack([np.full((side, side, 3), value, np.uint8) for value in (0, 255)])
        assert np.isfinite(encoder.encode(flat)).all()

    def test_save_and_load_give_the_same_encoder(self) -> None:
        """Codes, spec, weights and fingerprint survive the file."""
        encoder = self.make()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoder.safetensors"
            encoder.save(path)
            again = load_encoder(path)
        assert again.spec == encoder.spec and again.fingerprint == encoder.fingerprint
        assert again.tensors.keys() == encoder.tensors.keys()
        assert all(np.array_equal(again.tensors[name], each) for name, each in encoder.tensors.items())
        tiles = self.tiles(4)
        assert np.array_equal(again.encode(tiles), encoder.encode(tiles))


class AggregatorContract(ABC):
    """What every slide-level network must do."""

    code_size = 6
    crop_cells = 24

    @abstractmethod
    def make(self) -> AggregatorClass:
        """The class or function that makes an aggregator from code_size and crop_cells."""

    def network(self) -> torch.nn.Module:
        """An untrained aggregator, the same at every call, ready to predict."""
        torch.manual_seed(0)
        return self.make()(self.code_size, self.crop_cells).eval()

    def maps(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised codes and masks with holes, the same at every call."""
        chance = torch.Generator().manual_seed(1)
        shape = (count, self.crop_cells, self.crop_cells)
        mask = (torch.rand(shape, generator=chance) < 0.7).float()
        codes = torch.randn(count, self.code_size, *shape[1:], generator=chance)
        return CodeScale(self.code_size)(codes, mask), mask

    @torch.no_grad()
    def test_vectors_have_the_size_that_is_promised(self) -> None:
        """``(B, E)``, finite, for any number of maps."""
        network = self.network()
        for count in (1, 3):
            vectors = network(*self.maps(count))
            assert vectors.shape == (count, network.size) and torch.isfinite(vectors).all()

    @torch.no_grad()
    def test_a_vector_depends_on_its_map_alone(self) -> None:
        """Company in the batch changes nothing but rounding."""
        network = self.network()
        codes, mask = self.maps(4)
        together = network(codes, mask)
        assert torch.allclose(together[2:3], network(codes[2:3], mask[2:3]), atol=1e-5)
        assert not torch.allclose(together[0], together[1])

    @torch.no_grad()
    def test_an_empty_map_has_a_vector(self) -> None:
        """No tissue is no reason for NaN."""
        codes, mask = self.maps(2)
        assert torch.isfinite(self.network()(codes * 0, mask * 0)).all()

    @torch.no_grad()
    def test_glass_is_not_looked_at(self) -> None:
        """Whatever stands in cells without tissue changes no output of the slide model."""
        codes, mask = self.maps(3)
        model = self.model().eval()
        noisy = torch.where(mask[:, None] > 0, codes, torch.full_like(codes, 9.0))
        found, other = model(codes, mask), model(noisy, mask)
        assert all(torch.allclose(found[name], other[name], atol=1e-5) for name in found)

    @torch.no_grad()
    def test_padding_changes_nothing(self) -> None:
        """Empty rows below and columns to the right, as a batch of maps of many sizes has them."""
        network, (codes, mask) = self.network(), self.maps(3)
        for rows, cols in ((self.crop_cells, self.crop_cells), (self.crop_cells - 5, self.crop_cells - 9)):
            part, tissue = codes[:, :, :rows, :cols], mask[:, :rows, :cols]
            found = network(part, tissue)
            for down, right in ((3, 9), (40, 0)):
                wide, there = (torch.nn.functional.pad(each, (0, right, 0, down)) for each in (part, tissue))
                assert torch.allclose(found, network(wide, there), atol=1e-5)

    @torch.no_grad()
    def test_attention_is_a_share_of_the_tissue(self) -> None:
        """Where there is attention, it is not negative, 0 on glass, and sums to 1."""
        network, (codes, mask) = self.network(), self.maps(3)
        attention = getattr(network, "attention", None)
        if callable(attention):
            weights = attention(codes, mask)
            assert weights.shape == mask.shape and (weights >= 0).all() and not weights[mask == 0].any()
            assert torch.allclose(weights.sum(dim=(1, 2)), torch.ones(3), atol=1e-5)
            assert torch.isfinite(attention(codes * 0, mask * 0)).all()

    @torch.no_grad()
    def test_turning_a_map_changes_nothing_where_that_is_said(self) -> None:
        """With ``sees_places = False`` a map has one vector, however it is turned or mirrored."""
        network, (codes, mask) = self.network(), self.maps(2)
        if not getattr(network, "sees_places", True):
            turned = network(codes.rot90(1, (2, 3)).flip(3), mask.rot90(1, (1, 2)).flip(2))
            assert torch.allclose(network(codes, mask), turned, atol=1e-5)

    def model(self) -> SlideModel:
        """A slide model for every kind of target, with heads that are no longer zero."""
        model = SlideModel(self.network(), self.code_size, TASKS)
        for head in model.heads.heads:
            torch.nn.init.normal_(head.linear.weight, std=0.1)  # type: ignore[union-attr, arg-type]
        return model

    def targets(self, count: int) -> dict[str, torch.Tensor]:
        """Targets of every kind, one of each missing."""
        chance = torch.Generator().manual_seed(3)
        found = {task.name: torch.arange(count) % max(len(task.classes), 1) * 1.0 for task in TASKS}
        found["regression"] = torch.randn(count, generator=chance)
        time = torch.rand(count, generator=chance) * 50 + 1
        found["survival"] = torch.stack([time, torch.arange(count) % 2 * 1.0], dim=1)
        for values in found.values():
            values[0] = torch.nan
        return found

    def test_every_kind_of_target_is_learned_from(self) -> None:
        """One step on all five kinds: loss and gradients are finite, and the loss falls."""
        model, (codes, mask), targets = self.model().train(), self.maps(6), self.targets(6)
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        losses = []
        for _ in range(2):
            # What dropout hides is the same: it weighs more than a step this small.
            torch.manual_seed(4)
            outputs = model(codes, mask)
            loss = joint_loss(TASKS, outputs, targets) + model.own_loss(outputs, targets)
            grads = torch.autograd.grad(loss, weights, allow_unused=True)
            losses.append(float(loss.detach()))
            found = [grad for grad in grads if grad is not None]
            assert torch.isfinite(loss) and all(torch.isfinite(grad).all() for grad in found)
            length = float(sum((grad.square().sum() for grad in found), torch.zeros(())).sqrt())
            assert length > 0
            with torch.no_grad():
                for weight, grad in zip(weights, grads, strict=True):
                    if grad is not None:
                        weight.sub_(grad, alpha=1e-3 / length)
        assert losses[1] < losses[0]

    def test_gradients_reach_every_weight(self) -> None:
        """Nothing in the network is idle, unless it is frozen."""
        network = self.network().train()
        codes, mask = self.maps(4)
        vectors = network(codes.requires_grad_(), mask)
        loss = vectors.square().sum()
        if isinstance(network, OwnLoss):
            vectors, clues = network.learning(codes, mask)
            loss = vectors.square().sum() + network.own_loss(clues, self.targets(4))
        loss.backward()
        assert codes.grad is not None
        idle = [
            name
            for name, weight in network.named_parameters()
            if weight.requires_grad and weight.grad is None
        ]
        assert not idle, idle


class PaddingContract(AggregatorContract):
    """What an aggregator must do that does not see where in a map the tissue begins."""

    @torch.no_grad()
    def test_glass_changes_nothing(self) -> None:
        """Neither more empty cells around the map, nor anything that stands in them."""
        network, (codes, mask) = self.network(), self.maps(3)
        wide, tissue = (torch.nn.functional.pad(each, (0, 7, 3, 0)) for each in (codes, mask))
        wide = torch.where(tissue[:, None] > 0, wide, torch.full_like(wide, 9.0))
        assert torch.allclose(network(codes, mask), network(wide, tissue), atol=1e-5)


class BagContract(PaddingContract):
    """What an aggregator must do that does not see where a cell lies."""

    @torch.no_grad()
    def test_the_order_of_the_cells_changes_nothing(self) -> None:
        """Cells may change places as long as each takes its tissue with it."""
        network, (codes, mask) = self.network(), self.maps(3)
        order = torch.randperm(mask[0].numel(), generator=torch.Generator().manual_seed(2))
        mixed = codes.flatten(2)[:, :, order].view_as(codes)
        shuffled = network(mixed, mask.flatten(1)[:, order].view_as(mask))
        assert torch.allclose(network(codes, mask), shuffled, atol=1e-5)
