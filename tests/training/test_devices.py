"""Processes of devices end with their parent, and one that dies ends the call, by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from histonic.core.errors import TrainingError
from histonic.core.progress import Listener, Progress
from histonic.training.devices import INTERRUPTED, Relay, _Sender, _work_in_process, run_on

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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


class Notes(Listener):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_process_that_dies_in_the_middle_of_a_message_is_not_waited_for() -> None:
    notes = Notes()
    pipes = [Pipe(duplex=False) for _ in range(2)]
    relay = Relay([receiver for receiver, _ in pipes], notes)
    _Sender(pipes[1][1]).say("whole")
    os.write(pipes[1][1].fileno(), b"\0\0\1\0half of it")
    closing = threading.Thread(target=relay.close, args=([sender for _, sender in pipes],), daemon=True)
    closing.start()
    closing.join(10)
    assert not closing.is_alive() and notes.said == ["whole"]


@pytest.mark.parametrize("ending", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_a_listener_raises_is_kept_and_ends_who_speaks(ending: type[BaseException]) -> None:
    class Broken(Listener):
        def say(self, text: str) -> None:
            raise ending(text)

    receiver, sender = Pipe(duplex=False)
    relay = Relay([receiver], Broken())
    with pytest.raises(BrokenPipeError):
        for _ in range(200):
            _Sender(sender).say("first")
            time.sleep(0.01)
    relay.close([sender])
    assert [(type(error), str(error)) for error in relay.errors] == [(ending, "first")]


class Processes:
    """A fabric whose processes say some lines of words and then end in some way."""

    def __init__(self, words: Sequence[tuple[str, Any]], end: Exception | None = None) -> None:
        self.words, self.end = words, end

    def launch(self, work: Any) -> None:
        sender = _Sender(work.keywords["senders"][0])
        with suppress(BrokenPipeError):
            for name, word in self.words:
                sender.pass_on(name, word)
                time.sleep(0.01)
        if self.end is not None:
            raise self.end


def run(fabric: Processes, listener: Listener) -> None:
    run_on(fabric, 2, lambda *_: None, None, listener)  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [None, ProcessRaisedException("BrokenPipeError", 0, 1)])
def test_a_listener_that_stops_a_run_ends_the_call(end: Exception | None) -> None:
    class Stop(Listener):
        def say(self, text: str) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Processes([("say", "x")] * 200, end), Stop())


TOLD = TrainingError("Train.", "The loss is no number.", "Lower --learning-rate.")


class Slow(Notes):
    def say(self, text: str) -> None:
        time.sleep(0.1)
        super().say(text)


KILLED = ProcessExitedException("SIGABRT", 1, 1, exit_code=-6, signal_name="SIGABRT")


@pytest.mark.parametrize("end", [None, ProcessRaisedException("TrainingError", 0, 1), KILLED])
def test_what_a_slow_listener_has_not_heard_yet_is_waited_for(
    end: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("histonic.training.devices.END_S", 0.1)
    slow = Slow()
    with pytest.raises(TrainingError, match="no number"):
        run(Processes([*[("say", "x")] * 10, ("error", TOLD)], end), slow)
    assert len(slow.said) == 10


def test_a_process_that_dies_without_a_word_is_named() -> None:
    with pytest.raises(TrainingError, match="rank 1 ended by the signal SIGABRT"):
        run(Processes([("say", "x")], KILLED), Notes())


class FirstOfOne:
    """A fabric of which no more is asked."""

    global_rank = 0
    is_global_zero = True


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_a_process_that_ends_early_does_not_end_as_if_all_were_done(
    ending: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    class Gone(Exception):
        pass

    def leave(code: int) -> None:
        codes.append(code)
        raise Gone

    def work(fabric: Fabric, argument: None, progress: Progress) -> None:
        raise ending(0)

    monkeypatch.setattr("histonic.training.devices.os._exit", leave)
    with pytest.raises(Gone):
        _work_in_process(FirstOfOne(), work, None, [Pipe(duplex=False)[1]])  # type: ignore[arg-type]
    assert codes == [INTERRUPTED]


DIES = """
import os, signal, threading, time
from histonic.core.errors import TrainingError
from histonic.core.progress import Silent
from histonic.training.devices import make_fabric, run_on

class Slow(Silent):
    def say(self, text):
        time.sleep(0.1)

def work(fabric, argument, progress):
    if fabric.global_rank == 0:
        threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
        while True:
            progress.say("x" * 300_000)
    fabric.barrier()

if __name__ == "__main__":
    try:
        run_on(make_fabric("cpu", 2), 2, work, "", Slow())
    except TrainingError as error:
        print(error.found)
"""


@pytest.mark.long
def test_a_process_that_is_killed_while_it_speaks_ends_the_call_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(DIES)
    command = [sys.executable, tmp_path / "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[-1] == "The process of rank 0 ended by the signal SIGKILL."
