"""The study of rectangles: images, encoders, compression, training, results (Tellez et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
import pandas as pd

from histonic.core.documents import read_document, write_document
from histonic.core.errors import RunError, SettingsError
from histonic.core.progress import Progress, heard
from histonic.core.settings import resolve
from histonic.data.tilesets.plan import TileSetSettings
from histonic.runs.run import read_run
from histonic.simulate.low_signal.digits import read_digits
from histonic.simulate.low_signal.rectangles import RectangleImages, RectanglePlan
from histonic.stages.compress.compress import compress
from histonic.stages.encoder.train import train_encoder
from histonic.stages.simulate.folder import claim
from histonic.stages.simulate.rectangles import simulate_rectangles
from histonic.stages.study.rectangles.measures import accuracies, localise
from histonic.stages.study.rectangles.results import EncoderResult, RectangleFindings, write_findings
from histonic.stages.study.rectangles.settings import (
    Objective,
    RectangleStudyKeywords,
    RectangleStudySettings,
)
from histonic.stages.study.rectangles.tiles import write_tiles
from histonic.stages.train.train import train_slides

RESULT = "rectangles.json"
MPP = 0.5
PAIRS = ("contrastive", "ntxent")
TARGET = "digit"
AGAIN = "Delete it and give the same command again; only this encoder's results are made anew."
ELSEWHERE_SEED = 1_000_003
"""Images for the encoders are drawn by a seed apart from those that are classified."""


class Job(NamedTuple):
    """What is trained, compressed and classified once.

    Attributes:
        objective: What the encoder is trained by.
        code_size: Numbers in a code.
        stride_share: Step between tiles by their side.
    """

    objective: Objective
    code_size: int
    stride_share: float = 1.0

    @property
    def encoder(self) -> str:
        """Name of the encoder's folder."""
        return f"{self.objective}-{self.code_size}"

    @property
    def name(self) -> str:
        """Name of store, run and result.

        Example:
            >>> Job("vae", 16).name, Job("vae", 16, 0.5).name
            ('vae-16', 'vae-16-stride-0.5')
        """
        return self.encoder + ("" if self.stride_share == 1 else f"-stride-{self.stride_share:g}")


def study_rectangles(
    settings: RectangleStudySettings | None = None,
    /,
    *,
    progress: Progress | None = None,
    **values: Unpack[RectangleStudyKeywords],
) -> Path:
    """Compress images of tilted rectangles by several encoders and train a network on the maps of each.

    Everything goes the ordinary way: ``simulate rectangles``, ``encoder train``, ``compress``, ``train``,
    and Grad-CAM by the networks that have not seen an image. What is finished is kept, so that the same
    command goes on after an interruption.

    Args:
        settings: The settings, or None to give them as keywords.
        progress: Listener to the progress.
        **values: Settings by name, such as ``objectives=("vae",)``, ``out="study"``.

    Returns:
        The folder: ``images/``, ``tiles/``, ``encoders/``, ``stores/``, ``runs/``, ``results/``; when all
        encoders are done also ``rectangles.csv``, ``rectangles.png``, ``rectangles.md``, ``rectangles.json``.

    Raises:
        SettingsError: A setting is wrong, the digits cannot be read, or the folder holds another study.
        TrainingError: A training cannot go on.
        RunError: A kept result is damaged.
        OutputError: A file cannot be written.
    """
    resolved = resolve(RectangleStudySettings, settings, values)
    listener = heard(progress)
    jobs = jobs_of(resolved)
    plan = _plan(resolved)
    source = read_digits(resolved.digits, resolved.digit_px, resolved.seed)["train"].source
    facts = {**_deciding(resolved), "source": source}
    claim(resolved.out, "a study of rectangles", facts)
    waiting = [job for job in jobs if not _result_path(resolved.out, job).is_file()]
    for job in waiting[: resolved.steps_at_most]:
        listener.say(f"{job.objective}, codes of {job.code_size}, stride of {job.stride_share:g} tiles")
        _run(resolved, plan, job, listener)
    left = len(waiting) - len(waiting[: resolved.steps_at_most])
    if left:
        listener.say(f"{left} trainings are left; the same command goes on")
        return resolved.out
    results = tuple(
        read_document(EncoderResult, _result_path(resolved.out, job), RunError, AGAIN) for job in jobs
    )
    findings = RectangleFindings(settings=_deciding(resolved), source=source, results=results)
    write_findings(resolved.out, findings)
    write_document(resolved.out / RESULT, findings)
    return resolved.out


def jobs_of(settings: RectangleStudySettings) -> list[Job]:
    """Encoders by objective, code size and stride.

    Raises:
        SettingsError: A value is named twice.

    Example:
        >>> [job.name for job in jobs_of(RectangleStudySettings(out="study", objectives=("bigan", "vae")))]
        ['bigan-16', 'vae-16', 'vae-4', 'vae-16-stride-0.5']
    """
    for name in ("objectives", "code_sizes", "stride_shares"):
        given = getattr(settings, name)
        if len(set(given)) < len(given):
            raise SettingsError(
                f"Study {name} {', '.join(map(str, given))}.", "One is named twice.", "Name each once."
            )
    size, share = settings.code_sizes[0], settings.stride_shares[0]
    jobs = [Job(each, size, share) for each in settings.objectives]
    jobs += [Job(settings.varied, each, share) for each in settings.code_sizes]
    jobs += [Job(settings.varied, size, each) for each in settings.stride_shares]
    return list(dict.fromkeys(jobs))


def _plan(settings: RectangleStudySettings) -> RectanglePlan:
    return RectanglePlan(
        settings.side_px,
        settings.digit_px,
        settings.density,
        (settings.least_side, 0.5),
        settings.seed,
        settings.classes,
    )


def _deciding(settings: RectangleStudySettings) -> dict[str, Any]:
    apart = {"out", "digits", "workers", "steps_at_most"}
    return settings.model_dump(mode="json", exclude=apart)


def _result_path(out: Path, job: Job) -> Path:
    return out / "results" / f"{job.name}.json"


def _run(settings: RectangleStudySettings, plan: RectanglePlan, job: Job, progress: Progress) -> None:
    """One job from the training of its encoder to its result."""
    out, name = settings.out, job.name
    images = simulate_rectangles(
        out=out / "images", digits=settings.digits, train=settings.train, val=settings.val,
        test=settings.test, side_px=plan.side_px, digit_px=plan.digit_px, density=plan.density,
        least_side=plan.long_sides[0], greatest_side=plan.long_sides[1], classes=plan.classes,
        mpp=MPP, seed=plan.seed, processes=settings.workers, progress=progress,
    )  # fmt: skip
    encoder = _encoder(settings, plan, job, progress)
    store = out / "stores" / name
    result = compress(
        slides=(images / "slides",), encoder=str(encoder), out=store, tissue={"source": "all"},
        stride_share=job.stride_share, device="cpu", progress=progress,
    )  # fmt: skip
    if result.failures:
        raise RunError(
            f"Compress the images of {name}.", f"{len(result.failures)} failed.", "Give the command again."
        )
    run = train_slides(
        store=store, labels=images / "labels.csv", target=(f"{TARGET}:multiclass",), split="table",
        out=out / "runs" / name, aggregator=settings.aggregator, initialisations=1,
        max_epochs=settings.max_epochs, workers=settings.workers or 1, device="cpu", seed=settings.seed,
        progress=progress,
    )  # fmt: skip
    write_document(_result_path(out, job), measure(settings, job, run, store, images))


def _encoder(settings: RectangleStudySettings, plan: RectanglePlan, job: Job, progress: Progress) -> Path:
    """Train an encoder on tiles of images of its own, or find it finished."""
    digits = read_digits(settings.digits, settings.digit_px, settings.seed)["train"]
    own = RectanglePlan(
        plan.side_px, plan.digit_px, plan.density, plan.long_sides, plan.seed + ELSEWHERE_SEED, plan.classes
    )
    progress.say("tiles for the encoders")
    table = write_tiles(
        settings.out / "tiles",
        RectangleImages(own, digits, "train", settings.encoder_images),
        settings.tiles,
        settings.seed,
    )
    declared = TileSetSettings(name="digits", path=table, mpp=MPP, duplicates="drop", licence="of the digits")
    folder = train_encoder(
        objective=job.objective, out=settings.out / "encoders" / job.encoder, sets=(declared,),
        trunk="nic-small", code_size=job.code_size, tile_px=settings.digit_px, mpp=MPP,
        augment=settings.augment if job.objective in PAIRS else "none", steps=settings.encoder_steps,
        max_epochs=settings.encoder_epochs, device="cpu", seed=settings.seed, progress=progress,
    )  # fmt: skip
    return folder / "encoder.safetensors"


def measure(
    settings: RectangleStudySettings, job: Job, run: Path, store: Path, images: Path
) -> EncoderResult:
    """What a finished run is worth."""
    trained = read_run(run)
    table = trained.tables[TARGET].frame
    sizes = pd.read_csv(images / "labels.csv").set_index("patient_id")["long_side_share"]
    right = (table["truth"].astype(str) == table["predicted"].astype(str)).to_numpy()
    shares = sizes.loc[table["patient_id"]].to_numpy(dtype=np.float64)
    names = table["patient_id"].tolist()[: settings.explained]
    found = localise(run, store, images / "masks", names) if names else None
    return EncoderResult(
        objective=job.objective,
        code_size=job.code_size,
        stride_share=job.stride_share,
        accuracies=tuple(accuracies(right, shares)),
        localisation=found,
    )
