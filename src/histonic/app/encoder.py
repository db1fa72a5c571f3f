"""Commands on tile encoders, and whole studies: the groups encoder and study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import answer, answer_failure, settings_command, with_progress

if TYPE_CHECKING:
    from histonic.stages.encoder.settings import ImportSettings, PoolSettings, TrainEncoderSettings
    from histonic.stages.study.needles.settings import NeedleStudySettings
    from histonic.stages.study.rectangles.settings import RectangleStudySettings
    from histonic.stages.transfer.settings import StudyTasksSettings, TransferSettings


@settings_command("train", "histonic.stages.encoder.settings:TrainEncoderSettings", measures=True)
def train(settings: TrainEncoderSettings) -> int:
    """Train a tile encoder: supervised on several tile sets, or unsupervised (VAE, contrastive, BiGAN).

    Or make the codes of an encoder that is there shorter: by principal components (--objective components),
    or by a projection trained behind it (--freeze-trunk).

    Tile sets stand in the YAML file under 'sets:', or are given by --tiles and --slides. Writes the encoder
    with a model card. The same command resumes after an interruption.
    """
    from histonic.stages.encoder.settings import COMPONENTS
    from histonic.stages.encoder.train import train_encoder

    out = with_progress(train_encoder, settings)
    is_measured = settings.objective == COMPONENTS
    click.echo(
        f"{out}: {'measured' if is_measured else 'trained'}; use it with: histonic compress --encoder "
        f"{out / 'encoder.safetensors'}"
    )
    from histonic.core.documents import read_values
    from histonic.core.errors import RunError

    facts = read_values(out / "run.json", RunError, "Give the same command again.")
    answer(
        paths={"out": out, "encoder": out / "encoder.safetensors", "card": out / "model_card.md"},
        numbers={
            "epochs": facts["epochs"],
            "best_epoch": facts["best_epoch"],
            "validation_loss": facts["validation"]["loss"],
        },
    )
    return 0


@settings_command("import", "histonic.stages.encoder.settings:ImportSettings", "file")
def import_(settings: ImportSettings) -> int:
    """Make an encoder file of weights from elsewhere: a foundation encoder, timm, TorchScript, Keras (.h5).

    Nothing is fetched. Colours, pooling and resolution come from the files, from --preset or from you; what
    nobody says is asked for, never guessed.
    """
    from histonic.stages.encoder.imported import import_encoder

    spec = import_encoder(
        settings.file,
        settings.out,
        colours=settings.two_colours,
        **settings.model_dump(
            include={"preset", "architecture", "pooling", "tile_px", "mpp", "licence", "name"}
        ),
    ).spec
    click.echo(
        f"{settings.out}: {spec.name}, {spec.tile_px} px at {spec.mpp} µm/px to {spec.code_size} numbers, "
        f"licence {spec.licence}"
    )
    answer(
        paths={"encoder": settings.out, "card": settings.out.with_suffix(".md")},
        numbers={"tile_px": spec.tile_px, "mpp": spec.mpp, "code_size": spec.code_size},
    )
    return 0


@settings_command("transfer", "histonic.stages.transfer.settings:TransferSettings", measures=True)
def transfer(settings: TransferSettings) -> int:
    """Compare encoders on tasks that they never saw: train on all tile sets but one, evaluate on that one.

    Frozen codes with a linear model, fine-tuning, and training from scratch, by several seeds. The YAML file
    lists the tile sets under 'sets:'. The same command resumes after an interruption.
    """
    from histonic.stages.transfer.transfer import transfer as run

    out = with_progress(run, settings)
    click.echo(f"Table: {out / 'transfer.md'}, figure: {out / 'transfer.png'}")
    answer(paths={"out": out, "table": out / "transfer.md", "figure": out / "transfer.png"})
    return 0


@settings_command("tasks", "histonic.stages.transfer.settings:StudyTasksSettings", measures=True)
def tasks(settings: StudyTasksSettings) -> int:
    """Train encoders on 1, 2, 3 ... tile sets and evaluate each on the sets that it has not seen.

    With --cohort encoders of 0 (unsupervised), 1, 2, 4 and all tasks are judged on slides: each compresses
    the cohort, slide networks are trained, and the gain over 0 tasks is told beside a positive control. The
    YAML file lists the tile sets under 'sets:'. The same command resumes after an interruption.
    """
    from histonic.stages.transfer.tasks import study_tasks

    out = with_progress(study_tasks, settings)
    name = "slides" if settings.cohort.is_given else "tasks"
    click.echo(f"Table: {out / f'{name}.md'}, figure: {out / f'{name}.png'}")
    answer(paths={"out": out, "table": out / f"{name}.md", "figure": out / f"{name}.png"})
    return 0


@settings_command("pool", "histonic.stages.encoder.settings:PoolSettings")
def pool(settings: PoolSettings) -> int:
    """Make one pool of tile tasks of detection, segmentation and field sets, for 'encoder train --config'.

    The YAML file lists the sets under 'sources:'. Classes are balanced; related sets leave together. The same
    command resumes after an interruption.
    """
    from histonic.stages.encoder.pool import make_pool

    result = with_progress(make_pool, settings)
    for name, splits in result.tiles.items():
        total = sum(count for counts in splits.values() for count in counts.values())
        click.echo(f"  {name}: {total} tiles")
    click.echo(
        f"Table: {settings.out / 'pool.md'}; train on it: histonic encoder train --config {result.config}"
    )
    for name, image, reason in result.failures:
        click.echo(f"failed  {name}: {image}: {reason}")
        answer_failure(image, name, reason)
    answer(
        paths={"out": settings.out, "table": settings.out / "pool.md", "config": result.config},
        rows=[
            {"task": name, "split": split, "class": each, "tiles": count}
            for name, splits in result.tiles.items()
            for split, counts in splits.items()
            for each, count in counts.items()
        ],
    )
    return 1 if result.failures else 0


encoder = click.Group(
    "encoder", [train, import_, pool, transfer, tasks], help="Train, import and compare tile encoders."
)


@settings_command("needles", "histonic.stages.study.needles.settings:NeedleStudySettings", measures=True)
def needles(settings: NeedleStudySettings) -> int:
    """How small may an object be to be learned from image labels (Pawlowski et al. 2019)?

    Object-to-image ratio by training size, receptive field, pooling and width. The tests of the paper's
    claims and their power are written before the first training. The same command goes on where it stopped.
    """
    from histonic.stages.study.needles.study import RESULT, study_needles

    out = with_progress(study_needles, settings)
    if (out / RESULT).is_file():
        click.echo(f"Page: {out / 'needles.md'}, figure: {out / 'needles.png'}")
        answer(paths={"page": out / "needles.md", "figure": out / "needles.png"})
    answer(paths={"out": out})
    return 0


@settings_command(
    "rectangles", "histonic.stages.study.rectangles.settings:RectangleStudySettings", measures=True
)
def rectangles(settings: RectangleStudySettings) -> int:
    """The synthetic task of the NIC paper: images of tilted rectangles compressed by several encoders.

    Accuracy by encoder, lesion size, code size and stride, and whether explanations find the rectangle. The
    same command goes on where it stopped.
    """
    from histonic.stages.study.rectangles.study import RESULT, study_rectangles

    out = with_progress(study_rectangles, settings)
    if (out / RESULT).is_file():
        click.echo(f"Page: {out / 'rectangles.md'}, figure: {out / 'rectangles.png'}")
        answer(paths={"page": out / "rectangles.md", "figure": out / "rectangles.png"})
    answer(paths={"out": out})
    return 0


study = click.Group("study", [needles, rectangles], help="Run whole studies by one file of settings.")
