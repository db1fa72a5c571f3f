"""Encoders whose trained weights come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import ClassVar

from histonic.core.errors import EncoderError
from histonic.encoders.base import Encoder, EncoderSpec, Tensors, load_encoder

LITE, MULTITASK = "histonic-lite", "histonic-mtl"
SHIPPED = (LITE, MULTITASK)


class ShippedEncoder:
    """Weights in the package; a model card beside them has data, licences, settings and results."""

    name: ClassVar[str]

    @classmethod
    def create(cls, device: str, precision: str) -> Encoder:
        """Load the weights from the package."""
        with as_file(files("histonic.encoders") / "weights" / f"{cls.name}.safetensors") as path:
            return load_encoder(path, device=device, precision=precision)

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> Encoder:
        """Refuse: files of a shipped encoder name the architecture that runs them.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            f"Load the encoder {spec.name!r}.",
            f"{cls.name!r} is the name of shipped weights, not an architecture.",
            "Save the encoder again; its file then names its architecture.",
        )


class ShippedLite(ShippedEncoder):
    """``histonic-lite``: a stage of EfficientNet-Lite0, and statistics of the tile, as components.

    Its model card: ``histonic/encoders/weights/histonic-lite.md``.
    """

    name = LITE


class ShippedMultitask(ShippedEncoder):
    """``histonic-mtl``: trained on five public tile sets at once.

    Its model card: ``histonic/encoders/weights/histonic-mtl.md``.
    """

    name = MULTITASK
