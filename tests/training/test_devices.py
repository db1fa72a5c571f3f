"""Processes of devices end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WORK = """
import os, sys, time
from pathlib import Path
from histonic.app.terminal.faults import end_like_an_interruption
from histonic.core.progress import Silent
from histonic.training.devices import make_fabric, run_on

def work(fabric, folder, progress):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

if __name__ == "__main__":
    end_like_an_interruption()
    try:
        run_on(make_fabric("cpu", 2), 2, work, sys.argv[1], Silent())
    except KeyboardInterrupt:
        sys.exit(130)
"""


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
