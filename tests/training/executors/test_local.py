"""Processes of a training end with it, and what goes wrong in them is told by their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from fixtures.pieces import do, prepare
from histonic.core.errors import ExecutorError
from histonic.training.executors.base import Job
from histonic.training.executors.local import LocalProcesses
from histonic.training.executors.pieces import WorkError

WORK = """
import os, sys, time
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from histonic.app.terminal.faults import end_like_an_interruption
from histonic.training.executors.base import Job
from histonic.training.executors.local import LocalProcesses

def prepare(device):
    return nullcontext()

def work(opened, folder, listener):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

def beside(folder):
    with LocalProcesses(Job("Work.", prepare, work), None, 2) as executor:
        list(executor.results([folder, folder]))

if __name__ == "__main__":
    end_like_an_interruption()
    folder = sys.argv[1]
    try:
        beside(folder)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_an_unforeseen_error_comes_back_with_its_place(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    job = Job("Do pieces.", partial(prepare, tmp_path), do)
    raising = pytest.raises(WorkError, match="LookupError: no such thing")
    with raising as raised, LocalProcesses(job, None, 1) as executor:
        list(executor.results(["odd"]))
    assert "in do\n" in str(raised.value)
    assert "Traceback" not in capfd.readouterr().err


def test_a_process_that_is_ended_while_it_speaks_is_not_waited_for(tmp_path: Path) -> None:
    executor = LocalProcesses(Job("Do pieces.", partial(prepare, tmp_path), do), None, 1)
    executor.submit("speaking")
    deadline = time.monotonic() + 120
    while not (tmp_path / "speaking").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    ending = threading.Thread(target=executor._end, daemon=True)
    ending.start()
    ending.join(60)
    assert (tmp_path / "speaking").exists() and not ending.is_alive()


@pytest.mark.long
def test_a_killed_process_is_told_of(tmp_path: Path) -> None:
    job = Job("Do pieces.", partial(prepare, tmp_path), do)
    with LocalProcesses(job, None, 2) as executor:
        waiting = executor.submit("long")
        while not (begun := list(tmp_path.glob("prepared-*"))):
            time.sleep(0.1)
        os.kill(int(begun[0].name.partition("-")[2]), signal.SIGKILL)
        assert waiting.exception(timeout=60) is not None
        error = executor._explained(waiting.exception())
    assert isinstance(error, ExecutorError)
    assert "ended with exit code -9" in error.found and "fewer --workers" in error.todo


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_processes_end_with_a_terminated_parent(tmp_path: Path) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "begun"
    script.write_text(WORK)
    folder.mkdir()
    parent = subprocess.Popen([sys.executable, script, folder], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(os.listdir(folder)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = os.listdir(folder)
    parent.send_signal(signal.SIGTERM)
    _, said = parent.communicate(timeout=20)
    assert (parent.returncode, len(children)) == (130, 2)
    assert "Traceback" not in said
    assert not any(Path(f"/proc/{child}").exists() for child in children)
