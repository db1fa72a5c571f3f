"""A frozen encoder and a trained projection of its codes: many numbers from elsewhere to a few."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from histonic.core.compressed import ProjectionDescription
from histonic.core.errors import EncoderError
from histonic.encoders.base import ENCODERS, EncoderSpec, Tensors, architecture_entry
from histonic.encoders.networks.convolutional import NetworkEncoder
from histonic.encoders.networks.tile_network import running_of
from histonic.nn.components import LEAST_SPREAD, standardised

PROJECTED = "projected"
BASE, PROJECTION = "base.", "projection."
"""What the names of the two parts' weights begin with."""
MADE_BY = "made by 'histonic encoder train' with --objective components or --freeze-trunk"
ROWS_AT_ONCE = 8192


class Projection(nn.Module):
    """Features to codes: standardised and cut off, then one linear layer, or two with GELU between.

    What a number hardly ever was on the tiles that it is standardised by, on other tissue may be a thousand
    deviations, and would drown all others. A number that was always the same is only centred.

    Args:
        features: F.
        code_size: D.
        hidden: Numbers of the layer between; 0: none.
        most_deviations: Where standardised features are cut off; None: nowhere.

    Example:
        >>> Projection(1536, 128)(torch.zeros(2, 1536)).shape
        torch.Size([2, 128])
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, features: int, code_size: int, hidden: int = 0, most_deviations: float | None = None
    ) -> None:
        super().__init__()
        self.most_deviations = most_deviations
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        between = [nn.Linear(features, hidden), nn.GELU()] if hidden else []
        self.layers = nn.Sequential(*between, nn.Linear(hidden or features, code_size))

    @torch.no_grad()
    def fit_scale(self, parts: Iterable[npt.NDArray[np.floating[Any]]]) -> None:
        """Standardise by features that come in parts ``(N, F)``."""
        count, mean, squares = 0, np.zeros(len(self.mean)), np.zeros(len(self.mean))
        for part in parts:
            given = np.asarray(part, np.float64)
            # Merged as by Chan, Golub and LeVeque (1983): no sum of squares of large numbers.
            away = given.mean(0) - mean
            squares += ((given - given.mean(0)) ** 2).sum(0) + away**2 * count * len(given) / (
                count + len(given)
            )
            mean += away * len(given) / (count + len(given))
            count += len(given)
        self.mean.copy_(torch.from_numpy(mean))
        spread = np.sqrt(squares / count)
        self.spread.copy_(torch.from_numpy(np.where(spread < LEAST_SPREAD, 1.0, spread)))

    def standardised(self, features: Tensor) -> Tensor:
        """Features ``(B, F)`` in deviations from the mean, cut off."""
        return standardised(features, self.mean, self.spread, self.most_deviations)

    def forward(self, features: Tensor) -> Tensor:
        """Codes ``(B, D)`` of features ``(B, F)``."""
        return cast(Tensor, self.layers(self.standardised(features)))

    @torch.inference_mode()
    def codes(self, features: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Codes ``(N, D)`` of features ``(N, F)`` in memory."""
        parts = [
            self(torch.from_numpy(np.asarray(features[start : start + ROWS_AT_ONCE], np.float32))).numpy()
            for start in range(0, len(features), ROWS_AT_ONCE)
        ]
        size = self.layers[-1].out_features
        return np.concatenate(parts) if parts else np.zeros((0, int(size)), np.float32)  # type: ignore[arg-type]


class ProjectedNetwork(nn.Module):
    """A network and a projection behind it.

    Args:
        base: Tiles ``(B, 3, H, W)`` of -1..1 to features ``(B, F)``.
        projection: Features to codes.
    """

    def __init__(self, base: nn.Module, projection: Projection) -> None:
        super().__init__()
        self.base = base
        self.projection = projection

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles."""
        return cast(Tensor, self.projection(self.base(tiles)))

    def running(self, half: bool) -> nn.Module:
        """The same as it runs: the frozen part in its own faster form, the projection in single precision."""
        return nn.Sequential(running_of(self.base, half), self.projection)


class ProjectedEncoder(NetworkEncoder):
    """A frozen encoder and a projection, as an encoder of uint8 tiles of architecture ``projected:BASE``.

    Args:
        spec: With a ``projection``.
        base: The frozen encoder.
        projection: Fitted.
    """

    architecture = PROJECTED

    def __init__(self, spec: EncoderSpec, base: NetworkEncoder, projection: Projection) -> None:
        self.base = base
        self.projection = projection
        super().__init__(spec, ProjectedNetwork(base.network, projection), str(base.device), base.precision)

    @classmethod
    def working_px(cls, spec: EncoderSpec) -> int:
        """As the frozen encoder has it."""
        base = base_spec(spec)
        found = ENCODERS.get(architecture_entry(base))
        return found.working_px(base) if _is_network(found) else spec.tile_px  # type: ignore[attr-defined]

    @classmethod
    def create(cls, device: str, precision: str) -> Self:
        """Refuse: this encoder needs weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            f"Use the encoder {PROJECTED!r}.",
            "It names a family of architectures, without weights.",
            f"Give an encoder file, {MADE_BY}.",
        )

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> Self:
        """Both parts from their weights.

        Raises:
            EncoderError: The tensors are not those of the two parts.
        """
        asked = f"Load the encoder {spec.name!r}."
        frozen = base_spec(spec)
        found = ENCODERS.get(architecture_entry(frozen))
        if not _is_network(found):
            raise EncoderError(asked, f"{frozen.architecture!r} is no network.", "Train it again.")
        base = found.from_tensors(frozen, _part(tensors, BASE), device, precision)
        projection = build_projection(spec)
        own = {name: torch.from_numpy(np.array(value)) for name, value in _part(tensors, PROJECTION).items()}
        try:
            projection.load_state_dict(own)
        except RuntimeError as error:
            raise EncoderError(
                asked, f"Its projection does not fit: {error}.", "Copy or train it again."
            ) from error
        return cls(spec, cast(NetworkEncoder, base), projection.eval().requires_grad_(False).to(device))

    @property
    def tensors(self) -> Tensors:
        """Weights of both parts."""
        own = {name: value.cpu().numpy() for name, value in self.projection.state_dict().items()}
        return projected_tensors(self.base.tensors, own)


def build_projection(spec: EncoderSpec) -> Projection:
    """A projection with fresh weights, as the spec of a projected encoder describes it."""
    described = cast(ProjectionDescription, spec.projection)
    return Projection(described.features, spec.code_size, described.hidden, described.most_deviations)


def base_spec(spec: EncoderSpec) -> EncoderSpec:
    """The spec of the frozen encoder within a projected one.

    Raises:
        EncoderError: The spec is of no projected encoder.
    """
    family, _, rest = spec.architecture.partition(":")
    if family != PROJECTED or not rest or spec.projection is None:
        raise EncoderError(
            f"Use {spec.name!r} as a projected encoder.",
            f"It is of the architecture {spec.architecture!r}.",
            f"Give an encoder {MADE_BY}.",
        )
    return replace(
        spec,
        architecture=rest,
        code_size=spec.projection.features,
        projection=None,
        half_cosine=None,
    )


def projected_tensors(base: Mapping[str, Any], projection: Mapping[str, Any]) -> dict[str, Any]:
    """Weights of both parts under the names of a projected encoder's file."""
    return {
        **{f"{BASE}{name}": value for name, value in base.items()},
        **{f"{PROJECTION}{name}": value for name, value in projection.items()},
    }


def _part(tensors: Tensors, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _is_network(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, NetworkEncoder)
