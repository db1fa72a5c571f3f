"""Encoders whose trained weights come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from histonic.core.errors import EncoderError
from histonic.encoders.base import Encoder, EncoderSpec, Tensors, load_encoder

MULTITASK = "histonic-mtl"


class ShippedMultitask:
    """``histonic-mtl``: trained on five public tile sets at once; the default of compression.

    Its model card, with data, licences, settings and results, lies beside the weights:
    ``histonic/encoders/weights/histonic-mtl.md``.
    """

    @classmethod
    def create(cls, device: str, precision: str) -> Encoder:
        """Load the weights from the package."""
        with as_file(files("histonic.encoders") / "weights" / f"{MULTITASK}.safetensors") as path:
            return load_encoder(path, device=device, precision=precision)

    @classmethod
    def from_tensors(cls, spec: EncoderSpec, tensors: Tensors, device: str, precision: str) -> Encoder:
        """Refuse: files of this encoder name the architecture that runs them, which is ``nic-appearance``.

        Raises:
            EncoderError: Always.
        """
        raise EncoderError(
            f"Load the encoder {spec.name!r}.",
            f"{MULTITASK!r} is the name of shipped weights, not an architecture.",
            "Save the encoder again; its architecture is 'nic-appearance'.",
        )
