"""Networks as pieces of a job, for processes beside this one or the workers of a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from histonic.aggregators.base import wants_tile_heads
from histonic.core.claims import Claims
from histonic.core.errors import ExecutorError, SettingsError
from histonic.core.progress import Forwarding, Listener, Progress, Silent
from histonic.data.maps.memory import Maps
from histonic.data.maps.remote.opening import fetch_maps
from histonic.stages.train.cohort import FoundCohort, cohort_of
from histonic.stages.train.networks import read_losses, train_networks
from histonic.stages.train.own_encoder import find_tile_heads
from histonic.stages.train.plan import Network, Plan
from histonic.stages.train.search import search_choices
from histonic.stages.train.settings import TrainSettings
from histonic.training.devices import make_fabric
from histonic.training.executors.base import Executor, Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.sending import paths_of, sendable

if TYPE_CHECKING:
    from lightning_fabric import Fabric

WAIT_S = 1.0


def plan_of(found: FoundCohort, listener: Progress) -> Plan:
    """What is trained of the patients that were found.

    Raises:
        EncoderError: The aggregator looks at tiles by the encoder's heads, and there are none.
    """
    settings = found.settings
    wanted = any(wants_tile_heads(choice.aggregator) for choice in search_choices(settings))
    return Plan(
        settings,
        found.cohort,
        found.made,
        found.folds,
        settings.out / "checkpoints",
        find_tile_heads(found.store, listener) if wanted else None,
        found.store.patient_parts,
    )


def require_sendable(settings: TrainSettings) -> None:
    """Refuse what a cluster cannot be asked for, before any work.

    Raises:
        SettingsError: Processes of this machine are asked for as well, or a table is in memory only.
    """
    if settings.cluster is None:
        return
    asked = f"Train on the cluster {settings.cluster}."
    for name in ("workers", "devices"):
        if (count := getattr(settings, name)) > 1:
            raise SettingsError(
                asked,
                f"--{name} {count} is asked for as well, which are processes of this machine.",
                f"Leave out --{name}: every worker of the cluster trains one network at a time.",
            )
    sendable(settings, asked)


class PieceName(NamedTuple):
    """A network by its name, as every process can find it in the plan."""

    name: str
    is_trial: bool
    spoken: str


def open_networks(plan: Plan, maps: Maps | None, progress: Progress) -> Executor[PieceName, None]:
    """Who trains the networks of a plan: the cluster that its settings name, or processes of this machine.

    Args:
        plan: Of the training.
        maps: In memory that processes of this machine share; None: they read for themselves.
        progress: Hears of all networks.

    Raises:
        SettingsError: There is no such cluster.
        ExecutorError: Nobody answers, or a worker cannot do the work.
    """
    settings = plan.settings
    if settings.cluster is None:
        given = _Given(settings, plan, maps)
    else:
        given = _Given(sendable(settings, f"Train on the cluster {settings.cluster}."))
    job = Job(f"Train into {settings.out}.", partial(_prepare, given), _train, _spoken)
    return open_executor(
        job,
        progress,
        cluster=settings.cluster,
        device=settings.device,
        workers=settings.workers,
        reads=paths_of(given.settings, "store", "labels", "splits", "slide_table"),
        writes=plan.checkpoints,
    )


def train_pieces(executor: Executor[PieceName, None], networks: Sequence[Network], plan: Plan) -> None:
    """Train networks side by side; each is left in its file.

    Raises:
        TrainingError: A loss is no longer finite.
        ExecutorError: Processes or workers were lost.
    """
    pieces = (PieceName(each.name, each.trial is not None, plan.spoken(each)) for each in networks)
    for _ in executor.results(pieces):
        pass


def _spoken(piece: PieceName) -> str:
    return piece.spoken


@dataclass(frozen=True)
class _Given:
    """What a process is told of a training: all of it, or only where it lies."""

    settings: TrainSettings
    plan: Plan | None = None
    maps: Maps | None = None


@dataclass
class _Bench:
    """What all networks need, in a process that trains some."""

    fabric: Fabric
    plan: Plan
    maps: Maps
    networks: dict[str, Network] = field(default_factory=dict)

    def network(self, piece: PieceName) -> Network:
        """The network of that name; those to be kept are known when all trials are finished."""
        if piece.name not in self.networks:
            plan = self.plan
            found = plan.all_trials() if piece.is_trial else plan.all_networks(read_losses(plan))
            self.networks.update({each.name: each for each in found})
        return self.networks[piece.name]


@contextmanager
def _prepare(given: _Given, device: str) -> Iterator[_Bench]:
    plan = given.plan or _plan_here(given.settings)
    fabric = make_fabric(device, precision=given.settings.precision)
    yield _Bench(fabric, plan, given.maps or plan.read_maps(Silent()))


def _plan_here(settings: TrainSettings) -> Plan:
    """The plan as a worker finds it, with copies of the maps where the store is a remote one."""
    found = cohort_of(settings)
    fetch_maps(found.store, [slide for patient in found.cohort.patients for slide in patient.slide_ids])
    return plan_of(found, Silent())


def _train(bench: _Bench, piece: PieceName, listener: Listener) -> None:
    """Train one network, unless another process is at it: a worker that is thought lost may still live."""
    plan = bench.plan
    with Claims(plan.checkpoints) as claims:
        while not claims.take(piece.name):
            listener.doing(f"{piece.spoken}: waits for {claims.holder(piece.name) or 'another process'}")
            time.sleep(WAIT_S)
        guarded = _Guarded(listener, claims, piece)
        train_networks(bench.fabric, (plan, [bench.network(piece)], bench.maps), guarded)


class _Guarded(Forwarding):
    """Ends a training whose claim another process has taken over, because this one was silent for long."""

    is_vital: ClassVar[bool] = True

    def __init__(self, listener: Listener, claims: Claims, piece: PieceName) -> None:
        self._listener, self._claims, self._piece = listener, claims, piece

    def pass_on(self, name: str, *words: Any) -> None:
        if name == "advance" and not self._claims.holds(self._piece.name):
            raise ExecutorError(
                f"Train {self._piece.spoken}.",
                "This process was silent for so long that another one does it now.",
                "Nothing is to be done.",
            )
        getattr(self._listener, name)(*words)
