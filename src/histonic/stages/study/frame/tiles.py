"""Sets of labelled tiles: an encoder's frozen codes, and a linear model of them on held-out tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from histonic.core.files import csv_text, replacing_file, write_text
from histonic.core.progress import Progress
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, read_tile_set
from histonic.encoders.base import load_encoder
from histonic.metrics.discrimination.labels import accuracy, confusion
from histonic.metrics.ranks import FloatArray
from histonic.stages.encoder.stains import with_normalised_stains
from histonic.stages.study.frame.plan import Place, encoder_step
from histonic.stages.study.frame.results import ScoreLine, score_by
from histonic.stages.study.frame.settings import RecipeSettings
from histonic.stages.study.steps.step import Step
from histonic.stages.transfer.tiles.encoding import encode_tiles
from histonic.stages.transfer.tiles.probe import LabelledCodes, ProbeResult, probe_codes
from histonic.stages.transfer.tiles.scores import score_tiles
from histonic.training.devices import pick_device


@dataclass(frozen=True)
class CodedTiles:
    """A tile set and the codes of its tiles.

    Attributes:
        tiles: The set.
        codes: ``(N, D)``.
        encoder: Its name.
    """

    tiles: TileSet
    codes: npt.NDArray[np.float32]
    encoder: str

    def probe(self, train: npt.NDArray[np.int64], test: npt.NDArray[np.int64], seed: int) -> ProbeResult:
        """A linear model of some tiles, evaluated on others; rows of the set."""
        (task,) = self.tiles.tasks
        targets = self.tiles.targets[task.name]

        def of(rows: npt.NDArray[np.int64]) -> LabelledCodes:
            return LabelledCodes(self.codes[rows], targets[rows], np.asarray(self.tiles.group)[rows])

        return probe_codes(of(train), of(test), task, seed=seed, resamples=0)


def tile_steps(settings: RecipeSettings, place: Place, plan: TileSetSettings) -> list[Step]:
    """The training of an encoder on the set itself, unless one is given.

    Args:
        settings: Of the recipe; with ``encoder`` that one stays as it is.
        place: Of the study.
        plan: Of the set.
    """
    if settings.encoder_config is not None:
        return encoder_step(settings, place)[0]
    if "encoder" in settings.model_fields_set:
        return []
    values: dict[str, Any] = {
        "sets": [{key: _plain(value) for key, value in plan.model_dump(exclude_unset=True).items()}],
        "out": str(place.encoder),
        "max_epochs": settings.max_epochs,
        "seed": settings.seed,
        "device": settings.device,
        "licence": plan.licence,
    }
    return [Step("of the training tiles", "encoder train", values)]


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def encoder_of(settings: RecipeSettings, place: Place) -> str:
    """The encoder whose codes are used: the one that was trained for the study, or the given one."""
    if settings.encoder_config is None and "encoder" in settings.model_fields_set:
        return settings.encoder
    return str(place.encoder / "encoder.safetensors")


def coded_tiles(
    place: Place, plan: TileSetSettings, encoder: str, seed: int, progress: Progress, device: str = "auto"
) -> CodedTiles:
    """Read a set and encode it; what was encoded before, by the same encoder from the same tiles, is kept.

    Raises:
        TileSetError: The set cannot be used.
        EncoderError: The encoder cannot be loaded.
    """
    used = pick_device(device)
    loaded = load_encoder(encoder, device=used)
    tiles = read_tile_set(
        plan,
        tile_px=loaded.spec.tile_px,
        mpp=loaded.spec.mpp,
        cache=place.out / "tiles",
        seed=seed,
        progress=progress,
    )
    if loaded.spec.stain is not None:
        wanted = loaded.spec.stain.model_copy(update={"otherwise": "leave"})
        tiles = with_normalised_stains(tiles, wanted, place.out / "tiles", progress)
    for note in tiles.notes:
        progress.say(f"{plan.name}: {note}")
    for failure in tiles.failures:
        progress.say(f"failed  {failure.path}  {failure.reason}")
    made_of = f"{tiles.fingerprint} {loaded.fingerprint}"
    kept = place.out / "codes" / f"{plan.name}.npz"
    if kept.is_file():
        try:
            with np.load(kept) as file:
                if str(file["made_of"]) == made_of:
                    progress.say(f"{plan.name}: encoded already")
                    return CodedTiles(tiles, file["codes"], loaded.spec.name)
        except (OSError, ValueError, KeyError, EOFError):
            progress.say(f"{kept} is damaged and made anew")
    codes = encode_tiles(loaded, tiles, device=used, progress=progress, stage=f"encode {plan.name}")
    with replacing_file(kept) as partial, partial.open("wb") as opened:
        np.savez(opened, codes=codes, made_of=np.array(made_of))
    return CodedTiles(tiles, codes, loaded.spec.name)


def tile_scores(of: str, result: ProbeResult, settings: RecipeSettings) -> list[ScoreLine]:
    """Accuracy, balanced accuracy and AUROC of tiles, with intervals that resample their groups."""
    found = result.predictions
    truth, called = found.truth.astype(np.int64), found.called
    group = found.group
    groups = int(group.max()) + 1

    def right(counts: FloatArray) -> FloatArray:
        return accuracy(confusion(truth, called, len(found.task.classes), counts[..., group]))

    head = score_by("Accuracy", of, right, groups, settings)
    lines = [head.model_copy(update={"n": len(truth)})]
    for score in score_tiles(found, seed=settings.seed, resamples=settings.resamples):
        lines.append(
            ScoreLine(
                of=of,
                n=len(truth),
                name=score.name,
                value=score.value,
                low=score.low,
                high=score.high,
                note=score.note,
            )
        )
    return lines


def write_tile_predictions(
    path: Path,
    coded: CodedTiles,
    rows: npt.NDArray[np.int64],
    result: ProbeResult,
    more: Mapping[str, Sequence[str]],
) -> None:
    """Write path, group, truth, call and numbers per class of each tile.

    Args:
        path: The CSV.
        coded: The set.
        rows: Of the tiles, in the order of the result.
        result: Of the linear model.
        more: Further columns, in the same order.
    """
    found = result.predictions
    names = found.task.classes
    columns = ["path", "group", *more, "truth", "predicted", *(f"p_{name}" for name in names)]
    cells = []
    for place, row in enumerate(rows.tolist()):
        cells.append(
            [
                coded.tiles.paths[row],
                str(coded.tiles.group[row]),
                *(values[place] for values in more.values()),
                names[int(found.truth[place])],
                names[int(found.called[place])],
                *(f"{value:.6f}" for value in found.outputs[place]),
            ]
        )
    write_text(path, csv_text(columns, cells))
