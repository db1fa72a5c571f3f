"""Processes of a training end with it, and what goes wrong in them is told by their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from histonic.core.progress import Progress, Silent
from histonic.training.devices import WorkError, run_side_by_side

WORK = """
import os, sys, time
from pathlib import Path
from histonic.app.terminal.faults import end_like_an_interruption
from histonic.core.progress import Silent
from histonic.training.devices import make_fabric, run_on, run_side_by_side

def work(fabric, folder, progress):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    end_like_an_interruption()
    folder = sys.argv[1]
    try:
        {}
    except KeyboardInterrupt:
        sys.exit(130)
"""


def look_for(fabric: object, name: str, progress: Progress) -> None:
    raise LookupError(f"no {name}")


def test_an_unforeseen_error_comes_back_with_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WorkError, match="LookupError: no rest") as raised:
        run_side_by_side(look_for, ["rest"], "32", Silent())
    assert "in look_for" in str(raised.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    "call",
    [
        "run_side_by_side(work, [folder, folder], '32', Silent())",
        "run_on(make_fabric('cpu', 2), 2, work, folder, Silent())",
    ],
    ids=["workers", "devices"],
)
def test_processes_end_with_a_terminated_parent(call: str, tmp_path: Path) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "begun"
    script.write_text(WORK.format(call))
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
