"""Aggregators of one's own for one session, such as a class of a notebook."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.registry import code_hash
from histonic.nn.agreement import differs, same_again

A = TypeVar("A", bound=Callable[..., Any])
CODE_SIZE, CROP_CELLS, MAPS = 6, 24, 2
"""Of the maps on which an aggregator is tried."""


def register_aggregator(name: str) -> Callable[[A], A]:
    """Let ``histonic.train_slides(aggregator=NAME)`` of this session use an aggregator of one's own.

    For a class that is made with ``code_size`` and ``crop_cells``, has ``size`` (E), and turns codes
    ``(B, D, R, K)`` and a mask ``(B, R, K)`` into slide vectors ``(B, E)``; see
    :class:`histonic.aggregators.registry.AggregatorClass` for what else it may say. It is tried on two small
    maps now. Other processes know nothing of it: ``workers`` and ``devices`` above 1 are refused, and who
    reads the run's bundle in another session, or by the command line, has to register it there, too: the
    same one, for a bundle refuses a class of this name with other code. For more, put the class into a
    package with the entry point ``histonic.aggregators``. One that gives the same whatever the mask is taken
    with a warning: cells without tissue are codes of zeros to it.

    Args:
        name: What it is called; a name of this session is replaced.

    Raises:
        SettingsError: The name is taken, or the class does not do what an aggregator does.

    Example:
        >>> @register_aggregator("doc-middle")
        ... class Middle(torch.nn.Module):
        ...     def __init__(self, code_size, crop_cells):
        ...         super().__init__()
        ...         self.size = code_size
        ...     def forward(self, codes, mask):
        ...         return (codes * mask.unsqueeze(1)).amax((2, 3))
        >>> "doc-middle" in AGGREGATORS
        True
        >>> AGGREGATORS.forget("doc-middle")
    """

    def register(member: A) -> A:
        word = _try(name, member)
        AGGREGATORS.register(name, member)
        if word:
            warnings.warn(word, stacklevel=2)
        return member

    return register


def code_of_session(names: Iterable[str]) -> dict[str, str]:
    """Hashes of the code of those aggregators that were registered in this session, by name."""
    return {
        name: code_hash(AGGREGATORS.get(name))
        for name in sorted(set(names))
        if AGGREGATORS.is_of_session(name)
    }


def _try(name: str, member: Callable[..., Any]) -> str:
    """Whether it does what an aggregator does; those that want more than codes are tried in training.

    Returns:
        A word of warning; empty where there is none.

    Raises:
        SettingsError: It does not.
    """
    asked = f"Register the aggregator {name!r}."
    if getattr(member, "wants", ()):
        return ""
    # Whatever the session has switched off: what is tried here is how it learns.
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(0)
        codes = torch.randn(MAPS, CODE_SIZE, CROP_CELLS, CROP_CELLS)
        mask = (torch.rand(MAPS, CROP_CELLS, CROP_CELLS) > 0.3).float()
        try:
            network = member(CODE_SIZE, CROP_CELLS)
            codes = codes * mask.unsqueeze(1)
            vectors = network(codes, mask)
            _require_vectors(asked, network, vectors, MAPS)
            learned, tried = vectors.requires_grad, []
            with torch.no_grad():
                network.eval()
                for count in (MAPS, MAPS, 1):
                    vectors = network(codes[:count], mask[:count])
                    _require_vectors(asked, network, vectors, count, " in evaluation mode")
                    tried.append(vectors.float().cpu().numpy())
                masked = _masked(network, codes, mask)
        except SettingsError:
            raise
        except Exception as error:
            told = " ".join(f"{type(error).__name__}: {error}".split())
            raise SettingsError(
                asked,
                f"On {MAPS} maps of {CROP_CELLS} x {CROP_CELLS} cells it failed: {told}",
                "It is made with (code_size, crop_cells) and called with codes (B, D, R, K) and mask "
                "(B, R, K).",
            ) from error
    if not learned and any(weight.requires_grad for weight in network.parameters()):
        raise SettingsError(
            asked,
            "Its weights learn nothing: what it gives is cut off from them.",
            "Leave out detach(), no_grad() and NumPy on the way from codes to vectors.",
        )
    together, again, alone = tried
    if not all(np.isfinite(each).all() for each in tried):
        raise SettingsError(asked, "It gave numbers that are not finite.", "Look for 0/0 and log(0) in it.")
    if when := differs(together, again, alone, "map"):
        raise SettingsError(
            asked,
            f"For {when} it gave other vectors (in evaluation mode).",
            "A vector has to hang on its map alone: take out what is random, and what is computed over "
            "all maps of a batch.",
        )
    # One whose last layer begins with zeros gives the same for all maps, and says nothing of the mask.
    if masked is not None and same_again(together, masked) and not same_again(together[:1], together[1:]):
        return (
            f"The aggregator {name!r} gives the same whatever the mask: to it cells without tissue are codes "
            "of zeros, and slides differ by how much glass they show. Leave out the cells where mask is 0, "
            "as in (codes * mask[:, None]).sum((2, 3)) / mask.sum((1, 2)).clamp(min=1)[:, None]; if zeros "
            "are what it should see there, nothing is to do."
        )
    return ""


def _masked(network: Any, codes: torch.Tensor, mask: torch.Tensor) -> npt.NDArray[np.float32] | None:
    """Vectors of the same codes with a third of the tissue taken out of the mask alone.

    Such maps do not occur: one that refuses them, or gives no finite numbers for them, looks at the mask.
    """
    try:
        vectors = network(codes, mask * (torch.arange(CROP_CELLS) % 3 > 0))
        found: npt.NDArray[np.float32] = vectors.float().cpu().numpy()
    except Exception:  # noqa: BLE001 -- own code may raise anything
        return None
    return found if np.isfinite(found).all() else None


def _require_vectors(asked: str, network: Any, vectors: Any, count: int, mode: str = "") -> None:
    size = getattr(network, "size", None)
    if not isinstance(network, torch.nn.Module) or size is None:
        raise SettingsError(
            asked,
            f"What it makes is {'no torch.nn.Module' if size is not None else 'without size'}.",
            "Derive it from torch.nn.Module and set self.size to the length E of the slide vector.",
        )
    if not isinstance(vectors, torch.Tensor) or not vectors.is_floating_point():
        what = str(vectors.dtype) if isinstance(vectors, torch.Tensor) else f"a {type(vectors).__name__}"
        raise SettingsError(
            asked, f"It gave {what}{mode}.", "Return a torch tensor (B, E) of floats, with its gradients."
        )
    if tuple(vectors.shape) != (count, size):
        maps = "one map" if count == 1 else f"{count} maps"
        raise SettingsError(
            asked,
            f"For {maps} it gave {tuple(vectors.shape)}{mode}; its size says {(count, size)}.",
            "Return one slide vector (B, E) a map, E = self.size; also where there is one map.",
        )
