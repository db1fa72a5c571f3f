"""What a cross-validation trains: every network with its fold and settings, and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from histonic.aggregators.base import is_fitted
from histonic.core.cohort import Cohort, Fold
from histonic.core.compressed import PatientPart
from histonic.core.progress import Progress
from histonic.data.maps.fusion import Fusion, fuse_cohort, maps_of
from histonic.data.maps.memory import Maps
from histonic.data.maps.remote.mirror import local_folder
from histonic.data.maps.store import Store
from histonic.models.trained import network_name
from histonic.nn.heads import Heads
from histonic.runs.documents import Made
from histonic.stages.train.search import TrialLosses, best_choice, search_choices
from histonic.stages.train.settings import TrainSettings
from histonic.stages.train.splitting.folds import inner_folds
from histonic.training.seeds import torch_seed


@dataclass(frozen=True)
class Network:
    """One network of a run: its place in the cross-validation, and its settings.

    Attributes:
        fold: Whose patients it learns from and is validated on.
        settings: Its own; those that are searched may differ from network to network.
        initialisation: Which of the fold's networks it is.
        trial: Numbers of the combination that it tries and of the inner fold; None for a network to be kept.
        twin: The trial that was trained on the same patients by the same seed, and so is this very network.
    """

    fold: Fold
    settings: TrainSettings
    initialisation: int = 0
    trial: tuple[int, int] | None = None
    twin: Network | None = None

    @property
    def name(self) -> str:
        """Its name in file names and weights."""
        name = network_name(self.fold.repeat, self.fold.number, self.initialisation)
        return name if self.trial is None else f"{name}-trial-{self.trial[0]}-{self.trial[1]}"


@dataclass(frozen=True)
class Plan:
    """Everything that decides how the networks turn out; picklable.

    Attributes:
        settings: Of the training.
        cohort: The patients, with their slides as the store names them.
        made: How the split was made.
        folds: Of all repeats, the patients as :mod:`histonic.data.maps.fusion` lets the networks see them.
        checkpoints: Folder of the networks.
        tile_heads: What the encoder says of a tile, for an aggregator that wants to know.
        parts: Of the patients, where the store holds several.
    """

    settings: TrainSettings
    cohort: Cohort
    made: Made
    folds: tuple[Fold, ...]
    checkpoints: Path
    tile_heads: Heads | None = None
    parts: tuple[PatientPart, ...] = ()

    @property
    def fusion(self) -> Fusion:
        """How several slides of a patient come together."""
        return "parts" if self.parts else self.settings.fusion

    def all_trials(self) -> list[Network]:
        """The trials of all folds."""
        found = [self.trials(fold) for fold in self.folds]
        return [network for trials in found for each in trials.values() for network in each]

    def trials(self, fold: Fold) -> dict[int, list[Network]]:
        """The networks by which a fold's settings are chosen: per combination one for each inner fold."""
        if not self.settings.search:
            return {}
        seed = torch_seed(self.settings.seed, fold.repeat, fold.number) % 2**32
        cohort = fuse_cohort(self.cohort, self.fusion)
        inner = inner_folds(cohort, fold, self.settings.search_folds, self.made, seed)
        return {
            # The inner fold takes the outer one's number, so that both are known by it.
            number: [
                Network(replace(each, number=fold.number), settings, trial=(number, each.number))
                for each in inner
            ]
            for number, settings in enumerate(search_choices(self.settings))
        }

    def all_networks(self, losses: TrialLosses) -> list[Network]:
        """The networks of all folds that are kept, with the settings that their trials have chosen.

        Args:
            losses: Of all trials.
        """
        return [network for fold in self.folds for network in self._networks(fold, losses)]

    def _networks(self, fold: Fold, losses: TrialLosses) -> list[Network]:
        settings, twin = self.settings, None
        if settings.search:
            number = best_choice(losses[fold.repeat, fold.number])
            settings = search_choices(settings)[number]
            if settings.search_folds == 1:
                (twin,) = self.trials(fold)[number]
        # Without chance in it, a second network would be the first.
        count = 1 if is_fitted(settings.aggregator) else settings.initialisations
        return [Network(fold, settings, each, twin=None if each else twin) for each in range(count)]

    def path(self, network: Network) -> Path:
        """Where a network lies, unfinished or finished."""
        return self.checkpoints / f"{network.name}.safetensors"

    @property
    def sees_all(self) -> bool:
        """Whether every step needs all training patients, for the complete risk sets of Cox."""
        return self.settings.risk_sets == "cohort" and any(
            task.kind == "survival" and not task.intervals for task in self.cohort.tasks
        )

    @property
    def epochs(self) -> int:
        """Epochs of all networks and trials, at most."""
        trials = (
            len(search_choices(self.settings)) * self.settings.search_folds if self.settings.search else 0
        )
        each = trials + self.settings.initialisations
        return len(self.folds) * each * self.settings.max_epochs

    def read_maps(self, progress: Progress, shared: bool = False) -> Maps:
        """The maps of all patients.

        Args:
            progress: Told of every map that is read.
            shared: Whether several processes will use them.

        Raises:
            StoreError: A map is damaged or holds bad numbers.
        """
        # What lies elsewhere was fetched before; processes beside this one ask for nothing.
        store = Store.open(local_folder(self.settings.store))
        maps = maps_of(self.cohort.patients, self.fusion, store.map, self.parts)
        return Maps(maps, progress, shared=shared)

    def spoken(self, network: Network) -> str:
        """What messages call a network."""
        fold = network.fold
        name = f"fold {fold.number + 1} of {len({each.number for each in self.folds})}"
        if self.settings.repeats > 1:
            name = f"repeat {fold.repeat + 1} of {self.settings.repeats}, {name}"
        if network.trial is not None:
            number, inner = network.trial
            name += f", trial {number + 1} of {len(search_choices(self.settings))}"
            if self.settings.search_folds > 1:
                name += f" (inner fold {inner + 1} of {self.settings.search_folds})"
        elif network.settings.initialisations > 1:
            name += f", network {network.initialisation + 1} of {network.settings.initialisations}"
        return name
