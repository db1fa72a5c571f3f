"""Tiles to a trained encoder: the first step of Neural Image Compression."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
import torch
from torch import nn

from histonic.core.claims import sole_owner
from histonic.core.errors import EncoderError, HistonicError, SettingsError
from histonic.core.progress import Listener, Progress, Silent, heard, say_detail
from histonic.core.settings import StainNormalisation, resolve
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec, encoder_spec
from histonic.encoders.networks.lite import LiteAppearanceNetwork
from histonic.encoders.networks.nic_appearance import NicAppearanceNetwork
from histonic.encoders.objectives.multitask import MultitaskObjective
from histonic.nn.augmentation.augment import AUGMENT_LEVELS
from histonic.nn.checkpoint import load_state, save_state
from histonic.nn.heads import Heads
from histonic.nn.norms import refit_norms
from histonic.nn.pixels import unit_pixels
from histonic.runs.files import clear_leftovers
from histonic.stages.compress.stains import settled_stain
from histonic.stages.encoder import run_files as encoder_run
from histonic.stages.encoder.components import measure_projection, require_tiles
from histonic.stages.encoder.frozen import (
    FrozenModule,
    adopt_frozen,
    feature_sets,
    fitted_projection,
    load_frozen,
)
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.recipes import (
    RECIPES,
    build_objective,
    build_schedule,
    build_spec,
    build_trunk,
    encoder_class,
)
from histonic.stages.encoder.results import write_results
from histonic.stages.encoder.settings import COMPONENTS, TrainEncoderKeywords, TrainEncoderSettings
from histonic.stages.encoder.training_data import (
    TileTrainingData,
    TrainingModule,
    pair_facts,
    pair_words,
)
from histonic.stages.encoder.trunk_weights import load_weights
from histonic.training.devices import deterministic, make_fabric, run_on
from histonic.training.loop import Training
from histonic.training.ranks import led
from histonic.training.seeds import torch_seed

if TYPE_CHECKING:
    from lightning_fabric import Fabric

NORM_BATCHES = 20
"""Mixed batches to which given batch normalisation (Mormont et al. 2020) or statistics are fitted."""
SAME_AGAIN = "Give the same settings again, or choose another --out."
PICTURED = 12
"""Tiles in the picture of what the method learned."""


@dataclass(frozen=True)
class EncoderPlan:
    """A training, ready to be done in this process or another one.

    Attributes:
        settings: Resolved settings.
        spec: What the encoder will expect and give.
    """

    settings: TrainEncoderSettings
    spec: EncoderSpec

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished training."""
        return self.settings.out / "checkpoints" / "training.safetensors"

    @property
    def trained(self) -> Path:
        """State of the finished training."""
        return self.settings.out / "checkpoints" / "trained.safetensors"


def train_encoder(
    settings: TrainEncoderSettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[TrainEncoderKeywords],
) -> Path:
    """Train a tile encoder on tile sets, and write it with a model card.

    An interrupted run goes on with the same command and ends with the same weights as an undisturbed one
    on the same machine; a finished run is left as it is.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``objective="multitask"``, ``sets=[...]``, ``out="encoder"``.

    Returns:
        The run's folder: ``encoder.safetensors``, ``model_card.md``, ``settings.yaml``, ``run.json``,
        ``history.csv``, ``failures.json``; ``curves.png`` unless nothing is trained (by components);
        ``heads.safetensors`` of a multitask encoder; ``picture.png`` of what an unsupervised one learned.

    Raises:
        SettingsError: A setting is wrong, or a device does not exist.
        TileSetError: A tile set cannot be used; names set, file or class.
        EncoderError: Trunk or given weights do not fit.
        TrainingError: The folder holds another run, or a loss is no longer finite.
        RunError: Another process trains into the folder.
        OutputError: The run cannot be written.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> rng = np.random.default_rng(0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name, base in (("pale", 200), ("dark", 60)):
        ...         Path(folder, "set", name).mkdir(parents=True)
        ...         for number in range(20):
        ...             pixels = rng.integers(base, base + 40, (64, 64, 3)).astype(np.uint8)
        ...             Image.fromarray(pixels).save(f"{folder}/set/{name}/{number}.png")
        ...     run = train_encoder(
        ...         sets=[{"name": "tint", "path": f"{folder}/set", "mpp": 1.0}], out=f"{folder}/run",
        ...         tile_px=64, mpp=1.0, code_size=8, batch=8, steps=2, max_epochs=1, device="cpu",
        ...     )
        ...     sorted(path.name for path in run.iterdir())[:3]
        ['curves.png', 'encoder.safetensors', 'failures.json']
    """
    resolved = encoder_run.with_precision(resolve(TrainEncoderSettings, settings, values))
    listener = heard(progress)
    return led(
        resolved.devices,
        lambda devices: make_fabric(resolved.device, devices, resolved.precision),
        lambda devices: _train_encoder(resolved.model_copy(update={"devices": devices}), listener),
        lambda: resolved.out,
    )


def _train_encoder(resolved: TrainEncoderSettings, listener: Listener) -> Path:
    """The training of the process that leads."""
    if resolved.augment not in AUGMENT_LEVELS:
        raise SettingsError(
            f"Augment tiles as {resolved.augment!r}.",
            "There is no such level.",
            f"Use one of {', '.join(AUGMENT_LEVELS)}.",
        )
    if resolved.is_behind_frozen and resolved.random_crop > 1:
        raise SettingsError(
            "Train a projection behind a frozen encoder with random_crop.",
            "Its codes are computed once, of the centres of the tiles.",
            "Leave one of them out.",
        )
    usual = {name: TrainEncoderSettings.model_fields[name].default for name in ("hidden", "views")}
    behind = [name for name, value in usual.items() if getattr(resolved, name) != value]
    if behind and not resolved.is_behind_frozen:
        raise SettingsError(
            f"Train an encoder with {', '.join(behind)}.",
            "That is of a projection behind a frozen encoder, and --freeze-trunk is not given.",
            "Give --freeze-trunk, or leave it out.",
        )
    asked = resolved.stain
    if resolved.is_behind_frozen:
        resolved, spec = adopt_frozen(resolved)
        stain = settled_stain(asked, spec)
        if spec.stain is None and stain.normalisation is not None:
            raise SettingsError(
                f"Train a projection behind {spec.name!r} with stains by {stain.normalisation.words}.",
                "The frozen encoder was trained on stains as they are.",
                "Leave out --stain.",
            )
        resolved = resolved.model_copy(update={"stain": stain})
    else:
        stain = settled_stain(asked, replace(build_spec(resolved), stain=_stain_of_weights(resolved)))
        resolved = resolved.model_copy(update={"stain": stain})
        spec = build_spec(resolved)
        # Built once to be refused now rather than after hours of training.
        encoder_class(spec).build(spec)
    if _is_finished(resolved, listener):
        return resolved.out
    plan = EncoderPlan(resolved, spec)
    fabric = make_fabric(resolved.device, resolved.devices, resolved.precision)
    say_detail(
        listener,
        f"{spec.name}: {spec.architecture}, tiles of {spec.tile_px} px at {spec.mpp:g}"
        f" µm/px to {spec.code_size} "
        f"numbers; {resolved.devices} x {fabric.device.type}, precision {resolved.precision}",
    )
    is_new = not resolved.out.exists()
    with sole_owner(resolved.out, f"Train an encoder into {resolved.out}."):
        # Looked at again: another process may have finished it just now.
        if _is_finished(resolved, listener):
            return resolved.out
        try:
            sets = _sets(plan, listener)
            if resolved.objective == COMPONENTS:
                require_tiles(resolved, sets)
        except HistonicError:
            if is_new:
                shutil.rmtree(resolved.out / "cache", ignore_errors=True)
            raise
        frozen = load_frozen(resolved).fingerprint if resolved.is_behind_frozen else ""
        encoder_run.write_begin(resolved, sets, frozen)
        if not plan.trained.is_file():
            # Behind a frozen encoder once, before several devices look for them.
            features = feature_sets(resolved, sets, listener) if resolved.is_behind_frozen else []
            if resolved.objective == COMPONENTS:
                save_state(plan.trained, measure_projection(spec, features))
            else:
                run_on(fabric, resolved.devices, _train, plan, listener)
        holds = ("trunk", "heads", "history", "best_epoch", "picture")
        write_results(resolved, spec, sets, load_state(plan.trained, holds=holds))
    return resolved.out


def _stain_of_weights(settings: TrainEncoderSettings) -> StainNormalisation | None:
    """What the tiles of the weights to begin with were normalised to; None of weights that are no encoder."""
    if settings.weights is None:
        return None
    try:
        return encoder_spec(settings.weights).stain
    except (EncoderError, SettingsError):
        return None  # bare weights of a trunk


def _is_finished(settings: TrainEncoderSettings, progress: Progress) -> bool:
    """Whether the run is finished; a run of other settings is refused."""
    encoder_run.require_same(settings, SAME_AGAIN)
    finished = (settings.out / "run.json").is_file()
    if finished:
        progress.say(f"{settings.out} is finished already")
        clear_leftovers(settings.out, "cache")
    return finished


def _sets(plan: EncoderPlan, progress: Progress) -> list[TileSet]:
    """The tile sets, from their files or from the cache.

    Raises:
        SettingsError: There is none, or none with labels where labels are needed.
    """
    sets = read_inputs(plan.settings, progress)
    recipe = RECIPES.get(plan.settings.objective)
    needs_labels = recipe is not None and recipe.needs_labels
    if not sets or (needs_labels and not all(each.tasks for each in sets)):
        bare = [each.plan.name for each in sets if not each.tasks]
        raise SettingsError(
            f"Train an encoder by {plan.settings.objective}.",
            f"{', '.join(bare)} has no labels." if bare else "No tile set was given.",
            "List tile sets under 'sets:' in the YAML file, or give --tiles"
            + ("." if needs_labels else " or --slides."),
        )
    return sets


def _train(fabric: Fabric, plan: EncoderPlan, progress: Progress) -> None:
    """The training of one process; the first leaves the result in ``plan.trained``."""
    settings = plan.settings
    sets = _sets(plan, Silent())
    keys = (settings.seed, 7)
    torch.manual_seed(torch_seed(*keys))
    trunk: nn.Module
    if settings.is_behind_frozen:
        sets = feature_sets(settings, sets)
        trunk, working_px = fitted_projection(plan.spec, sets), 0
    else:
        trunk, working_px = build_trunk(plan.spec)
        if settings.weights is not None:
            load_weights(trunk, plan.spec, settings.weights)
    tasks = [task for each in sets for task in each.tasks]
    objective = build_objective(settings, trunk, tasks, working_px)
    if isinstance(objective, MultitaskObjective):
        tell_heads(objective.heads, sets, settings.multitask.balance)
    if settings.is_behind_frozen:
        module: TrainingModule = FrozenModule(objective)
    else:
        module = TrainingModule(objective, AUGMENT_LEVELS[settings.augment], working_px)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = TileTrainingData(
        sets,
        module,
        batch=settings.batch,
        steps=settings.steps,
        keys=keys,
        balance=settings.multitask.balance,
        warmup_epochs=settings.multitask.warmup_epochs,
        head_rate=settings.multitask.head_rate,
    )
    if settings.multitask.norm_fix and settings.weights is not None and not settings.is_behind_frozen:
        refit_norms(trunk, _plain_batches(module, data))
    if isinstance(trunk, NicAppearanceNetwork):
        trunk.fit_appearance(_plain_batches(module, data))
    if isinstance(trunk, LiteAppearanceNetwork):
        trunk.eval().fit(_plain_batches(module, data))
    if objective.shows == "pair":
        for each in sets:
            progress.say(pair_words(each.plan.name, pair_facts(each)))
    schedule = build_schedule(settings, objective)
    progress.stage(f"training by {settings.objective}", schedule.max_epochs)
    with deterministic():
        training = Training(
            module,
            data,
            schedule,
            fabric=fabric,
            keys=keys,
            name=plan.spec.name,
            checkpoint=plan.checkpoint,
        )
        state = training.run(progress)
    if not fabric.is_global_zero:
        return
    spent = training.waited_s + training.worked_s
    if spent:
        shown = settings.steps * settings.batch * sum(record.epoch > 0 for record in training.state.history)
        progress.say(
            f"{shown / spent:.0f} tiles/s while learning; "
            f"waited for data {training.waited_s / spent:.1%} of the time"
        )
    picture = objective.picture(*_pictured(data, module, fabric))
    save_state(
        plan.trained,
        {
            "trunk": {name: value.cpu() for name, value in trunk.state_dict().items()},
            "heads": objective.heads.state_dict() if isinstance(objective, MultitaskObjective) else {},
            "history": state.to_dict()["history"],
            "best_epoch": state.best_epoch,
            "picture": None if picture is None else picture.float().cpu().contiguous(),
        },
    )


def tell_heads(heads: Heads, sets: Sequence[TileSet], balance: bool) -> None:
    """Tell each head the class shares, or mean and standard deviation, of its set's training tiles."""
    for each in sets:
        rows = each.rows("train")
        for number, task in enumerate(each.tasks):
            values = each.targets[task.name][rows]
            values = values[~np.isnan(values)]
            if not task.is_classification:
                heads[task.name].set_scale(float(values.mean()), float(values.std()))
                continue
            shares = torch.from_numpy(
                np.bincount(values.astype(int), minlength=len(task.classes)).astype(float)
            )
            equal = torch.full_like(shares, 1.0)
            heads[task.name].set_shares(shares, equal if balance and number == 0 else shares)


def _plain_batches(module: TrainingModule, data: TileTrainingData) -> Iterator[torch.Tensor]:
    """Mixed batches of training tiles, not augmented, as the trunk takes them."""
    with closing(data.batches(0, 0, 1)) as batches:  # type: ignore[type-var]
        for inputs, _ in islice(batches, NORM_BATCHES):
            yield unit_pixels(inputs[1], module.working_px).mul(2).sub(1)


def _pictured(data: TileTrainingData, module: TrainingModule, fabric: Fabric) -> list[torch.Tensor]:
    """Some validation tiles, prepared as the objective is shown them."""
    module.eval()
    rows = data.validation_rows[:PICTURED]
    generator = torch.Generator(fabric.device).manual_seed(0)
    tiles = fabric.to_device(data.tiles(rows))
    both = (tiles,) if module.objective.shows == "tile" else (tiles, tiles)
    return [module.prepared(part, generator) for part in both]
