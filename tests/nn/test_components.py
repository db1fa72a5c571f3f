"""Principal components against scikit-learn's."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.decomposition import PCA

from histonic.nn.components import Components, standardised


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
