"""A slide in memory that is given in the place of a file: an opened slide, or an image with its mpp."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic_core import core_schema

from histonic.core.places.frames import FrameTable, table_of


@runtime_checkable
class OpenedSlide(Protocol):
    """What is taken for an opened slide."""

    path: Any
    name: str
    mpp_source: str

    def read(self, xy: tuple[float, float], wh: tuple[int, int], mpp: float) -> Any:
        """Pixels from a place on, at a resolution."""


@runtime_checkable
class Pixels(Protocol):
    """What is taken for an image: a NumPy array or a torch tensor, without either being loaded."""

    @property
    def shape(self) -> Any:
        """Sizes of the axes."""

    @property
    def dtype(self) -> Any:
        """Type of the numbers; a table has several."""


def _number(mpp: Any, name: str) -> float:
    """Microns per pixel as a number.

    Raises:
        ValueError: It is none.
    """
    if isinstance(mpp, bool) or not hasattr(mpp, "__float__"):
        kind = type(mpp).__name__
        raise ValueError(f"microns per pixel of the image {name!r} are {mpp!r}, no number but {kind}")
    return float(mpp)


class HeldSlide:
    """An opened slide or an image in the place of a slide file.

    Args:
        given: The slide or the image, uint8 ``(H, W, 3)``.
        mpp: Microns per pixel of the image; None if settings say it.
        name: What the slide is called; by default an opened slide's own name, and of an image ``image-`` and
            the first digits of its hash, so that the same image has the same name in every session.

    Example:
        >>> import numpy as np
        >>> held = HeldSlide(np.zeros((8, 8, 3), np.uint8), mpp=0.5)
        >>> held.name, HeldSlide(np.zeros((8, 8, 3), np.uint8), name="a").name
        ('image-6362591a', 'a')
    """

    __slots__ = ("_name", "given", "mpp")

    def __init__(self, given: Any, mpp: float | None = None, name: str = "") -> None:
        self.given = given
        self.mpp = mpp if mpp is None else _number(mpp, name)
        self._name = name

    @property
    def is_image(self) -> bool:
        """Whether it is an image, no opened slide."""
        return not isinstance(self.given, OpenedSlide)

    @property
    def is_named(self) -> bool:
        """Whether it was given a name."""
        return bool(self._name)

    @property
    def name(self) -> str:
        """What it is called."""
        if self._name or not self.is_image:
            return self._name or self.given.name
        pixels = self.given.__array__()
        return f"image-{hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:8]}"

    @property
    def suffix(self) -> str:
        """It has no extension."""
        return ""

    def opened(self, mpp: float | None, default_mpp: float | None) -> Any:
        """A view of the opened slide, so that who holds it keeps his own settings of it.

        Args:
            mpp: Microns per pixel, whatever the slide says.
            default_mpp: Where the slide does not say.
        """
        view = copy.copy(self.given)
        view.name = self.name
        taken = mpp if mpp is not None or view.has_mpp else default_mpp
        if taken is not None:
            view.taken_at(taken)
        return view

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"HeldSlide({self.name!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.is_instance_schema(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )


def held_slide(given: Any) -> Any:
    """A slide in memory as such; anything else as it came.

    A pair is an image and its mpp; an image may be one of Pillow's.
    """
    if isinstance(given, str | Path | HeldSlide):
        return given
    if isinstance(given, tuple) and len(given) == 2 and _is_image(first := _pixels_of(given[0])):
        return HeldSlide(first, given[1])
    given = _pixels_of(given)
    return HeldSlide(given) if _is_image(given) or isinstance(given, OpenedSlide) else given


def held_slides(given: Any) -> Any:
    """What stands for a list of slides as such a list: one slide, a column of paths, names to slides."""
    if isinstance(given, Mapping):
        named = []
        for name, each in given.items():
            slide = held_slide(each)
            if not isinstance(slide, HeldSlide):
                raise ValueError(f"{name!r} names no opened slide and no image; give files in a table")
            called = re.sub(r"[/\\]+", "_", str(name))
            if called != str(name):  # what stands before a slash would be taken for a folder, and lost
                raise ValueError(
                    f"the name {str(name)!r} holds a slash, and files are called by a slide's name; "
                    f"use another sign, as in {called!r}"
                )
            named.append(HeldSlide(slide.given, slide.mpp, str(name)))
        return tuple(named)
    if isinstance(given, Pixels) and len(given.shape) == 1 and hasattr(given, "tolist"):
        return tuple(given.tolist())  # a column of a table, such as a pandas Series of paths
    one = table_of(held_slide(given))
    return (one,) if isinstance(one, HeldSlide | FrameTable) else given


def _is_image(given: Any) -> bool:
    return isinstance(given, Pixels) and len(given.shape) != 1


def _pixels_of(given: Any) -> Any:
    """The array of an image of Pillow, as it is; anything else as it came.

    Raises:
        ValueError: Its pixels are damaged, or it is closed.
    """
    # Of its class: asked of the image, the property copies all pixels.
    if not hasattr(type(given), "__array_interface__") or not hasattr(given, "mode"):
        return given
    import numpy as np

    try:
        return np.asarray(given)
    except MemoryError:
        raise
    except Exception as error:
        told = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        name = f" {str(given.filename)!r}" if getattr(given, "filename", "") else ""
        raise ValueError(
            f"the pixels of the image{name} cannot be had ({told}); copy its file again, and keep it open "
            "until the call is done"
        ) from error
