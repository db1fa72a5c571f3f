"""No traceback reaches a user: a fault is told as histonic's, with a log and an exit code of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RAISING = """
import sys
import click
from histonic.app import cli
@click.command("go")
def go():
    {}
cli.histonic.add_command(go)
sys.argv = ["histonic", "go"]
cli.main()
"""


def run(body: str, tmp_path: Path, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RAISING.format(body)],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
        **more,  # type: ignore[call-overload]
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('lost')", "A fault of histonic, not of yours: KeyError: 'lost'"),
        ("raise EOFError('cut')", "EOFError: cut"),
        ("f = lambda: f(); f()", "RecursionError"),
        ("raise OSError(5, 'Input/output error', 'a.svs')", "Input/output error: 'a.svs'"),
        ("raise BrokenPipeError('a worker')", "BrokenPipeError"),
        ("raise MemoryError", "Memory ran out"),
        ("raise RuntimeError('DefaultCPUAllocator: cannot allocate')", "Memory ran out"),
    ],
)
def test_a_fault_has_a_log_and_code_70(body: str, said: str, tmp_path: Path) -> None:
    shown = run(body, tmp_path)
    assert shown.returncode == 70, shown.stderr
    assert said in shown.stderr and "to do: " in shown.stderr
    assert "Traceback" not in shown.stderr
    (log,) = tmp_path.iterdir()
    assert str(log) in shown.stderr
    text = log.read_text()
    assert "Traceback" in text and "['histonic', 'go']" in text and sys.platform in text.lower()


def test_without_a_folder_for_the_log_the_fault_is_told_all_the_same(tmp_path: Path) -> None:
    shown = run(
        f"import tempfile; tempfile.tempdir = {str(tmp_path / 'nowhere')!r}; raise KeyError('lost')", tmp_path
    )
    assert shown.returncode == 70
    assert "no log could be written" in shown.stderr and "Traceback" not in shown.stderr


def test_a_full_disk_is_no_fault_of_histonic(tmp_path: Path) -> None:
    shown = run("raise OSError(28, 'No space left on device', 'a.csv')", tmp_path)
    assert shown.returncode == 2
    assert "Write a.csv." in shown.stderr and "Free some disk space" in shown.stderr


def test_nobody_reading_ends_quietly() -> None:
    shown = subprocess.run(
        [
            *("bash", "-c", '"$0" -m histonic "$@" | true; exit ${PIPESTATUS[0]}'),
            *(sys.executable, "list"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    # The reader may be gone or still there when the first line is written.
    assert shown.returncode in (0, 141)
    assert shown.stderr == ""


def test_a_closed_reader_is_code_141(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    shown = subprocess.run(
        [sys.executable, "-m", "histonic", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (shown.returncode, shown.stderr) == (141, "")


def test_so_it_is_where_the_output_is_an_object(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    shown = subprocess.run(
        [sys.executable, "-m", "histonic", "verify", str(tmp_path / "none"), "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert shown.returncode == 141 and "Traceback" not in shown.stderr and "fault" not in shown.stderr


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_letters_that_the_terminal_has_no_code_for_are_printed_as_numbers(
    more: list[str], tmp_path: Path
) -> None:
    (tmp_path / "\u0141.csv").write_text("patient_id,grade\n1,\u0142\u00f3w\n", encoding="utf-8")
    shown = subprocess.run(
        [sys.executable, "-m", "histonic", "doctor", "--labels", "\u0141.csv", *more],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1"},
        check=False,
        cwd=tmp_path,
    )
    assert shown.returncode in (0, 1, 2), shown.stderr
    assert b"\\u0141.csv" in shown.stdout + shown.stderr and b"fault" not in shown.stderr
    if more:
        assert json.loads(shown.stdout)["exit_code"] == shown.returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_the_output_is_told() -> None:
    with open("/dev/full", "w") as full:
        shown = subprocess.run(
            [sys.executable, "-m", "histonic", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert shown.returncode == 2
    assert "Free some disk space" in shown.stderr and "Traceback" not in shown.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_say_the_same(number: signal.Signals) -> None:
    body = "import time; print('begun', flush=True); time.sleep(60)"
    # Tests that run under nohup hand on that SIGHUP is ignored.
    code = f"import signal; signal.signal({int(number)}, signal.SIG_DFL)\n"
    if number == signal.SIGINT:
        code = "import signal; signal.signal(2, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", code + RAISING.format(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.strip() == "interrupted; the same command goes on where it stopped"


def test_a_second_signal_does_not_break_off_the_clearing_away() -> None:
    body = (
        "import time\n    try:\n        print('begun', flush=True); time.sleep(60)\n"
        "    finally:\n        print('clearing', flush=True); time.sleep(0.5); print('cleared', flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", RAISING.format(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "clearing\n"
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=20)
    assert (process.returncode, told) == (130, "cleared\n")


def test_nohup_is_respected() -> None:
    body = "import time; print('begun', flush=True); time.sleep(0.4)"
    process = subprocess.Popen(
        ["nohup", sys.executable, "-c", RAISING.format(body)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    began = time.monotonic()
    process.communicate(timeout=20)
    assert process.returncode == 0 and time.monotonic() - began > 0.2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_object_that_cannot_be_printed_is_told() -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", RAISING.format("pass").replace('"go"]', '"go", "--json"]')],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
