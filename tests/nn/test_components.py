"""Principal components against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from histonic.nn.components import Components, standardised, turned


def numbers(count: int = 300) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(
        rng.normal(size=(count, 4)) @ rng.normal(size=(4, 7)) + rng.normal(size=7)
    ).float()


def test_components_are_those_of_scikit_learn_at_unit_variance() -> None:
    given = numbers()
    layer = Components(7, 3)
    layer.fit(given)
    found = layer(given).numpy()
    z = ((given - given.mean(0)) / given.std(0)).clamp(-5, 5).double().numpy()
    wanted = PCA(3, whiten=True).fit_transform(z)
    signs = np.sign((found * wanted).sum(0))
    np.testing.assert_allclose(found - found.mean(0), wanted * signs, atol=1e-4)
    assert np.allclose(found.std(0, ddof=1), 1, atol=1e-3)


def test_what_never_changes_and_what_lies_far_out_stay_finite() -> None:
    given = numbers()
    given[:, 2] = 3.0
    layer = Components(7, 3)
    layer.fit(given)
    assert torch.isfinite(layer(given)).all()
    assert standardised(torch.tensor([[1e9]]), torch.zeros(1), torch.ones(1)).item() == 5.0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_turned_components_keep_the_distances_of_components_in_a_power_of_their_spread(power: float) -> None:
    given = numbers()
    layer = Components(7, 3)
    layer.fit(given)
    layer.axes.copy_(turned(layer.axes, power))
    found = layer(given).numpy()
    z = ((given - given.mean(0)) / given.std(0)).clamp(-5, 5).double().numpy()
    wanted = PCA(3, whiten=True).fit_transform(z) * PCA(3).fit(z).explained_variance_ ** (power / 2)
    scale = np.sqrt((wanted.std(0, ddof=1) ** 2).mean())

    def apart(codes: np.ndarray) -> np.ndarray:
        return np.linalg.norm(codes[:, None] - codes[None], axis=2)

    np.testing.assert_allclose(apart(found), apart(wanted) / scale, atol=1e-4)
    assert np.isclose((found.std(0, ddof=1) ** 2).mean(), 1, atol=1e-3)


def test_every_mixed_number_holds_some_of_the_first_component() -> None:
    spread = torch.tensor([8.0, 2.0, 1.0, 0.5, 0.1])
    axes = turned(torch.diag(1 / spread), 1.0)
    shares = (axes[0] / axes.norm(dim=0)).abs()
    assert shares.min() > 0.2
    assert turned(axes[:, :1]).shape == (5, 1)
    layer, mixed = Components(7, 3), Components(7, 3)
    layer.fit(numbers())
    mixed.fit(numbers(), mixed=True)
    torch.testing.assert_close(mixed.axes, turned(layer.axes, 0.5))
