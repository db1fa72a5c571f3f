"""A Dask cluster: what users do wrong with it, lost workers, and the same results as without one."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fixtures.clusters import RunningCluster, running_cluster
from fixtures.pieces import do, prepare
from histonic import compress, explain, train_slides
from histonic.core.errors import ExecutorError, HistonicError, SettingsError
from histonic.core.progress import Listener
from histonic.slides.formats.pyramid import write_pyramid
from histonic.training.executors import cluster as workers
from histonic.training.executors import connection
from histonic.training.executors.base import Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.cluster import ClusterWorkers


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path / "cluster", 2) as running:
        yield running


def opened(folder: Path, cluster: str, progress: Listener | None = None) -> ClusterWorkers[str, str]:
    job = Job("Do pieces.", partial(prepare, folder), do)
    return ClusterWorkers(job, progress, cluster, "cpu", [folder], folder)


def test_what_is_neither_address_nor_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("patient_id\n")
    pytest.importorskip("distributed", reason="extra 'cluster' is not installed")
    for given, found in [
        ("scheduler.jsn", "neither the address"),
        (str(tmp_path / "labels.csv"), "none that"),
    ]:
        with pytest.raises(SettingsError, match=found):
            connection.connect(given)
    for given in ("tcp://10.0.0.1:8786", "tls://head:8786", "head:8786", "ucx://head:1"):
        assert connection.ADDRESS.fullmatch(given)


def test_the_extra_is_named_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"distributed is not installed") as raised:
        connection.connect("tcp://127.0.0.1:8786")
    assert "histonic[cluster]" in raised.value.todo


def test_the_sign_of_a_client_that_was_killed_is_taken_away(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from histonic.training.executors.connection import Sign; "
    code += "Sign(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    (left,) = tmp_path.iterdir()
    sign, other = connection.Sign(tmp_path), connection.Sign(tmp_path)
    assert set(tmp_path.iterdir()) == {sign.path, other.path} and left not in (sign.path, other.path)
    sign.remove()
    other.remove()
    assert not list(tmp_path.iterdir())


def test_what_a_piece_held_that_nobody_waits_for_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="extra 'cluster' is not installed")
    closed: list[str] = []

    @contextmanager
    def opening(device: str) -> Iterator[Path]:
        yield tmp_path
        closed.append(device)

    state = SimpleNamespace(tasks={}, nthreads=torch.get_num_threads())
    worker = SimpleNamespace(
        state=state, address="a", get_current_task=lambda: "k", log_event=lambda *_: None
    )
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    order = workers._Order("Do pieces.", "token", "topic", b"", "cpu", (), tmp_path, {}, logging.WARNING)
    workers._PREPARED.of("token", lambda: Job("Do pieces.", opening, do), "cpu")
    assert not closed and workers._do_on_worker(order, 0, "a") is None
    assert closed == ["cpu"]


@pytest.mark.long
def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_S", 1.0)
    with pytest.raises(ExecutorError, match="No Dask scheduler answers"):
        opened(tmp_path, "tcp://127.0.0.1:9")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_workers_that_cannot_do_it_are_named(
    cluster: RunningCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(cluster.file)
    job = Job("Do pieces.", partial(prepare, tmp_path), do)
    with pytest.raises(ExecutorError, match=r"does not see .*nowhere"):
        ClusterWorkers(job, None, address, "cpu", [tmp_path / "nowhere"], tmp_path)
    with pytest.raises(ExecutorError, match="of its 2 workers offers one"):
        ClusterWorkers(job, None, address, "cuda", [tmp_path], tmp_path)
    with pytest.raises(SettingsError, match="--resources GPU=1"):
        ClusterWorkers(job, None, address, "cuda:1", [tmp_path], tmp_path)
    versions = {**connection.own_versions(), "torch": "1.0"}
    monkeypatch.setattr(connection, "own_versions", lambda: versions)
    with pytest.raises(ExecutorError, match=r"has torch .*; here it is 1\.0"):
        opened(tmp_path, address)
    assert not list(tmp_path.glob(".histonic*")), "the sign is taken away"


class Lines(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.long
def test_a_lost_worker_s_piece_is_done_again_and_a_lost_scheduler_is_told(
    cluster: RunningCluster, tmp_path: Path
) -> None:
    heard = Lines()
    killed = False

    def pieces() -> Iterator[str]:
        for number in range(24):
            yield f"slow {number}"

    with opened(tmp_path, str(cluster.file), heard) as executor:
        found = []
        for result in executor.results(pieces()):
            found.append(result)
            if len(found) == 5 and not killed:
                cluster.workers[0].kill()
                killed = True
        assert found == [f"SLOW {number}" for number in range(24)]
        assert any("was lost, and it is begun again on worker tcp" in line for line in heard.lines)
        # All workers are lost, and then another one comes.
        waiting = executor.submit("slow again")
        while not any(task for task in executor._client.processing().values()):
            time.sleep(0.02)
        for each in cluster.workers[1:]:
            each.kill()
        cluster.start_worker()
        assert waiting.result(timeout=120) == "SLOW AGAIN"
        cluster.scheduler.kill()
        with pytest.raises(ExecutorError, match=r"scheduler of the cluster .* was lost"):
            list(executor.results(["slow"]))


@pytest.mark.long
def test_gpus_are_asked_for_by_worker_resources(tmp_path: Path) -> None:
    with running_cluster(tmp_path / "cluster", 1, "--resources", "GPU=1") as cluster:
        job = Job("Do pieces.", partial(prepare, tmp_path), do)
        with ClusterWorkers(job, None, str(cluster.file), "auto", [], tmp_path) as executor:
            assert executor._device == "cuda"
            assert executor._resources == {"GPU": 1}


def kill_when(there: str, folder: Path, process: subprocess.Popen[bytes], number: int) -> None:
    deadline = time.monotonic() + 240
    while len(list(folder.glob(there))) < number and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)


def same_files(left: Path, right: Path, *patterns: str) -> None:
    for pattern in patterns:
        names = sorted(path.relative_to(left) for path in left.glob(pattern) if path.is_file())
        assert names and names == sorted(
            path.relative_to(right) for path in right.glob(pattern) if path.is_file()
        )
        for name in names:
            assert (left / name).read_bytes() == (right / name).read_bytes(), name


@pytest.mark.long
def test_training_is_the_same_to_the_byte_with_a_worker_killed(
    cluster: RunningCluster, cohort_folder: Path, tmp_path: Path
) -> None:
    given = {
        "store": cohort_folder / "store",
        "labels": cohort_folder / "labels.csv",
        "target": ["score:regression"],
        "aggregator": "abmil",
        "folds": 3,
        "max_epochs": 6,
        "batch": 8,
        "device": "cpu",
        "search": {"batch": "4,8"},
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers have
    try:
        alone = train_slides(**given, out=tmp_path / "alone")
    finally:
        torch.set_num_threads(threads)
    checkpoints = tmp_path / "beside" / "checkpoints"
    killing = threading.Thread(
        target=kill_when, args=("*.safetensors", checkpoints, cluster.workers[0], 4), daemon=True
    )
    killing.start()
    beside = train_slides(**given, out=tmp_path / "beside", cluster=str(cluster.file))
    killing.join()
    assert cluster.workers[0].poll() is not None
    same_files(alone, beside, "predictions/*", "bundle/**/*", "history*", "search*", "cohort.json")
    told = {"run": beside, "method": "hires-cam", "patients": 1, "checks": False}
    there = explain(**told, cluster=str(cluster.file))
    here = explain(**{**told, "run": alone})
    assert [each.slide_id for each in there.records] == [each.slide_id for each in here.records]
    same_files(here.folder, there.folder, "**/values.zarr/**/*", "summary.csv")


@pytest.mark.long
def test_compression_with_bad_slides_and_a_killed_worker(
    cluster: RunningCluster, slide_files: Path, tmp_path: Path
) -> None:
    given = {"slides": [slide_files], "encoder": "colour", "device": "cpu"}
    alone = compress(**given, out=tmp_path / "alone")
    killing = threading.Thread(
        target=kill_when, args=("*.zarr", tmp_path / "beside", cluster.workers[0], 2), daemon=True
    )
    killing.start()
    beside = compress(**given, out=tmp_path / "beside", cluster=str(cluster.file))
    killing.join()
    assert cluster.workers[0].poll() is not None
    assert sorted([*beside.done, *beside.skipped]) == sorted(alone.done)
    assert [(each.slide_id, each.stage, each.reason) for each in beside.failures] == [
        (each.slide_id, each.stage, each.reason) for each in alone.failures
    ]
    same_files(tmp_path / "alone", tmp_path / "beside", "*.zarr/**/*", "failures/*", "tissue.csv")
    again = compress(**given, out=tmp_path / "beside", cluster=str(cluster.file))
    assert again.done == [] and sorted(again.skipped) == sorted(alone.done)
    with pytest.raises(HistonicError, match="made with other settings"):
        compress(**{**given, "precision": "bf16"}, out=tmp_path / "beside")


@pytest.fixture
def slide_files(tmp_path: Path) -> Path:
    """Twenty-four small slides, two of them damaged."""
    folder = tmp_path / "slides"
    folder.mkdir()
    for number in range(24):
        path = folder / f"s{number:02d}.tif"
        if number in (5, 17):
            path.write_bytes(b"II*\0broken")
            continue
        image = np.full((700, 800, 3), (200 - number, 120, 180), np.uint8)
        image[::7] = (180, 90, 150)
        write_pyramid(path, image, mpp=0.5)
    return folder


def test_the_choice_is_made_in_one_place(tmp_path: Path) -> None:
    job = Job("Do pieces.", partial(prepare, tmp_path), do)
    with open_executor(job, None, cluster=None, device="cpu", writes=tmp_path) as executor:
        assert executor.slots == 1 and list(executor.results(["a"])) == ["A"]
