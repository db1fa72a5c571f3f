"""Maps learned from for some seconds, beside the feeding of crops alone and the network alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from histonic.aggregators.base import SlideModel, build_model, first_rate, wants_tile_heads
from histonic.core.cohort import Cohort, Patient
from histonic.core.errors import SettingsError, StoreError
from histonic.core.processes.cores import usable_cores
from histonic.core.processes.footprint import Footprint
from histonic.core.progress import Progress, Silent, heard
from histonic.core.settings import Precision, resolve
from histonic.core.task import Task
from histonic.data.maps.memory import Maps
from histonic.data.maps.store import Store
from histonic.stages.bench.figures import (
    FAR_BELOW,
    WARM_UP,
    BenchResult,
    Rate,
    StageFigure,
    rate_of,
    repeated,
    told_others,
    told_precision,
)
from histonic.stages.bench.settings import BenchTrainSettings
from histonic.stages.train.draws import BalancedDraws
from histonic.stages.train.networks import choose_crop
from histonic.stages.train.own_encoder import find_tile_heads
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.training_data import SlideTrainingData, Targets
from histonic.training.devices import deterministic, make_fabric, pick_device
from histonic.training.loop import Chunks, Inputs, Training
from histonic.training.schedule import Schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric

LEAST_SLIDES = 4
TASK = Task("bench", "binary", ("bench",), ("no", "yes"))
"""Labels are made up: how fast a network learns does not depend on what it learns."""


def bench_train(
    settings: BenchTrainSettings | None = None, /, *, progress: Progress | None = None, **values: Any
) -> BenchResult:
    """Measure the training of a slide network on the maps of a store, and what its parts could do alone.

    Crops are drawn without learning, the network learns from one batch in memory again and again, and then
    it is trained as ever, on made-up labels of two classes; each for about ``seconds``. The floor is the
    network alone.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``store="store"``.

    Raises:
        SettingsError: A setting is wrong, or the aggregator's heads are fitted without steps.
        StoreError: The store has fewer than four maps, or a map is damaged.
    """
    resolved = resolve(BenchTrainSettings, settings, values)
    listener = heard(progress)
    bench = _Bench(resolved, listener)
    cores = usable_cores()
    listener.stage("bench", 3)
    with Footprint() as footprint, deterministic():
        feeding = bench.feed_alone()
        listener.advance(1, "crops alone")
        rates = {name: bench.learn_alone(name) for name in (resolved.precision, *get_args(Precision))}
        listener.advance(1, "network alone")
        learned = bench.learn()
        listener.advance(1, "trained")
    floor = rates[resolved.precision].per_second
    of_floor = learned.steps.per_second / floor
    pace, advice = _told(learned, of_floor, resolved.precision, rates)
    stages = (
        StageFigure(
            name="crops",
            per_second=feeding.per_second,
            share=learned.waited,
            how=f"{feeding.count} batches drawn without learning, in {feeding.seconds:.1f} s; the share is "
            "that of waiting for them",
        ),
        StageFigure(
            name="network",
            per_second=floor,
            share=learned.of_time / floor * learned.steps.per_second,
            how=f"{rates[resolved.precision].count} steps on one batch in memory",
        ),
        StageFigure(
            name="validation",
            per_second=None,
            share=1 - learned.of_time,
            how="between the steps: validation after every epoch, statistics of the layers",
        ),
    )
    return BenchResult(
        what="train",
        subject=str(resolved.store),
        encoder=resolved.aggregator,
        unit="steps",
        device=bench.fabric(resolved.precision).device.type,
        precision=resolved.precision,
        cores=cores,
        seconds=resolved.seconds,
        stages=stages,
        achieved=learned.steps.per_second,
        floor=floor,
        of_floor=of_floor,
        start_s=bench.read_s,
        peak_bytes=footprint.peak_bytes,
        other_cores=round(footprint.other_cores, 2),
        pace=pace,
        advice=(*advice, *told_others(footprint.other_cores, cores)),
    )


def _told(
    learned: _Learned, of_floor: float, precision: str, rates: dict[str, Rate]
) -> tuple[str, list[str]]:
    """What sets the pace, and what would help."""
    if learned.of_time < FAR_BELOW:
        return f"validation takes {1 - learned.of_time:.0%} of the time", [
            "fewer --test-crops; with more patients an epoch has more steps for each validation"
        ]
    if learned.waited > 1 - FAR_BELOW:
        return f"crops set the pace: the network waits for them {learned.waited:.0%} of the time", [
            "smaller --crop-cells, more memory where the maps do not fit, a local disk"
        ]
    share = f"its arithmetic alone would do {1 / of_floor:.2f} times as many steps"
    return f"the network sets the pace: {share}", told_precision(precision, rates)


class _Learned:
    """What a training of some seconds did.

    Attributes:
        steps: Steps and the time within epochs, from one step's start to the next one's.
        waited: Share of that time in which the network waited for crops.
        of_time: Share of all time, validation included, that the steps took.
    """

    def __init__(self, steps: Rate, waited: float, of_time: float) -> None:
        self.steps, self.waited, self.of_time = steps, waited, of_time


class _Bench:
    """Maps, patients and networks for the three measurements."""

    def __init__(self, settings: BenchTrainSettings, progress: Progress) -> None:
        self.settings = settings
        pick_device(settings.device)
        store = Store.open(settings.store)
        if store.parts:
            found = f"It is a folder of {len(store.parts)} stores: {', '.join(store.parts)}."
            raise StoreError(f"Measure training on {settings.store}.", found, "Give one of them.")
        slide_ids = store.slide_ids[: settings.slides]
        if len(slide_ids) < LEAST_SLIDES:
            raise StoreError(
                f"Measure training on {settings.store}.",
                f"It has {len(slide_ids)} maps.",
                f"Give a store of at least {LEAST_SLIDES}.",
            )
        patients = tuple(
            Patient(slide_id, (slide_id,), targets={TASK.name: number % 2})
            for number, slide_id in enumerate(slide_ids)
        )
        self.cohort = Cohort((TASK,), patients)
        began = time.perf_counter()
        self.maps = Maps({slide_id: store.map(slide_id) for slide_id in slide_ids}, progress)
        self.read_s = time.perf_counter() - began
        apart = max(2, len(patients) // 4)
        self.validation, self.train = patients[:apart], patients[apart:]
        if len(self.train) < 2:
            self.train = patients
        self.as_train = TrainSettings(
            store=settings.store,
            labels=Path("made-up"),
            target=(TASK.name,),
            out=Path("nowhere"),
            aggregator=settings.aggregator,
            crop_cells=settings.crop_cells,
        )
        self.crop_cells = choose_crop(self.as_train, self.maps)
        self.tile_heads = find_tile_heads(store) if wants_tile_heads(settings.aggregator) else None

    def fabric(self, precision: str) -> Fabric:
        """Device and arithmetic."""
        return make_fabric(self.settings.device, precision=precision)

    def model(self) -> SlideModel:
        """An untrained network that knows the scale of the codes."""
        torch.manual_seed(0)
        model = build_model(
            self.settings.aggregator,
            code_size=self.maps.code_size,
            crop_cells=self.crop_cells,
            tasks=(TASK,),
            tile_heads=self.tile_heads,
        )
        if model.is_linear:
            raise SettingsError(
                f"Measure the training of {self.settings.aggregator!r}.",
                "Its heads are fitted at once, without steps.",
                "Give an --aggregator that learns, such as convnet.",
            )
        mean, std = self.maps.code_scale([patient.patient_id for patient in self.train])
        model.scale.set(torch.from_numpy(mean), torch.from_numpy(std))
        half = torch.tensor([0.5, 0.5])
        model.heads[TASK.name].set_shares(half, half)
        return model

    def data(self, model: SlideModel, seconds: float | None = None) -> _WatchedData:
        """What the network learns from; it breaks off after some seconds of steps."""
        targets = {TASK.name: self.cohort.targets(TASK, self.train)}
        draws = BalancedDraws((TASK,), targets, max(2, min(self.settings.batch, len(self.train))))
        return _WatchedData(
            self.cohort,
            self.train,
            self.validation,
            maps=self.maps,
            model=model,
            draws=draws,
            crop_cells=self.crop_cells,
            keys=(0,),
            test_crops=self.as_train.test_crops,
            seconds=seconds,
        )

    def training(self, model: SlideModel, data: SlideTrainingData, precision: str) -> Training:
        """The loop that trains."""
        rate = first_rate(self.settings.aggregator, None)
        schedule = Schedule(rate, 1_000_000, patience=1_000_000, weight_decay=self.as_train.weight_decay)
        return Training(
            model, data, schedule, fabric=self.fabric(precision), keys=(0,), name="the bench", checkpoint=None
        )

    def feed_alone(self) -> Rate:
        """Batches a second when nobody learns from them."""
        data = self.data(self.model())

        def drawn() -> Iterator[int]:
            epoch = 0
            while True:
                epoch += 1
                with closing(data.batches(epoch, 0, 1)) as batches:  # type: ignore[type-var]
                    for _ in batches:
                        yield 1

        steps = drawn()
        try:
            return rate_of(steps, self.settings.seconds)
        finally:
            steps.close()  # type: ignore[attr-defined]

    def learn_alone(self, precision: str) -> Rate:
        """Steps a second on one batch in memory."""
        model = self.model()
        data = self.data(model)
        training = self.training(model, data, precision)
        with closing(data.batches(1, 0, 1)) as batches:  # type: ignore[type-var]
            inputs, targets = next(batches)
        if isinstance(inputs, Chunks):
            raise TypeError("a batch of two classes is never in pieces")
        fabric = training.fabric
        fixed = tuple(fabric.to_device(part) for part in inputs)
        wanted = fabric.to_device(targets)
        training.network.train()

        def step() -> int:
            loss = data.loss(training.wrapped(*fixed), wanted)
            training.optimizer.zero_grad()
            fabric.backward(loss)
            training.optimizer.step()
            float(loss.detach())
            return 1

        return repeated(step, self.settings.seconds)

    def learn(self) -> _Learned:
        """Train as ever, for some seconds of steps."""
        model = self.model()
        data = self.data(model, self.settings.seconds)
        training = self.training(model, data, self.settings.precision)
        began = time.perf_counter()
        try:
            training.run(Silent())
        except _Enough:
            whole = time.perf_counter() - began
        else:
            raise RuntimeError("the training ended before its time")
        steps, seconds = data.steps_and_seconds()
        waited = training.waited_s / max(training.waited_s + training.worked_s, 1e-9)
        return _Learned(Rate(steps, seconds), waited, min(1.0, data.in_epochs() / whole))


class _Enough(Exception):
    """The time that was asked for is over."""


class _WatchedData(SlideTrainingData):
    """The data of a training, that notes when each of its steps is asked for."""

    def __init__(self, *given: Any, seconds: float | None, **more: Any) -> None:
        super().__init__(*given, **more)
        self._seconds = seconds
        self._epochs: list[list[float]] = []

    def batches(self, epoch: int, rank: int, world: int) -> Iterator[tuple[Inputs | Chunks, Targets]]:
        """The batches, each noted when it is handed over; those that only measure are not."""
        if self._seconds is None or not self.model.training:
            yield from super().batches(epoch, rank, world)
            return
        marks = [time.perf_counter()]
        self._epochs.append(marks)
        with closing(super().batches(epoch, rank, world)) as batches:  # type: ignore[type-var]
            for batch in batches:
                yield batch
                # The loop asks again: the step is done.
                marks.append(time.perf_counter())
                counted, seconds = self.steps_and_seconds()
                if counted > WARM_UP and seconds >= self._seconds:
                    raise _Enough

    def in_epochs(self) -> float:
        """Seconds within the epochs' steps."""
        return sum(marks[-1] - marks[0] for marks in self._epochs)

    def steps_and_seconds(self) -> tuple[int, float]:
        """Steps, and the time that they took with the waiting for their crops; not the very first ones."""
        spans = [later - earlier for marks in self._epochs for earlier, later in pairwise(marks)]
        spans = spans[WARM_UP:] or spans
        return len(spans), float(np.sum(spans)) if spans else 0.0
