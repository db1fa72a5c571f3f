"""Writing results so that a kill or a full disk never leaves a half-written one."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from histonic.core.errors import OutputError

PARTIAL_PREFIX = ".partial-"
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def output_error(path: Path, error: OSError) -> OutputError:
    """The three-part error for a failed write to ``path``."""
    advice = {
        errno.ENOSPC: "Free some disk space or choose another folder; what is finished is kept.",
        errno.EDQUOT: "Your disk quota is used up: free some space or choose another folder.",
        errno.EROFS: "The file system is read-only: choose another folder.",
        errno.EACCES: "You may not write there: choose another folder or change its permissions.",
        errno.EPERM: "You may not write there: choose another folder or change its permissions.",
        errno.ENOTDIR: "A file stands where a folder is needed: choose another folder.",
        errno.EEXIST: "A file stands where a folder is needed: choose another folder.",
    }
    todo = advice.get(error.errno or 0, "Check the folder and its disk, then run the same command again.")
    return OutputError(f"Write {path}.", f"{error.strerror or error} (errno {error.errno}).", todo)


@contextmanager
def replacing_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is renamed onto ``path``.

    Raises:
        OutputError: The folder is read-only, the disk is full, or the rename fails. Nothing is left behind.
    """
    final = Path(path)
    partial = final.with_name(f"{PARTIAL_PREFIX}{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, final)
    except OSError as error:
        raise output_error(final, error) from error
    finally:
        # What cannot be removed was never made (no such folder); its error must not hide the first one.
        with suppress(OSError):
            partial.unlink()


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a fresh temporary folder beside ``path``; on success it takes the place of ``path``.

    Raises:
        OutputError: The folder is read-only, the disk is full, or the rename fails. Nothing is left behind.
    """
    final = Path(path)
    partial = final.with_name(f"{PARTIAL_PREFIX}{final.name}")
    replaced = final.with_name(f"{PARTIAL_PREFIX}old-{final.name}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        # Moved aside first: a kill while deleting must not leave half of the old folder under its name.
        if final.exists():
            os.replace(final, replaced)
        os.replace(partial, final)
    except OSError as error:
        raise output_error(final, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, all or nothing."""
    with replacing_file(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def guard_cell(value: Any) -> Any:
    """A cell of a CSV that no spreadsheet takes for a formula.

    Text that begins with = + - @, a tab or a carriage return and is no number gets an apostrophe before it,
    which :func:`restore_cell` takes off again; numbers and other texts stay as they are.

    Example:
        >>> guard_cell("=1+1"), guard_cell("-1.5"), guard_cell("P-1"), restore_cell(guard_cell("'=x"))
        ("'=1+1", '-1.5', 'P-1', "'=x")
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def restore_cell(text: str) -> str:
    """The inverse of :func:`guard_cell`."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV with a header; None is an empty cell, and no text a formula (:func:`guard_cell`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([guard_cell(column) for column in columns])
    writer.writerows([guard_cell(value) for value in row] for row in rows)
    return text.getvalue()


def write_csv(
    path: str | os.PathLike[str], columns: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Write rows of plain values by :func:`csv_text`; numbers have six digits."""
    values = ([row[column] for column in columns] for row in rows)
    cells = ([f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in values)
    write_text(path, csv_text(columns, cells))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON with sorted keys; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def require_writable_folder(path: str | os.PathLike[str]) -> Path:
    """Make ``path`` a folder that can be written to, before any compute is spent.

    Raises:
        OutputError: It cannot be made or written to.
    """
    folder = Path(path)
    probe = folder / f"{PARTIAL_PREFIX}probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"histonic")
        probe.unlink()
    except OSError as error:
        probe_exists = folder.is_dir() and probe.exists()
        if probe_exists:
            probe.unlink(missing_ok=True)
        raise output_error(folder, error) from error
    return folder
