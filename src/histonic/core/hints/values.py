"""How a value that was given in another form is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def value_hint(error: Mapping[str, Any]) -> str:
    """How a value that was given in another form is written, for the end of a message; mostly nothing."""
    given, kind = str(error.get("input")), error.get("type")
    # Three digits behind the comma may be thousands: nothing is said of what is meant.
    if kind == "float_parsing" and re.fullmatch(r"[+-]?(?:\d+,\d{1,2}|0,\d+)", given):
        return f": {given.replace(',', '.')}, with a point"
    return ": {NAME: VALUE}" if kind == "dict_type" else ""
