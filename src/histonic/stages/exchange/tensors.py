"""Files of torch, read without running any code in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from histonic.core.errors import SlideError
from histonic.core.files import replacing_file


class TorchFiles:
    """Reads and writes ``.pt``."""

    def read(self, path: Path) -> Any:
        """A tensor as an array, or a mapping of names to arrays.

        Raises:
            SlideError: The file is absent or damaged, or holds more than plain tensors.
        """
        asked = f"Read the tensors in {path}."
        try:
            values = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError, LookupError) as error:
            told = " ".join(str(error).split())[:200]
            raise SlideError(
                asked,
                f"It is damaged, or holds more than plain tensors: {told}.",
                "Save the tensor alone, with torch.save.",
            ) from error
        if isinstance(values, torch.Tensor):
            return _array(values)
        if isinstance(values, dict):
            return {
                str(name): _array(each) for name, each in values.items() if isinstance(each, torch.Tensor)
            }
        raise SlideError(asked, f"It holds a {type(values).__name__}.", "Save the tensor alone.")

    def write(self, path: Path, values: npt.NDArray[Any]) -> None:
        """Write an array as a bare tensor, all or nothing."""
        with replacing_file(path) as partial:
            torch.save(torch.from_numpy(np.ascontiguousarray(values)), partial)


def _array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    # NumPy has no bfloat16; float32 holds all of its numbers.
    plain = tensor.detach()
    return plain.float().numpy() if plain.dtype == torch.bfloat16 else plain.numpy()
