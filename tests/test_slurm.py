"""The SLURM script of the docs, run as it stands there, with processes in the place of nodes."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import yaml

from histonic.data.maps.store import Store
from histonic.slides.formats.pyramid import write_pyramid
from histonic.stages.compress.compress import compress
from histonic.stages.verify.verify import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "clusters.md"
SOURCE = PAGE.parents[2] / "src"
SCRIPT = re.compile(r"^```bash\n(#!/bin/bash\n#SBATCH.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", re.MULTILINE)
ANOTHER_HOST = """
import os, socket
node = os.environ.get("SLURMD_NODENAME")
if node:
    socket.gethostname = lambda: node
"""
"""Loaded by every Python of a task: processes of other nodes can then not be seen to have ended."""
SLIDES = 20


@dataclass
class Task:
    """One task of an array, as often as it is started."""

    number: int
    starts: int = 0
    codes: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    told: list[str] = field(default_factory=list)


class Cluster:
    """``sbatch`` for one array: walltime, the signal before it, kills, requeueing.

    Args:
        folder: Where the script is submitted; its logs come there.
        walltime_s: In the place of the script's hours.
        lead_s: In the place of the seconds of ``--signal``; 0: the script is not told, as when it is stuck.
        grace_s: From SIGTERM at the walltime to SIGKILL.
    """

    def __init__(self, folder: Path, walltime_s: float, lead_s: float, grace_s: float = 0.05) -> None:
        self.folder = folder
        self.walltime_s, self.lead_s, self.grace_s = walltime_s, lead_s, grace_s
        self.script = SCRIPT.findall(PAGE.read_text(encoding="utf-8"))[0]
        self.options = dict(OPTION.findall(self.script))
        (folder / "compress.sh").write_text(self.script)
        self.tools = folder / "bin"
        self.tools.mkdir(exist_ok=True)
        self.queue = folder / "queue"
        self.tool("scontrol", f'[ "$1" = requeue ] && echo "$2" >> "{self.queue}"')
        self.tasks: list[Task] = []

    def tool(self, name: str, body: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def submit(self, tasks: int) -> list[Task]:
        assert re.fullmatch(r"1-\d+", self.options["array"])
        self.tasks = [Task(number) for number in range(1, tasks + 1)]
        for task in self.tasks:
            self.start(task)
        return self.tasks

    def start(self, task: Task) -> None:
        task.starts += 1
        task.told = []
        task.began = time.monotonic()
        log = self.options["output"].replace("%A", "7").replace("%a", str(task.number))
        environment = {
            **os.environ,
            "PATH": f"{self.tools}:{os.environ['PATH']}",
            "PYTHONPATH": f"{self.tools}:{SOURCE}",
            "SLURM_JOB_ID": str(100 + task.number),
            "SLURM_ARRAY_TASK_ID": str(task.number),
            "SLURMD_NODENAME": f"node{task.number}",
            "OMP_NUM_THREADS": "1",
        }
        assert self.options["open-mode"] == "append"
        with (self.folder / log).open("ab") as out:
            task.process = subprocess.Popen(
                ["bash", "compress.sh"],
                cwd=self.folder,
                stdout=out,
                stderr=out,
                env=environment,
                start_new_session=True,
            )

    def signal_all(self, task: Task, number: signal.Signals) -> None:
        assert task.process is not None
        os.killpg(task.process.pid, number)

    def lose_node(self, task: Task) -> None:
        """The node of a task is gone; SLURM starts the task elsewhere."""
        self.signal_all(task, signal.SIGKILL)
        assert "requeue" in self.options
        self.queue.open("a").write(f"{100 + task.number}\n")
        task.told.append("lost")

    def end_walltime(self, task: Task, is_stuck: bool = False) -> None:
        """Let the walltime of a task come near; if it is stuck, the signal before it goes unheard."""
        task.began = time.monotonic() - self.walltime_s + (0 if is_stuck else self.lead_s)
        task.told += ["soon"] * is_stuck

    def look(self) -> bool:
        """What a scheduler does again and again; whether anything still runs."""
        for task in self.tasks:
            if task.process is None:
                continue
            code = task.process.poll()
            if code is not None:
                self._ended(task, code)
                continue
            ran = time.monotonic() - task.began
            kind, number, _ = re.split("[:@]", self.options["signal"])
            if self.lead_s and ran > self.walltime_s - self.lead_s and "soon" not in task.told:
                assert (kind, number) == ("B", "USR1")
                task.told.append("soon")
                task.process.send_signal(signal.SIGUSR1)  # B: the script alone
            if ran > self.walltime_s and "now" not in task.told:
                task.told.append("now")
                self.signal_all(task, signal.SIGTERM)
            if ran > self.walltime_s + self.grace_s:
                self.signal_all(task, signal.SIGKILL)
        return any(task.process is not None for task in self.tasks)

    def _ended(self, task: Task, code: int) -> None:
        task.codes.append(code)
        task.process = None
        waiting = self.queue.read_text().split() if self.queue.exists() else []
        if str(100 + task.number) in waiting:
            self.queue.write_text(
                "\n".join(each for each in waiting if each != str(100 + task.number)) + "\n"
            )
            self.start(task)

    def end(self) -> None:
        for task in self.tasks:
            if task.process is not None and task.process.poll() is None:
                self.signal_all(task, signal.SIGKILL)
                task.process.wait()


@pytest.fixture
def cluster(tmp_path: Path):
    made = []

    def make(*args: float) -> Cluster:
        made.append(Cluster(tmp_path, *args))
        return made[-1]

    yield make
    for each in made:
        each.end()


def run(cluster: Cluster, most_s: float) -> None:
    deadline = time.monotonic() + most_s
    while cluster.look():
        assert time.monotonic() < deadline, [task.codes for task in cluster.tasks]
        time.sleep(0.02)


STUB = """
trap 'exit 130' TERM
echo started >> started
[ -e finish ] && exit $(cat finish)
while :; do sleep 0.02; done
"""
"""A command that ends when it is told to, or at once with a code of its own."""


def test_a_task_whose_walltime_ends_comes_again_and_goes_on(cluster) -> None:
    made = cluster(0.8, 0.6)
    made.tool("histonic", STUB)
    (task,) = made.submit(1)
    while task.starts < 3:
        made.look()
        time.sleep(0.01)
    (made.folder / "finish").write_text("1")
    run(made, 20)
    assert set(task.codes[:-1]) == {130} and task.codes[-1] == 1
    assert len((made.folder / "started").read_text().split()) == task.starts


def test_a_task_that_is_cancelled_stays_away(cluster) -> None:
    made = cluster(60, 1)
    made.tool("histonic", STUB)
    (task,) = made.submit(1)
    while not (made.folder / "started").exists():
        time.sleep(0.01)
    task.process.send_signal(signal.SIGTERM)
    run(made, 20)
    assert (task.starts, task.codes) == (1, [130])


@pytest.mark.parametrize("code", [0, 1, 70])
def test_a_task_that_ended_by_itself_does_not_come_again(cluster, code: int) -> None:
    made = cluster(20.0, 19.2)
    made.tool("histonic", f"trap : TERM; sleep 1.2; exit {code}")  # while the walltime comes near
    (task,) = made.submit(1)
    run(made, 20)
    assert (task.starts, task.codes) == (1, [code])


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".partial-") for part in path.parts)
    }


@pytest.mark.long
def test_the_store_of_a_disturbed_array_is_that_of_an_undisturbed_run(cluster, tmp_path: Path) -> None:
    slides = tmp_path / "slides"
    for number in range(SLIDES):
        rng = np.random.default_rng(number)
        image = np.full((700, 700, 3), 243, np.uint8)
        image[100:600, 100:600] = np.array([190, 110, 170]) + rng.integers(-30, 30, (500, 500, 1))
        write_pyramid(slides / f"s{number:02d}.tif", image, mpp=0.5)
    (slides / "s07.tif").write_bytes((slides / "s07.tif").read_bytes()[:2000])
    values = {"encoder": "colour", "stale_after": 6, "batch": 8}
    store = tmp_path / "store"
    compress(slides=[slides], out=store, **values)
    store.rename(tmp_path / "whole")  # its settings name the place where it was made
    (tmp_path / "compress.yaml").write_text(
        yaml.safe_dump({**values, "slides": [str(slides)], "out": str(store)})
    )
    # What happens when is told by the maps that are there, so that a slow machine sees the same.
    made = cluster(1e6, 30.0)
    made.tool("histonic", f'exec "{sys.executable}" -m histonic "$@"')
    (made.tools / "sitecustomize.py").write_text(ANOTHER_HOST)
    one, two, three = made.submit(3)

    def until(maps: int) -> None:
        deadline = time.monotonic() + 600
        while len(list(store.glob("[!.]*.zarr"))) < maps:
            assert made.look() and time.monotonic() < deadline
            time.sleep(0.02)

    until(3)
    made.lose_node(one)
    until(6)
    made.end_walltime(two, is_stuck=True)
    until(9)
    made.end_walltime(three)
    until(13)
    made.end_walltime(one)
    run(made, 600)
    assert one.codes[0] == -signal.SIGKILL and one.starts >= 2 and one.codes[-1] == 1
    assert three.codes[0] in (130, 143) and three.starts == 2 and three.codes[-1] == 1
    assert two.starts == 1 and two.codes[0] != 1, "killed at its walltime: SLURM does not start it again"
    assert digest(store) == digest(tmp_path / "whole")
    (found,) = verify(paths=[store])
    assert found.faults == () and len(Store.open(store)) == SLIDES - 1
    assert not (store / "claims").exists()
