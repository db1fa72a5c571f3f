"""Settings as other hosts can use them: absolute paths, no tables or images in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from histonic.core.errors import SettingsError
from histonic.core.places.frames import FrameTable
from histonic.core.places.images import HeldSlide
from histonic.core.settings import Settings

S = TypeVar("S", bound=Settings)


def sendable(settings: S, asked: str) -> S:
    """The settings with absolute paths; of a DataFrame the path of the copy that is kept beside the result.

    Args:
        settings: Of a verb.
        asked: What the user wants, for the message.

    Raises:
        SettingsError: A table or image is in memory only.
    """
    held = {name: getattr(settings, name) for name in type(settings).model_fields}
    return settings.model_copy(update={name: _sent(value, name, asked) for name, value in held.items()})


def _sent(value: Any, name: str, asked: str) -> Any:
    if isinstance(value, Path):
        # Links are not followed: a slide is known by the name that it was given.
        return value.absolute()
    if isinstance(value, Settings):
        return sendable(value, asked)
    if isinstance(value, tuple):
        return tuple(_sent(each, name, asked) for each in value)
    if isinstance(value, FrameTable) and value.copy is not None:
        return value.copy.absolute()
    if isinstance(value, FrameTable | HeldSlide):
        raise SettingsError(
            asked,
            f"{name!r} is in the memory of this process; workers are sent paths, no arrays.",
            "Give it as a file on a disk that all hosts have.",
        )
    return value


def paths_of(settings: Settings, *names: str) -> list[Path]:
    """The files and folders that some fields name; URLs and fields without a value are none.

    Args:
        settings: From :func:`sendable`.
        names: Of the fields.
    """
    values = [getattr(settings, name) for name in names]
    listed = [each for value in values for each in (value if isinstance(value, tuple) else (value,))]
    return [each for each in listed if isinstance(each, Path)]
