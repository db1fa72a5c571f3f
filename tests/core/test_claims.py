"""One claim has one owner; the ended and the silent lose theirs, and nobody else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from histonic.core.claims import CLAIMS_FOLDER, Claims, sole_owner
from histonic.core.errors import RunError

HOLD = """
import sys, time
from pathlib import Path
from histonic.core.claims import Claims
claims = Claims(Path(sys.argv[1]), float(sys.argv[2]))
print(claims.take("a"), flush=True)
while True:
    time.sleep(0.05)
    print(claims.holds("a"), flush=True)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Starts a process that holds the claim ``a`` and tells again and again whether it still does."""
    started = []

    def start(stale_s: float) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", HOLD, str(tmp_path), str(stale_s)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "True\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_part_is_claimed_once_and_again_after_its_release(tmp_path: Path):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("a") and not two.take("a") and two.take("b")
        held = two.holder("a")
        assert held is not None and f"process {os.getpid()}" in str(held) and held.silent_s < 5
        one.release("a")
        assert one.holder("a") is None and two.take("a")
        assert two.holds("a") and not one.holds("a")
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_come_at_once_one_wins(tmp_path: Path):
    won: list[int] = []
    ready = threading.Barrier(8)

    def come(number: int) -> None:
        claims = Claims(tmp_path)
        ready.wait()
        for part in range(20):
            if claims.take(f"{part}"):
                won.append(part)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(20))


def test_the_claim_of_a_killed_process_is_taken_at_once(tmp_path: Path, holder):
    process = holder(60)
    with Claims(tmp_path, 60) as mine:
        assert not mine.take("a")
        assert [each.name for each in mine.others()] == ["a"]
        process.kill()
        process.wait()
        assert mine.others() == [] and mine.take("a")


def test_a_suspended_process_loses_its_claim_and_knows_when_it_wakes(tmp_path: Path, holder):
    process = holder(0.6)
    with Claims(tmp_path, 0.6) as mine:
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 20
        while not mine.take("a") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert mine.holds("a")
        os.kill(process.pid, signal.SIGCONT)
        said = [process.stdout.readline() for _ in range(200)]
        assert said[-1] == "False\n"
        assert mine.holds("a"), "the one that woke up did no harm"


def test_a_living_owner_keeps_its_claim_for_longer_than_the_limit(tmp_path: Path, holder):
    holder(0.6)
    with Claims(tmp_path, 0.6) as mine:
        for _ in range(12):
            time.sleep(0.1)
            assert not mine.take("a")


def test_silence_is_measured_by_the_clock_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Claims(tmp_path) as one, Claims(tmp_path) as two:
        assert one.take("a")
        monkeypatch.setattr(time, "time", lambda: 1e12)
        assert not two.take("a")
        # A host whose clock stands still elsewhere: only the file's own time counts.
        for path in (tmp_path / CLAIMS_FOLDER / "a").iterdir():
            os.utime(path, (0, 0))
        assert two.take("a") and not one.holds("a")


def test_an_empty_claim_of_a_process_killed_while_it_gave_it_back_can_be_taken(tmp_path: Path):
    (tmp_path / CLAIMS_FOLDER / "a").mkdir(parents=True)
    with Claims(tmp_path) as mine:
        assert mine.take("a") and mine.holds("a")


def test_a_folder_has_one_owner_and_the_second_is_told_who(tmp_path: Path):
    run = tmp_path / "run"
    with sole_owner(run, "Train."):
        with pytest.raises(RunError, match=f"process {os.getpid()} on "), sole_owner(run, "Train."):
            pass
        (run / "result").write_text("x")
    with sole_owner(run, "Train."):
        pass
    assert [path.name for path in run.iterdir()] == ["result"]


def test_a_folder_that_was_left_empty_is_gone(tmp_path: Path):
    with pytest.raises(ValueError, match="no"), sole_owner(tmp_path / "run", "Train."):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []
