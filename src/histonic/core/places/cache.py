"""Where what can be made or fetched again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

from histonic.core.errors import OutputError


def kept_in(part: str) -> Path:
    """A folder in ``HISTONIC_CACHE``, or in ``histonic`` in the user's cache folder; it need not be there.

    Args:
        part: Its name, by what it holds.

    Raises:
        OutputError: The user has no home folder, and neither variable is set.
    """
    given = os.environ.get("HISTONIC_CACHE")
    if given:
        return Path(given) / part
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise OutputError(
            f"Find a folder to keep {part} in.",
            "The home folder of the user is not known.",
            "Name a folder in the environment variable HISTONIC_CACHE.",
        ) from error
    return Path(base) / "histonic" / part
