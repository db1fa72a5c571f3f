"""What the training of an encoder leaves on the disk: settings, curves, pictures, heads, model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image
from pydantic import ValidationError

from histonic.core.errors import SettingsError
from histonic.core.files import csv_text, replacing_file, write_json, write_text
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import Encoder, describe
from histonic.encoders.engines.machine import is_half_fast
from histonic.metrics.discrimination.variance import VarianceShares
from histonic.nn.components import MOST_DEVIATIONS
from histonic.runs.files import require_same_origin, require_same_settings, settings_text, versions
from histonic.runs.run import read_kept_settings
from histonic.stages.encoder.components import KEPT
from histonic.stages.encoder.settings import COMPONENTS, TrainEncoderSettings
from histonic.stages.encoder.training_data import pair_words
from histonic.training.devices import PRECISIONS, pick_device
from histonic.training.executors.sending import sendable

SETTINGS_APART = ("cache",)
"""Settings that change no number."""


def with_precision(settings: TrainEncoderSettings) -> TrainEncoderSettings:
    """The settings with ``auto`` made plain: as a run was begun, else bf16 where that is fast, else 32.

    Raises:
        RunError: The settings of a run that is there cannot be read.
    """
    if settings.precision != "auto":
        return settings
    if (settings.out / "settings.yaml").is_file():
        # A worker with a GPU may have trained what is looked at here without one.
        kept = read_kept_settings(settings.out).get("precision")
        if kept in PRECISIONS:
            return settings.model_copy(update={"precision": kept})
    fast = is_half_fast(pick_device(settings.device))
    return settings.model_copy(update={"precision": "bf16" if fast else "32"})


def saved_settings(settings: TrainEncoderSettings) -> dict[str, Any]:
    """The settings as they are kept beside the result."""
    return settings.model_dump(mode="json", exclude=set(SETTINGS_APART))


def require_same(settings: TrainEncoderSettings, todo: str) -> None:
    """Refuse a folder that holds a run with other settings; relative paths are the absolute ones meant.

    Args:
        settings: Of the training.
        todo: What the user can do about it.

    Raises:
        TrainingError: The settings differ; says which.
        RunError: The settings of the run cannot be read.
    """
    require_same_settings(settings.out, saved_settings(settings), todo, free=_written_otherwise(settings))


def _written_otherwise(settings: TrainEncoderSettings) -> list[str]:
    """Settings that are those kept, however their paths are written."""
    if not (settings.out / "settings.yaml").is_file():
        return []
    try:
        kept = TrainEncoderSettings.model_validate(read_kept_settings(settings.out))
        before, now = (saved_settings(sendable(each, "")) for each in (kept, settings))
    except (ValidationError, SettingsError):
        return []  # of another version, or in memory
    return [key for key, value in now.items() if before[key] == value]


def write_begin(settings: TrainEncoderSettings, sets: Sequence[TileSet], frozen: str = "") -> None:
    """Write what is known before training, or refuse to go on with changed tiles or packages.

    Args:
        settings: Of the training.
        sets: The tiles.
        frozen: Fingerprint of the encoder that stays as it is, if there is one.

    Raises:
        TrainingError: The run was begun with other tiles, versions or another frozen encoder.
    """
    out = settings.out
    write_text(out / "settings.yaml", settings_text(saved_settings(settings)))
    failures = [
        {"set": each.plan.name, "path": failure.path, "reason": failure.reason}
        for each in sets
        for failure in each.failures
    ]
    write_json(out / "failures.json", failures)
    origin = {"versions": versions(), "sets": {each.plan.name: each.fingerprint for each in sets}}
    if frozen:
        # The limit, too: a run begun without one is not to be finished with it.
        origin["frozen encoder"] = {"fingerprint": frozen, "most deviations": str(MOST_DEVIATIONS)}
    require_same_origin(out / "checkpoints" / "origin.json", origin)


def write_history(out: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write ``history.csv``: one row an epoch with all curves; epoch 0 is the untrained network."""
    names = list(history[0]["scores"])
    columns = ["epoch", "learning_rate", "train_loss", "validation_loss", *names]
    rows = []
    for record in history:
        first = [record["learning_rate"], record["train_loss"], record["validation_loss"]]
        values = [*first, *(record["scores"].get(name) for name in names)]
        rows.append([record["epoch"], *("" if value is None else f"{value:.9g}" for value in values)])
    write_text(out / "history.csv", csv_text(columns, rows))


def draw_training_curves(path: Path, history: Sequence[Mapping[str, Any]], best_epoch: int) -> None:
    """Draw training and validation loss, and every named curve, over epochs."""
    names = list(history[0]["scores"])
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        columns = min(3, 1 + len(names))
        rows = -(-(1 + len(names)) // columns)
        figure = Figure(figsize=(3.6 * columns, 2.6 * rows), layout="constrained")
        axes = np.ravel(figure.subplots(rows, columns))
        epochs = [record["epoch"] for record in history]
        trained = [record for record in history if record["train_loss"] is not None]
        axes[0].plot(
            [each["epoch"] for each in trained], [each["train_loss"] for each in trained], label="training"
        )
        axes[0].plot(epochs, [record["validation_loss"] for record in history], label="validation")
        axes[0].set_title("loss")
        axes[0].legend(frameon=False)
        for axis, name in zip(axes[1:], names, strict=False):
            axis.plot(epochs, [record["scores"][name] for record in history], color="C1")
            axis.set_title(name)
        for axis in axes[: 1 + len(names)]:
            axis.axvline(best_epoch, color="0.8", zorder=0)
            axis.set_xlabel("epoch")
        for axis in axes[1 + len(names) :]:
            axis.set_visible(False)
        with replacing_file(path) as partial:
            # Without the library's version in it, the same curves give the same bytes.
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def draw_tiles(path: Path, tiles: npt.NDArray[np.float32]) -> None:
    """Draw tiles ``(rows, columns, 3, H, W)`` of -1..1 side by side."""
    rows, columns, _, height, width = tiles.shape
    pixels = np.clip((tiles + 1) * 127.5, 0, 255).round().astype(np.uint8)
    page = pixels.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, 3)
    with replacing_file(path) as partial:
        Image.fromarray(page).save(partial, format="png")


def run_facts(
    settings: TrainEncoderSettings,
    encoder: Encoder,
    sets: Sequence[TileSet],
    state: Mapping[str, Any],
    shares: Mapping[str, VarianceShares],
) -> dict[str, Any]:
    """The content of ``run.json``; ``shares``: what codes of validation tiles vary with, by task."""
    best = next(record for record in state["history"] if record["epoch"] == state["best_epoch"])
    return {
        "versions": versions(),
        "encoder": describe(encoder).to_dict(),
        "objective": settings.objective,
        "seed": settings.seed,
        "precision": settings.precision,
        "tasks": [task.to_dict() for each in sets for task in each.tasks],
        "sets": [set_facts(each) for each in sets],
        "epochs": len(state["history"]) - 1,
        "best_epoch": state["best_epoch"],
        "validation": {"loss": best["validation_loss"], **best["scores"]},
        "codes_vary_with": {name: asdict(each) for name, each in shares.items()},
    }


def set_facts(each: TileSet) -> dict[str, Any]:
    """What is told of a tile set: counts, licence, resolution, notes."""
    plan = each.plan
    return {
        "name": plan.name,
        "tiles": {split: len(each.rows(split)) for split in ("train", "val", "test")},
        "groups": len({group for group in each.group if group}),
        "classes": {task.name: list(task.classes) for task in each.tasks},
        "mpp": plan.mpp,
        "assumed_mpp": plan.assumed_mpp,
        "scale": plan.scale,
        "licence": plan.licence,
        "skipped": len(each.failures),
        "notes": list(each.notes),
        "fingerprint": each.fingerprint,
    }


def _shares(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What codes vary with, as lines of the card."""
    if not found:
        return []
    lines = [
        "",
        "## What the codes vary with",
        "",
        "Of the variance of the codes of validation tiles, the share that goes with their class, and with"
        " the group they come from (patient, slide or site) among tiles of one class; adjusted, so that what"
        " means nothing has 0.",
        "",
        "| task | class | group | tiles, groups |",
        "| --- | --- | --- | --- |",
    ]
    for name, each in found.items():
        first, second = (
            "unknown" if each[part] is None else f"{each[part]:.0%}" for part in ("classes", "sources")
        )
        lines.append(f"| {name} | {first} | {second} | {each['tiles']}, {each['groups'] or 'unknown'} |")
    return lines


def write_card(
    path: Path,
    settings: TrainEncoderSettings,
    encoder: Encoder,
    facts: Mapping[str, Any],
) -> None:
    """Write the model card: what the encoder is, of what data and settings, and how it was validated."""
    spec = encoder.spec
    is_measured = settings.objective == COMPONENTS
    made = "measured" if is_measured else "trained"
    lines = [
        f"# {spec.name}",
        "",
        f"A tile encoder, {spec.architecture}, {made} by {settings.objective}; "
        f"histonic {versions()['histonic']}.",
        "",
        f"- Tiles of {spec.tile_px} px at {spec.mpp} µm/px to codes of {spec.code_size} numbers.",
        f"- Licence of the weights: {spec.licence}.",
        *([f"- {spec.provenance}; the file holds those weights, too."] if spec.projection else []),
        f"- Fingerprint: `{encoder.fingerprint}`.",
        "",
        "## Data",
        "",
        "| set | training / validation / test tiles | groups | classes | resolution | licence |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in facts["sets"]:
        counts = " / ".join(str(each["tiles"][split]) for split in ("train", "val", "test"))
        classes = "; ".join(", ".join(names) for names in each["classes"].values()) or "no labels used"
        lines.append(
            f"| {each['name']} | {counts} | {each['groups'] or 'unknown'} | {classes} | {_resolution(each)} "
            f"| {each['licence']} |"
        )
    notes = [f"- {each['name']}: {note}" for each in facts["sets"] for note in each["notes"]]
    skipped = [
        f"- {each['name']}: {each['skipped']} tiles could not be read and were skipped."
        for each in facts["sets"]
        if each["skipped"]
    ]
    lines += [
        "",
        "Only training tiles were learned from; validation tiles "
        + ("chose nothing." if is_measured else "chose the epoch."),
        "",
        *notes,
        *skipped,
    ]
    if pairs := facts.get("pairs"):
        lines += ["", "## Pairs", "", *(f"- {pair_words(name, each)}" for name, each in pairs.items())]
    lines += ["", "## Validation", ""]
    if is_measured:
        lines.append(
            f"The components hold {facts['validation'][KEPT]:.1%} of how far the codes of validation tiles "
            "lie from the mean of the training tiles (squared, each number standardised)."
        )
    else:
        lines += [f"Epoch {facts['best_epoch']} of {facts['epochs']}.", ""]
        lines += [f"- {name}: {value:.4f}" for name, value in facts["validation"].items()]
    lines += _shares(facts["codes_vary_with"])
    kept = settings_text(saved_settings(settings)).rstrip()
    lines += ["", "## Settings", "", "```yaml", kept, "```", ""]
    write_text(path, "\n".join(lines))


def _resolution(each: Mapping[str, Any]) -> str:
    if each["scale"] == "fill":
        stated = f"{each['mpp']} µm/px stated" if each["mpp"] else "mpp not stated"
        return f"whole tile fills the encoder's ({stated})"
    if each["scale"] == "compose":
        return f"{each['mpp'] or each['assumed_mpp']} µm/px, laid on tissue at true scale"
    return f"{each['mpp']} µm/px" if each["mpp"] else f"{each['assumed_mpp']} µm/px, assumed"
