"""The loop: plateaus, the best weights kept, exact resumption, and two processes as good as one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from multiprocessing import util
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from histonic.core.errors import TrainingError
from histonic.core.progress import Measures, Progress, Silent
from histonic.core.task import Task
from histonic.nn.checkpoint import load_state, save_state
from histonic.nn.losses import ValidationResult, cox_efron
from histonic.training import loop
from histonic.training.devices import make_fabric, run_on
from histonic.training.loop import Chunks, Training, TrainingData
from histonic.training.schedule import EpochRecord, Schedule, TrainingState
from histonic.training.seeds import torch_seed

TASK = Task("os", "survival", ("t", "e"))


class Tiny(nn.Module):
    """Two layers without batch normalisation, which would differ between devices."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8) if norm else nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"os": self.body(x)}


class Risks(TrainingData):
    """Survival that depends on the first number; the loss needs the whole batch's risk set."""

    def __init__(self, spoil_at: int | None = None) -> None:
        rng = np.random.default_rng(0)
        self.x = torch.tensor(rng.normal(size=(32, 3)), dtype=torch.float32)
        time = rng.exponential(np.exp(-2 * self.x[:, 0].numpy())) + 0.1
        self.y = torch.tensor(np.stack([np.ceil(time * 3), rng.random(32) < 0.7], axis=1))
        self.spoil_at = spoil_at

    def batches(self, epoch: int, rank: int, world: int) -> Iterator[tuple[tuple[Tensor, ...], Any]]:
        order = np.random.default_rng([epoch]).permutation(32)
        for rows in (order[:16], order[16:]):
            share = len(rows) // world
            yield (self.x[rows[rank * share : (rank + 1) * share]],), self.y[rows]

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return cox_efron(outputs["os"], targets)

    @torch.no_grad()
    def predict(self, network: nn.Module, fabric: Fabric) -> Tensor:
        found: Tensor = network(fabric.to_device(self.x))["os"]
        return found

    def validate(self, predictions: Tensor) -> ValidationResult:
        return ValidationResult(float(cox_efron(predictions, self.y)))


def train(
    fabric: Fabric, checkpoint: Path | None = None, epochs: int = 6, norm: bool = False, progress: Any = None
) -> tuple[TrainingState, nn.Module]:
    torch.manual_seed(1)
    network = Tiny(norm)
    training = Training(
        network,
        Risks(),
        Schedule(1e-2, epochs),
        fabric=fabric,
        keys=(0, 1),
        name="tiny",
        checkpoint=checkpoint,
    )
    return training.run(progress or Silent()), network


def train_and_save(fabric: Fabric, path: str, progress: Progress) -> None:
    """The work of each process; must stand in a module."""
    state, network = train(fabric, progress=progress)
    if fabric.is_global_zero:
        save_state(path, {"training": state.to_dict(), "weights": dict(network.state_dict())})


def fail(fabric: Fabric, path: str, progress: Progress) -> None:
    """Fails as a user's mistake would."""
    raise TrainingError("Do this.", "That.", "Do so.")


def test_learning_lowers_the_loss_and_keeps_the_best_weights() -> None:
    state, network = train(make_fabric("cpu"), epochs=30)
    assert state.best_loss < state.history[0].validation_loss * 0.8
    result = Risks().validate(Risks().predict(network, make_fabric("cpu")))
    assert result.loss == pytest.approx(state.best_loss, abs=1e-6)


def test_the_weights_that_are_kept_are_calibrated_before_they_are_judged() -> None:
    class Calibrated(Risks):
        calls: ClassVar[list[str]] = []

        def calibrate(self, predictions: Tensor) -> None:
            self.calls.append("calibrate")
            network.body[2].bias.data.fill_(len(self.calls))

        def validate(self, predictions: Tensor) -> ValidationResult:
            self.calls.append("validate")
            return super().validate(predictions)

    network = Tiny()
    training = Training(
        network, Calibrated(), Schedule(0.0, 2), fabric=make_fabric("cpu"), keys=(0,), name="t"
    )
    training._note(None)
    assert Calibrated.calls == ["calibrate", "validate"]
    assert training.best["body.2.bias"] == 1


def test_the_rate_falls_on_plateaus_and_then_training_ends() -> None:
    schedule = Schedule(1e-2, 200, patience=3)
    state, rates = TrainingState(), []
    while not state.is_over(schedule):
        rates.append(state.rate(schedule))
        epoch = len(state.history)
        state.note(EpochRecord(epoch, rates[-1], None, 1.0 if epoch else 0.5), schedule)
    assert state.best_epoch == 0
    assert rates == pytest.approx([1e-2] * 4 + [1e-3] * 3 + [1e-4] * 3 + [1e-5] * 3)
    assert schedule.rates == 4 and Schedule(1e-5).rates == 1 and Schedule(1e-6).rates == 1


def test_after_a_plateau_training_goes_on_from_the_best_weights() -> None:
    training = Training(Tiny(), Risks(), Schedule(1e-2, 4), fabric=make_fabric("cpu"), keys=(0,), name="tiny")
    training._note(None)
    begin = {name: value.clone() for name, value in training.network.state_dict().items()}
    training._learn(1)
    assert not torch.equal(training.network.state_dict()["body.0.weight"], begin["body.0.weight"])
    training.state.restart, training.schedule = True, Schedule(0.0, 4)
    training._learn(2)
    assert all(torch.equal(training.network.state_dict()[name], begin[name]) for name in begin)
    assert not training.state.restart


class Stop(Silent):
    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 3, 5])
@pytest.mark.parametrize("norm", [False, True])
def test_resuming_is_exact(after: int, norm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    whole, network = train(make_fabric("cpu"), norm=norm)
    with pytest.raises(KeyboardInterrupt):
        train(make_fabric("cpu"), tmp_path / "c", norm=norm, progress=Stop(after))
    assert load_state(tmp_path / "c")["training"]["epoch"] == after
    torn, other = train(make_fabric("cpu"), tmp_path / "c", norm=norm)
    assert torn == whole
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_checkpoints_are_not_written_all_the_time(tmp_path: Path) -> None:
    ticks = iter(range(1000))
    training = Training(
        Tiny(),
        Risks(),
        Schedule(1e-2, 4),
        fabric=make_fabric("cpu"),
        keys=(0,),
        name="tiny",
        checkpoint=tmp_path / "c",
        clock=lambda: float(next(ticks)),
    )
    training.run(Silent())
    assert not (tmp_path / "c").exists()


def test_running_statistics_are_those_of_the_last_weights() -> None:
    _, network = train(make_fabric("cpu"), epochs=1, norm=True)
    training = Training(network, Risks(), Schedule(0.0, 1), fabric=make_fabric("cpu"), keys=(0,), name="tiny")
    training._measure_norms(1)
    norm = network.body[1]
    hidden = network.body[0](Risks().x)
    assert isinstance(norm, nn.BatchNorm1d) and norm.momentum == 0.1
    assert torch.allclose(norm.running_mean, hidden.mean(0), atol=1e-5)


@pytest.mark.parametrize("what", ["training", "validation"])
def test_a_loss_that_is_not_finite_names_fold_and_epoch(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    data, calls = Risks(), iter(range(100))
    if what == "training":
        good = data.loss
        data.loss = lambda o, t: good(o, t) * (float("nan") if next(calls) == 3 else 1)  # type: ignore
    else:
        data.validate = lambda p: ValidationResult(float("nan") if next(calls) == 2 else 1.0)  # type: ignore
    training = Training(
        Tiny(),
        data,
        Schedule(1e-2, 5),
        fabric=make_fabric("cpu"),
        keys=(0,),
        name="fold 2 of 4",
        checkpoint=tmp_path / "c",
    )
    with pytest.raises(TrainingError, match=f"fold 2 of 4.*\n.*{what} loss of epoch 2"):
        training.run(Silent())
    state = load_state(tmp_path / "c")
    assert state["training"]["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in state["network"].values())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": {"other": torch.ones(1)}}, "is of another network"),
        ({"training": {"epoch": 3}}, "is of another network"),
        ({"optimizer": {}}, "is of another network"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "c"
    state, network = train(make_fabric("cpu"), epochs=1)
    optimizer = torch.optim.AdamW(network.parameters()).state_dict()
    weights = dict(network.state_dict())
    kept = {"network": weights, "optimizer": optimizer, "best": weights, "training": state.to_dict()}
    save_state(path, {**kept, **change})
    with pytest.raises(TrainingError, match=words):
        train(make_fabric("cpu"), path)
    save_state(path, {"weights": weights})
    with pytest.raises(TrainingError, match="has no 'network'"):
        train(make_fabric("cpu"), path)


def test_seeds_differ_by_every_key() -> None:
    seeds = {torch_seed(*keys) for keys in [(0, 0), (0, 1), (1, 0), (0, 0, 1), (2,)]}
    assert len(seeds) == 5


class Ear(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def advance(self, steps: int = 1, note: str = "") -> None:
        self.notes.append(note)


def work_beside(fabric: Fabric, folder: str, progress: Progress) -> None:
    """The work of each process for all tests that ask two: to start them takes longer than their work."""
    train_and_save(fabric, f"{folder}/two", progress)
    save_piecewise(fabric, (f"{folder}/pieces", (20, 2, 10)), Silent())
    look_at_the_end(fabric, folder, Silent())


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ear]:
    """Where two processes have left what they found, and what was heard of them."""
    folder, ear = tmp_path_factory.mktemp("beside"), Ear()
    run_on(make_fabric("cpu", 2), 2, work_beside, str(folder), ear)
    return folder, ear


def test_two_processes_learn_what_one_does(beside: tuple[Path, Ear]) -> None:
    folder, ear = beside
    one, network = train(make_fabric("cpu"))
    two = load_state(folder / "two")
    for name, value in network.state_dict().items():
        # A shift of all risks changes no Cox loss: the last bias follows rounding alone.
        if name != "body.2.bias":
            assert torch.allclose(value, two["weights"][name], atol=1e-4), name
    losses = [record["validation_loss"] for record in two["training"]["history"]]
    assert losses == pytest.approx([record.validation_loss for record in one.history], abs=1e-4)
    assert len([note for note in ear.notes if note]) == 6


def test_an_error_in_a_process_keeps_its_three_parts(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"Do this\.\n.*That\.\n.*Do so\."):
        run_on(make_fabric("cpu", 2), 2, fail, "", Silent())


def rates_of(schedule: Schedule, losses: list[float]) -> tuple[list[float], TrainingState]:
    state, rates = TrainingState(), []
    for epoch, loss in enumerate(losses):
        if state.is_over(schedule):
            break
        rates.append(state.rate(schedule))
        state.note(EpochRecord(epoch, rates[-1], None, loss), schedule)
    return rates, state


def test_tiny_gains_wear_a_rate_out_but_their_weights_are_kept() -> None:
    losses = [1.0, 0.9, *(0.9 - 1e-4 * k for k in range(1, 8))]
    patient, _ = rates_of(Schedule(1e-2, 200, patience=3), losses)
    assert patient == pytest.approx([1e-2] * 9)
    rates, state = rates_of(Schedule(1e-2, 200, patience=3, least_gain=1e-2), losses)
    assert rates == pytest.approx([1e-2] * 5 + [1e-3] * 3 + [1e-4])
    assert state.best_epoch == 8 and state.best_loss == pytest.approx(0.9 - 7e-4)


def test_losses_that_are_no_numbers_wear_a_rate_out() -> None:
    rates, _ = rates_of(Schedule(1e-2, 200, patience=2, least_gain=1e-3), [float("nan")] * 4)
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3])


def test_the_cosine_falls_from_the_first_rate_to_nothing() -> None:
    schedule = Schedule(1.0, 4, patience=9, decay="cosine")
    rates, state = rates_of(schedule, [1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    # Epoch 0 validates the untrained network; four epochs of training follow.
    assert rates[1:] == pytest.approx([1.0, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2])
    assert state.is_over(schedule) and state.epoch == 4


def test_without_a_plateau_schedule_patience_ends_training() -> None:
    for decay in ("cosine", "constant"):
        schedule = Schedule(1.0, 99, patience=2, decay=decay)
        rates, state = rates_of(schedule, [1.0, 0.5, 0.6, 0.7, 0.1])
        assert state.is_over(schedule) and state.epoch == 3 and state.best_epoch == 1
        assert decay == "cosine" or rates == [1.0] * 4


def test_the_last_weights_are_kept_where_the_schedule_says_so() -> None:
    class Worse(Risks):
        def validate(self, predictions: Tensor) -> ValidationResult:
            return ValidationResult(float(next(counter)), {"round": 1.0})

    for keep in ("best", "last"):
        counter = iter(range(10))
        torch.manual_seed(1)
        network = Tiny()
        first = {name: value.clone() for name, value in network.state_dict().items()}
        schedule = Schedule(1e-2, 2, keep=keep)  # type: ignore[arg-type]
        state = Training(network, Worse(), schedule, fabric=make_fabric("cpu"), keys=(0,), name="tiny").run(
            Silent()
        )
        same = all(torch.equal(value, first[name]) for name, value in network.state_dict().items())
        assert same == (keep == "best") and state.history[1].scores == {"round": 1.0}


def test_parts_can_have_rates_of_their_own_and_stay_frozen() -> None:
    class Frozen(Risks):
        def parts(self, network: nn.Module) -> dict[str, list[nn.Parameter]]:
            body = network.get_submodule("body")
            return {"first": list(body[0].parameters()), "last": list(body[2].parameters())}  # type: ignore

        def begin(self, network: nn.Module, epoch: int, rate: float) -> dict[str, float]:
            network.get_submodule("body.1").eval()
            return {"first": 0.0} if epoch == 1 else {}

    for optimizer in ("adam", "adamw", "sgd"):
        torch.manual_seed(1)
        schedule = Schedule(1e-2, 3, optimizer=optimizer, weight_decay=0.1)  # type: ignore[arg-type]
        network = Tiny(norm=True)
        training = Training(network, Frozen(), schedule, fabric=make_fabric("cpu"), keys=(0,), name="tiny")
        before = {name: value.clone() for name, value in network.state_dict().items()}
        training._note(None)
        training._learn(1)
        after = network.state_dict()
        assert torch.equal(after["body.0.weight"], before["body.0.weight"])
        assert torch.equal(after["body.1.running_mean"], before["body.1.running_mean"])
        assert not torch.equal(after["body.2.weight"], before["body.2.weight"])
        training._learn(2)
        assert not torch.equal(network.state_dict()["body.0.weight"], before["body.0.weight"])


def test_waiting_and_working_are_told_apart() -> None:
    class Slow(Risks):
        def batches(self, epoch: int, rank: int, world: int) -> Iterator[tuple[tuple[Tensor, ...], Any]]:
            for batch in super().batches(epoch, rank, world):
                time.sleep(0.05)
                yield batch

    training = Training(Tiny(), Slow(), Schedule(1e-2, 1), fabric=make_fabric("cpu"), keys=(0,), name="tiny")
    training._learn(1)
    assert training.waited_s >= 0.1 and training.worked_s > 0


def test_the_lesson_says_who_is_to_blame_for_a_loss() -> None:
    class Blaming(Risks):
        def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
            return super().loss(outputs, targets) * float("nan")

        def blame(self, outputs: dict[str, Tensor], targets: Any) -> str:
            return f"It is {len(targets)} rows of {sorted(outputs)}."

    training = Training(
        Tiny(), Blaming(), Schedule(1e-2, 1), fabric=make_fabric("cpu"), keys=(0,), name="tiny"
    )
    with pytest.raises(TrainingError, match=r"is nan\. It is 16 rows of \['os'\]\."):
        training.run(Silent())


class Piecewise(Risks):
    """The same training data with all patients in one step, whole or in pieces."""

    def __init__(self, sizes: tuple[int, ...] | None) -> None:
        super().__init__()
        self.sizes = sizes

    def batches(self, epoch: int, rank: int, world: int) -> Iterator[Any]:
        order = np.random.default_rng([epoch]).permutation(32)
        mine = order[rank * 32 // world : (rank + 1) * 32 // world]
        if self.sizes is None:
            yield (self.x[mine],), self.y[order]
            return
        cuts = np.cumsum([size // world for size in self.sizes])[:-1]
        pieces = [(self.x[rows],) for rows in np.split(mine, cuts)]
        yield Chunks(lambda: iter(pieces)), self.y[order]


def learn_piecewise(fabric: Fabric, sizes: Any, progress: Progress) -> list[float]:
    torch.manual_seed(1)
    training = Training(Tiny(), Piecewise(sizes), Schedule(1e-2, 5), fabric=fabric, keys=(0,), name="pieces")
    return [record.validation_loss for record in training.run(progress).history]


def save_piecewise(fabric: Fabric, given: tuple[str, Any], progress: Progress) -> None:
    """The work of each process; must stand in a module."""
    losses = learn_piecewise(fabric, given[1], progress)
    if fabric.is_global_zero:
        save_state(given[0], {"losses": losses})


@pytest.mark.parametrize("sizes", [(32,), (16, 16), (20, 2, 10)])
def test_a_step_through_pieces_is_the_step_of_the_whole(sizes: tuple[int, ...]) -> None:
    """Risk sets reach over all pieces; the loss of each piece by itself would be another one."""
    fabric = make_fabric("cpu")
    whole = learn_piecewise(fabric, None, Silent())
    assert learn_piecewise(fabric, sizes, Silent()) == pytest.approx(whole, abs=1e-6)
    assert whole[-1] < whole[0] - 0.01


def test_pieces_on_two_processes_are_those_of_one(beside: tuple[Path, Ear]) -> None:
    one = learn_piecewise(make_fabric("cpu"), None, Silent())
    assert load_state(beside[0] / "pieces")["losses"] == pytest.approx(one, abs=1e-6)


def look_at_the_end(fabric: Fabric, folder: str, progress: Progress) -> None:
    """The work of each process: gather something, and tell when it ends whether it is still connected."""
    fabric.all_gather(torch.ones(1))
    util.Finalize(None, tell_connected, (Path(folder) / str(fabric.global_rank),), exitpriority=1)


def tell_connected(path: Path) -> None:
    path.write_text(str(torch.distributed.is_initialized()), encoding="utf-8")


def test_processes_part_before_they_end(beside: tuple[Path, Ear]) -> None:
    """One that ends while still connected is aborted now and then, with all work done."""
    assert [(beside[0] / rank).read_text(encoding="utf-8") for rank in "01"] == ["False", "False"]


def test_both_passes_drop_the_same() -> None:
    class Dropping(Tiny):
        seen: ClassVar[list[Tensor]] = []

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            found = nn.functional.dropout(self.body(x), 0.5, self.training)
            if self.training:
                self.seen.append(found.detach().clone())
            return {"os": found}

    network = Dropping()
    data = Piecewise((16, 16))
    Training(network, data, Schedule(1e-2, 1), fabric=make_fabric("cpu"), keys=(0,), name="d").run(Silent())
    first, second = network.seen[:2], network.seen[2:4]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0] == 0, first[1] == 0)


class Numbers(Silent):
    def __init__(self) -> None:
        self.steps: list[Measures] = []
        self.epochs: list[Measures] = []
        self.shares: list[float] = []

    def measured(self, measures: Measures) -> None:
        (self.steps if measures.is_step else self.epochs).append(measures)

    def doing(self, note: str, share: float = 0.0) -> None:
        assert note.startswith("tiny, epoch ") and ", step " in note
        self.shares.append(share)


def test_losses_of_steps_and_epochs_are_told() -> None:
    heard = Numbers()
    state, _ = train(make_fabric("cpu"), progress=heard)
    assert [each.epoch for each in heard.epochs] == [record.epoch for record in state.history]
    assert [each.values["validation loss"] for each in heard.epochs] == [
        record.validation_loss for record in state.history
    ]
    assert "training loss" not in heard.epochs[0].values
    assert [each.step for each in heard.steps] == list(range(1, state.steps + 1))
    assert heard.epochs[-1].step == state.steps == len(heard.shares)
    for record in state.history[1:]:
        losses = [each.values["loss"] for each in heard.steps if each.epoch == record.epoch]
        assert record.train_loss == pytest.approx(np.mean(losses))


def test_steps_are_counted_on_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(make_fabric("cpu"), tmp_path / "c", progress=Stop(2))
    heard = Numbers()
    whole, _ = train(make_fabric("cpu"), tmp_path / "c", progress=heard)
    assert heard.epochs[0].epoch == 3
    assert heard.steps[0].step == whole.steps // 3 + 1 and heard.steps[-1].step == whole.steps
