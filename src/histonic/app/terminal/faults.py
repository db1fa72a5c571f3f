"""What a user is told of an error that nobody foresaw: whose fault it is, and where the log lies."""

from __future__ import annotations

import errno
import io
import math
import os
import platform
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from types import FrameType

import click

from histonic.app.terminal.logs import LogFile, shown_words
from histonic.core.errors import HistonicError
from histonic.core.files import output_error

FAULT_CODE = 70
"""A fault of histonic itself, or no memory left (``EX_SOFTWARE`` of ``sysexits.h``)."""
PIPE_CODE = 141
"""Nobody reads the output any more: 128 and the number of SIGPIPE, as of other programs."""
CLEARING_S = 10.0
"""So long after a signal another one is taken for the same."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OF_TORCH = "DefaultCPUAllocator"
"""Names torch's allocator in the error it raises where Python would raise MemoryError."""


def end_like_an_interruption() -> None:
    """Let SIGTERM and SIGHUP do what Ctrl-C does, so that what was begun is ended and cleared away.

    A signal that is ignored already stays so: ``nohup`` asks for that. One that comes again while things are
    cleared away is passed over, since a scheduler tells the process and then all of the job.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    begun = -math.inf

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal begun
        if time.monotonic() - begun > CLEARING_S:
            begun = time.monotonic()
            raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def print_any_text() -> None:
    """Let names with letters that the terminal or file has no code for be printed as their numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def unforeseen(error: Exception, log: LogFile | None = None) -> tuple[HistonicError | None, int]:
    """What to say of an error that nobody foresaw, without a traceback.

    Args:
        error: Any error that is none of :mod:`histonic.core.errors`.
        log: Takes the traceback; by default a file of its own.

    Returns:
        What to say, None where nobody reads it any more; and the exit code.
    """
    if isinstance(error, BrokenPipeError) and _is_unread():
        return None, PIPE_CODE
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return output_error(Path(error.filename or "the output"), error), 2
    return _described(error, log), FAULT_CODE


def end_quietly(code: int) -> int:
    """Write out what is still to be printed; the exit code, another one where nobody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _is_unread()
        return PIPE_CODE
    except (OSError, ValueError) as error:
        stop_printing(sys.stdout.fileno())
        told = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
        _say(output_error(Path("the standard output"), told))
        return 2
    return code


def _described(error: Exception, given: LogFile | None) -> HistonicError:
    asked = f"Run '{' '.join(['histonic', *shown_words(sys.argv[1:])])}'."
    if given is not None:
        given.write("fault", "".join(traceback.format_exception(error)))
    log = _write_log(error) if given is None else given.path
    where = f"{log} has the details" if log else "no log could be written"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or OF_TORCH in str(error):
        return HistonicError(
            asked,
            f"Memory ran out ({where}).",
            "Give the same command again with less at once (fewer --workers, a smaller --batch) or on a "
            "machine with more memory; it goes on where it stopped.",
        )
    text = " ".join(str(error).split())
    named = type(error).__name__ + (f": {text[:300]}" if text else "")
    return HistonicError(
        asked,
        f"A fault of histonic, not of yours: {named} ({_place(error)}; {where}).",
        "Please report it with that log, which names version, command and system. What is finished is kept.",
    )


def _place(error: Exception) -> str:
    """Module and line of this package where it was raised, else the last of any."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no place known"
    own = str(Path(__file__).parents[2])
    frame = next((each for each in reversed(frames) if each.filename.startswith(own)), frames[-1])
    file = Path(frame.filename)
    name = file.relative_to(Path(own).parent) if frame.filename.startswith(own) else file.name
    return f"{name}, line {frame.lineno}"


def _write_log(error: Exception) -> str | None:
    """The path of a file with the traceback; None where no folder takes it."""
    from importlib.metadata import version  # brings a parser of mail, which no other start needs

    lines = [
        f"histonic {version('histonic')}",
        f"command: {shown_words(sys.argv)}",
        f"folder: {os.getcwd()}",
        f"Python {sys.version}",
        f"platform: {platform.platform()}, {os.cpu_count()} processors",
        "",
        *traceback.format_exception(error),
    ]
    try:
        handle, path = tempfile.mkstemp(".log", "histonic-fault-")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines))
    except OSError:
        return None
    return path


def _say(error: HistonicError) -> None:
    try:
        click.echo(f"histonic: {error}", err=True)
    except OSError:
        stop_printing(sys.stderr.fileno())


def _is_unread() -> bool:
    """Whether nobody reads standard output or error any more; what waits to be printed is thrown away."""
    unread = [stream.fileno() for stream in (sys.stdout, sys.stderr) if _has_no_reader(stream.fileno())]
    for number in unread:
        stop_printing(number)
    return bool(unread)


def _has_no_reader(number: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(number, 0)
    return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))


def stop_printing(number: int) -> None:
    """Throw away what is still to be printed to a stream that takes no more."""
    # Else the interpreter tries once more at its end, and complains.
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
