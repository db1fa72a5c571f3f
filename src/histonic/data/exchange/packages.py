"""Packages of extras, imported when a form needs them."""

from __future__ import annotations

import importlib
from typing import Any

from histonic.core.errors import SettingsError


def needed(module: str, extra: str, asked: str) -> Any:
    """A module of an optional package.

    Args:
        module: Such as ``pyarrow.parquet``.
        extra: By which it is installed.
        asked: What it is needed for, for the message.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise SettingsError(
            asked,
            f"That needs {package}, which is not installed or cannot be imported ({error}).",
            f"Install it: pip install 'histonic[{extra}]'",
        ) from error
