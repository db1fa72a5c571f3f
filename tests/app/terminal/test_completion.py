"""What the shell completes, by click's own script in bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
complete() {{ :; }}; compopt() {{ echo "files: $2"; }}
source {script} 2> /dev/null
COMP_WORDS=({words}); COMP_CWORD={last}
_histonic_completion histonic
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    (folder / "histonic").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m histonic "$@"\n')
    (folder / "histonic").chmod(0o755)
    written = subprocess.run(
        [folder / "histonic"],
        env={**os.environ, "_HISTONIC_COMPLETE": "bash_source"},
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "complete.bash").write_text(written.stdout)
    return folder


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("histonic com", ["compare", "compress"]),
        ("histonic encoder t", ["tasks", "train", "transfer"]),
        ("histonic train --cr", ["--crop-cells"]),
        ("histonic train --json --split r", ["random"]),
        ("histonic compress sl", ["files: default", ""]),
        ("histonic train --labels la", ["files: default", ""]),
    ],
)
def test_bash_completes(words: str, offered: list[str], bin_folder: Path) -> None:
    ask = ASK.format(script=bin_folder / "complete.bash", words=words, last=len(words.split()) - 1)
    shown = subprocess.run(
        ["bash", "-c", ask],
        env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.splitlines() == offered
