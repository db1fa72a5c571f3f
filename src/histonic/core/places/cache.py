"""Where what can be made or fetched again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def kept_in(part: str) -> Path:
    """A folder in ``HISTONIC_CACHE``, or in ``histonic`` in the user's cache folder; it need not be there.

    Args:
        part: Its name, by what it holds.
    """
    given = os.environ.get("HISTONIC_CACHE")
    if given:
        return Path(given) / part
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "histonic" / part
