"""Writing safetensors so that a full disk is told as it is of any other file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

_NUMBER = re.compile(r"\(os error (\d+)\)")


@contextmanager
def system_errors() -> Iterator[None]:
    """Raise what the system said to a safetensors writer as the OSError that it was.

    Goes inside :func:`~histonic.core.files.replacing_file` or ``replacing_folder``, which know what to tell.

    Raises:
        OSError: The disk is full, or the folder cannot be written to.

    Example:
        >>> with system_errors():
        ...     raise SafetensorError("Error while serializing: IoError (os error 28)")
        Traceback (most recent call last):
        OSError: [Errno 28] No space left on device
    """
    try:
        yield
    except SafetensorError as error:
        number = _NUMBER.search(str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
