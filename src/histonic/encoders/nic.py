"""The convolutional tile encoder of the NIC papers (Tellez et al. 2019 and 2020), 0.6 M parameters."""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from histonic.core.errors import EncoderError
from histonic.encoders.base import (
    EncoderSpec,
    Tensors,
    UInt8Tiles,
    check_tiles,
    fingerprint_of,
    save_encoder,
)

FILTERS = 128
CONVOLUTIONS = 4
TILES_AT_ONCE = 32


class NicNetwork(nn.Module):
    """Tiles of 128 px at 0.5 µm/px to codes.

    The tile is averaged to 64 px; four times 3x3 convolution (stride 2, no padding), LeakyReLU 0.2,
    batch normalisation, *in this order*, as in the released files (the paper's text puts the
    normalisation first); then one linear layer.

    Args:
        code_size: D.
        tile_px: Side of the tiles; averaged down to 64 px, so a multiple of 64.

    Example:
        >>> NicNetwork()(torch.zeros(2, 3, 128, 128)).shape
        torch.Size([2, 128])
    """

    def __init__(self, code_size: int = 128, tile_px: int = 128) -> None:
        super().__init__()
        if tile_px % 64:
            raise EncoderError(
                "Build the NIC encoder.", f"tile_px is {tile_px}.", "Give a multiple of 64 pixels."
            )
        layers: list[nn.Module] = [nn.AvgPool2d(tile_px // 64)]
        for index in range(CONVOLUTIONS):
            layers += [
                nn.Conv2d(FILTERS if index else 3, FILTERS, 3, stride=2),
                nn.LeakyReLU(0.2),
                # Keras momentum 0.8 is the share that is kept, PyTorch's the share that is taken in.
                nn.BatchNorm2d(FILTERS, eps=1e-3, momentum=0.2),
            ]
        self.body = nn.Sequential(*layers)
        self.code = nn.Linear(FILTERS * 9, code_size)

    def forward(self, tiles: Tensor) -> Tensor:
        """Codes ``(B, D)`` of tiles ``(B, 3, H, W)`` scaled to -1..1."""
        maps = self.body(tiles)
        # Channels last before flattening, as the released dense weights expect.
        return self.code(maps.permute(0, 2, 3, 1).flatten(1))  # type: ignore[no-any-return]


class NicEncoder:
    """A :class:`NicNetwork` with weights, as an encoder of uint8 tiles."""

    def __init__(
        self, spec: EncoderSpec, network: NicNetwork, device: str = "cpu", precision: str = "32"
    ) -> None:
        self.spec = spec
        self.precision = precision
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def create(cls, device: str, precision: str) -> NicEncoder:
        """Refuse: this encoder needs weights.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            "Use the encoder 'nic'.",
            "It names an architecture without weights.",
            "Give a weights file, such as one made by 'histonic encoder import FILE.h5 --out E.safetensors'.",
        )

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> NicEncoder:
        """Fill the network with weights.

        Raises:
            EncoderError: The tensors do not fit the architecture, or hold NaN.
        """
        network = NicNetwork(spec.code_size, spec.tile_px)
        state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                f"Its weights do not fit the NIC architecture: {error}.",
                "Import or save it again.",
            ) from error
        if not all(bool(torch.isfinite(tensor).all()) for tensor in state.values()):
            raise EncoderError(
                f"Load the encoder {spec.name!r}.",
                "Its weights hold NaN or infinity.",
                "Import or train it again.",
            )
        return cls(spec, network, device, precision)

    def _tensors(self) -> dict[str, npt.NDArray[np.float32]]:
        return {name: value.cpu().numpy() for name, value in self.network.state_dict().items()}

    @property
    def fingerprint(self) -> str:
        """Hash of all that the codes depend on."""
        return fingerprint_of(self.spec, self._tensors(), self.precision)

    def encode(self, tiles: UInt8Tiles) -> npt.NDArray[np.float32]:
        """Codes of tiles, uint8 ``(N, H, W, 3)`` to float32 ``(N, D)``.

        Raises:
            EncoderError: The tiles are not uint8 ``(N, tile_px, tile_px, 3)``.
        """
        check_tiles(self.spec, tiles)
        codes = np.empty((len(tiles), self.spec.code_size), np.float32)
        # The first layer's maps are 20 times the bytes of the tiles: small parts keep memory low on a CPU.
        step = TILES_AT_ONCE if self.device.type == "cpu" else max(1, len(tiles))
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"),
        ):
            for start in range(0, len(tiles), step):
                # A permuted view of (N, H, W, 3) bytes already is channels_last: no copy before the cast.
                pixels = torch.tensor(tiles[start : start + step], device=self.device).permute(0, 3, 1, 2)
                codes[start : start + step] = self.network(pixels / 127.5 - 1).float().cpu().numpy()
        return codes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write spec and weights to a safetensors file."""
        save_encoder(path, self.spec, self._tensors())
