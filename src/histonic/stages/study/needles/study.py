"""The needle study: where learning from image labels breaks down (Pawlowski et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch

from histonic.core.documents import read_document, write_document
from histonic.core.errors import RunError, SettingsError
from histonic.core.files import require_writable_folder, write_text
from histonic.core.progress import Listener, Progress, heard
from histonic.core.settings import resolve
from histonic.simulate.low_signal.digits import PARTS
from histonic.stages.simulate.folder import make_all
from histonic.stages.study.needles.cells import (
    Cell,
    CellJob,
    CellResult,
    ImageBatches,
    cell_path,
    cells_of,
    digits_of,
    do_job,
)
from histonic.stages.study.needles.claims import comparisons, judge
from histonic.stages.study.needles.network import NeedleNetwork, receptive_px, spatial_blocks
from histonic.stages.study.needles.results import (
    Findings,
    Plan,
    deciding,
    limits_of,
    make_points,
    plan_page,
    write_findings,
)
from histonic.stages.study.needles.settings import NeedleStudyKeywords, NeedleStudySettings
from histonic.training.devices import pick_device
from histonic.training.executors.base import Job
from histonic.training.executors.choice import open_executor
from histonic.training.executors.sending import paths_of, sendable

AGAIN = "Delete it and give the same command again; only this training is made anew."
OTHER = "Choose another folder, or delete this one."
RESULT = "needles.json"


def study_needles(
    settings: NeedleStudySettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[NeedleStudyKeywords],
) -> Path:
    """Train networks on images of digits among digits, by object-to-image ratio and much else.

    The tests of the paper's four claims and their power are written to ``plan.json`` before the first
    training. Each training is kept when it is finished, so that the same command goes on after an
    interruption; ``cells_at_most`` ends a call after so many. Results depend on the settings alone, not on
    the number of processes or calls.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``canvases=(64, 128)``, ``out="study"``.

    Returns:
        The folder: ``plan.json``, ``plan.md``, ``cells/``; when all cells are there also ``cells.csv``,
        ``needles.csv`` (a row a point of a curve), ``needles.png``, ``needles.md`` and ``needles.json``.

    Raises:
        SettingsError: A setting is wrong, the digits do not suffice, or the folder holds another study.
        TrainingError: A loss is no longer finite.
        RunError: A kept training is damaged.
        OutputError: A file cannot be written.
    """
    resolved = resolve(NeedleStudySettings, settings, values)
    listener = heard(progress)
    cells = cells_of(resolved)
    _require_sense(resolved, cells)
    planned = [each.planned for each in comparisons(resolved)]
    source = digits_of(resolved.digits, resolved.digit_px, resolved.seed)["train"].source
    plan = Plan(settings=deciding(resolved), cells=len(cells), tests=tuple(planned), source=source)
    _keep_plan(resolved.out, plan)
    listener.say(f"digits of {source}; {len(cells)} trainings, {len(planned)} tests of 4 claims")
    waiting = [cell for cell in cells if not cell_path(resolved.out, cell).is_file()]
    now = waiting[: resolved.cells_at_most]
    listener.stage("needle study", len(cells))
    listener.advance(len(cells) - len(waiting), "kept")
    if resolved.cluster is None:
        given = resolved.model_dump()
        make_all(do_job, [CellJob(given, cell) for cell in now], resolved.processes, listener, at_once=1)
    else:
        _do_on_cluster(resolved, now, listener)
    if len(now) < len(waiting):
        listener.say(f"{len(waiting) - len(now)} trainings are left; the same command goes on")
        return resolved.out
    results = [_read(resolved.out, cell) for cell in cells]
    points = make_points(results)
    findings = Findings(
        settings=deciding(resolved),
        source=source,
        points=tuple(points),
        limits=tuple(limits_of(points)),
        claims=tuple(judge(each, results, resolved.seed) for each in comparisons(resolved)),
    )
    write_findings(resolved.out, findings, results)
    write_document(resolved.out / RESULT, findings)
    for claim in findings.claims:
        listener.say(f"claim {claim.planned.claim}: {claim.planned.says} {claim.outcome}")
    return resolved.out


def _do_on_cluster(settings: NeedleStudySettings, cells: Sequence[Cell], listener: Listener) -> None:
    sent = sendable(settings, f"Study needles in {settings.out}.")
    job = Job(f"Study needles in {settings.out}.", partial(_prepare, sent), _do_cell, _name)
    executor = open_executor(
        job,
        listener,
        cluster=settings.cluster,
        device=settings.device,
        reads=paths_of(sent, "digits"),
        writes=settings.out,
    )
    with executor:
        for name in executor.results(cells):
            listener.advance(note=name)


def _name(cell: Cell) -> str:
    return cell.name


@contextmanager
def _prepare(settings: NeedleStudySettings, device: str) -> Iterator[dict[str, Any]]:
    yield settings.model_copy(update={"device": device}).model_dump()


def _do_cell(given: dict[str, Any], cell: Cell, listener: Listener) -> str:
    listener.doing(cell.name)
    return do_job(CellJob(given, cell))


def _require_sense(settings: NeedleStudySettings, cells: list[Cell]) -> None:
    """Refuse, before any training, what could not be learned from or compared.

    Raises:
        SettingsError: Axes are not in their order or name a value twice, or the digits do not suffice.
    """
    for name in ("canvases", "sizes", "poolings", "receptive", "widths"):
        values = getattr(settings, name)
        ordered = name not in ("canvases", "sizes") or list(values) == sorted(values)
        if len(set(values)) < len(values) or not ordered:
            raise SettingsError(
                f"Study {name} {', '.join(map(str, values))}.",
                "A value is named twice." if ordered else "They do not rise.",
                "Name each value once; canvases and sizes from small to large.",
            )
    if settings.cluster is None:
        pick_device(settings.device)
    if receptive_px(settings.blocks, settings.blocks) < 5:
        raise SettingsError("Study needles.", f"blocks are {settings.blocks}.", "Give at least one block.")
    _require_maps(settings, cells)
    for part in PARTS:
        count = {"train": settings.sizes[-1], "val": settings.val, "test": settings.test}[part]
        cell = cells[0]
        # Made once as a whole: whether target digits and canvas allow it.
        ImageBatches(settings, cell, part, min(count, 4))


def _require_maps(settings: NeedleStudySettings, cells: list[Cell]) -> None:
    """Refuse canvases that leave a network nothing to look at.

    Raises:
        SettingsError: Filters do not fit into a map, or a map to be normalised has a single pixel.
    """
    for cell in {(each.canvas, each.stages): each for each in cells}.values():
        side = ImageBatches(settings, cell, "test", min(settings.test, 4)).images.plan.side_px
        with torch.device("meta"):
            spatial = spatial_blocks(settings.blocks, cell.stages)
            network = NeedleNetwork(cell.width, settings.blocks, spatial, cell.pooling, settings.norm)
            try:
                network(torch.zeros(2, 1, side, side))
            except (RuntimeError, ValueError) as error:
                raise SettingsError(
                    f"Study images of {side} px (canvas {cell.canvas}) with {cell.stages} stages of 3x3 "
                    f"convolutions and {settings.norm} normalisation.",
                    f"Maps become too small: {error}".splitlines()[0],
                    "Give larger canvases or digits (--digit-px), fewer blocks, or --norm batch.",
                ) from error


def _keep_plan(out: Path, plan: Plan) -> None:
    """Write the plan, or find it unchanged.

    Raises:
        SettingsError: The folder holds another study.
    """
    path = require_writable_folder(out) / "plan.json"
    if path.is_file():
        kept = read_document(Plan, path, SettingsError, OTHER)
        if kept != plan:
            keys = [key for key in plan.settings if kept.settings.get(key) != plan.settings[key]]
            raise SettingsError(
                f"Study needles in {out}.",
                f"The folder holds another study; different: {', '.join(keys) or 'its digits or tests'}.",
                OTHER,
            )
        return
    write_text(out / "plan.md", plan_page(plan))
    write_document(path, plan)


def _read(out: Path, cell: Cell) -> CellResult:
    return read_document(CellResult, cell_path(out, cell), RunError, AGAIN)
