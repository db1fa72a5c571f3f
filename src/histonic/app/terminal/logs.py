"""The file of ``--log-file``: everything that a command says, line by line with the time."""

from __future__ import annotations

import errno
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from histonic.core.files import output_error


def shown_words(words: Sequence[str]) -> list[str]:
    """Words of a command as they may be shown: URLs without passwords and keys.

    Example:
        >>> shown_words(["doctor", "https://me:secret@host.org/a.svs?key=xyz"])
        ['doctor', 'https://host.org/a.svs']
    """
    from histonic.core.places.urls import without_secrets  # settings come with it, which help needs not

    return [without_secrets(word) for word in words]


class LogFile(logging.Handler):
    """A log that is appended to; a disk that gets full ends the log, not the run.

    It also takes what histonic tells Python's ``logging``, such as tracebacks of unforeseen errors in single
    slides, and warnings that other packages send there.

    Args:
        path: The file; its folder is made.
        lost: Called once with the reason if nothing more can be written.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path, lost: Callable[[str], None]) -> None:
        super().__init__()
        self.path = path
        self._lost = lost
        self._writing = threading.Lock()
        self._file: TextIO | None = None
        try:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder, and a log is a file", str(path))
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise output_error(path, error) from error
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def begin(self) -> None:
        """Write what was called, where and by which version, and listen to ``logging``."""
        from importlib.metadata import version  # brings a parser of mail, which no other start needs

        self.write(
            "begin",
            f"histonic {version('histonic')}, Python {platform.python_version()}, {platform.platform()}, "
            f"{os.cpu_count()} processors",
        )
        self.write("begin", f"command: {shown_words(sys.argv)}")
        self.write("begin", f"folder: {os.getcwd()}")
        logging.getLogger().addHandler(self)
        self._own_level = logging.getLogger("histonic").level
        logging.getLogger("histonic").setLevel(logging.DEBUG)

    def write(self, kind: str, text: str) -> None:
        """Append lines.

        Args:
            kind: A word for what they are.
            text: One or several lines.
        """
        now = time.strftime("%Y-%m-%d %H:%M:%S%z")
        with self._writing:
            if self._file is None:
                return
            try:
                for line in text.splitlines() or [""]:
                    self._file.write(f"{now} {kind:<8} {line}\n")
                return
            except OSError as error:
                self._drop()
                told = str(output_error(self.path, error).found)
        self._lost(f"the log {self.path} ends here: {told}")

    def emit(self, record: logging.LogRecord) -> None:
        """Take in a record of ``logging``: of histonic all, of others warnings and worse."""
        if record.levelno >= logging.WARNING or record.name.split(".")[0] == "histonic":
            self.write(record.levelname.lower(), self.format(record))

    def end(self, code: int) -> None:
        """Write the exit code, and close the file."""
        self.write("end", f"exit code {code}")
        logging.getLogger().removeHandler(self)
        logging.getLogger("histonic").setLevel(getattr(self, "_own_level", logging.NOTSET))
        with self._writing:
            self._drop()
        self.close()

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what is lost was told
                file.close()
