"""Commands that make tiles and images: tiles extract; simulate mosaic, challenge, needles and others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import answer, settings_command, show_failures, with_progress

if TYPE_CHECKING:
    from histonic.core.progress import Progress
    from histonic.simulate.two_stains import TwoStainFiles
    from histonic.stages.simulate.settings import (
        CropSettings,
        NeedleSettings,
        RectangleSettings,
        TwoStainSettings,
    )
    from histonic.stages.study.frame.settings import ChallengeSettings
    from histonic.stages.tiles.settings import ExtractSettings, MosaicSettings


@settings_command("extract", "histonic.stages.tiles.settings:ExtractSettings", "slides")
def extract(settings: ExtractSettings) -> int:
    """Cut tiles from slides: labelled by annotations, or from all tissue without labels.

    Annotations are QuPath GeoJSON, ASAP XML, masks of class codes, CSVs of points or the JSON of a detection
    set; or each image has a label as a whole. Writes a folder for each label, tiles.csv and set.yaml. The
    same command resumes after an interruption.
    """
    from histonic.stages.tiles.extract import extract_tiles

    result = with_progress(extract_tiles, settings)
    total = sum(result.tiles.values())
    click.echo(
        f"{result.out}: {total} tiles; {len(result.done)} slide(s) cut, {len(result.skipped)} there already, "
        f"{len(result.failures)} failed"
    )
    answer(
        paths={"out": result.out, "table": result.out / "tiles.csv"},
        numbers={"tiles": total, "done": len(result.done), "skipped": len(result.skipped)},
        rows=[{"label": label, "tiles": count} for label, count in result.tiles.items()],
    )
    for label, count in result.tiles.items():
        if label:
            click.echo(f"  {label}: {count}")
    return show_failures(result.failures)


@settings_command("mosaic", "histonic.stages.tiles.settings:MosaicSettings")
def mosaic(settings: MosaicSettings) -> int:
    """Make slides of real tissue from labelled tiles: needle, fraction, arrangement or survival.

    Test tiles feed test patients only, and no group of tiles is shown in two patients. The same command
    resumes after an interruption.
    """
    from histonic.stages.tiles.mosaic import simulate_mosaic

    out = with_progress(simulate_mosaic, settings)
    click.echo(f"Slides: {out / 'slides'}, labels: {out / 'labels.csv'}")
    answer(paths={"slides": out / "slides", "labels": out / "labels.csv"})
    return 0


@settings_command("needles", "histonic.stages.simulate.settings:NeedleSettings")
def needles(settings: NeedleSettings) -> int:
    """Make images of digits, half of which hold a 3 among others (nMNIST of Pawlowski et al. 2019).

    The larger the canvas, the smaller the part of it that decides. The same command resumes after an
    interruption.
    """
    from histonic.stages.simulate.needles import simulate_needles

    out = with_progress(simulate_needles, settings)
    click.echo(f"Images: {out / 'images'}, table: {out / 'needles.csv'}")
    answer(paths={"images": out / "images", "table": out / "needles.csv"})
    return 0


@settings_command("crops", "histonic.stages.simulate.settings:CropSettings", "slides")
def crops(settings: CropSettings) -> int:
    """Cut crops of slides with annotated lesions, by the share of a crop that is lesion (nCAMELYON).

    Each band of shares becomes a tile set, BAND.csv, with the labels lesion and normal. Mosaics are slides,
    too.
    """
    from histonic.stages.simulate.crops import simulate_crops

    result = with_progress(simulate_crops, settings)
    for name, count in result.counts.items():
        click.echo(f"{result.out / name}: {count} crops")
    answer(
        paths={"out": result.out},
        rows=[{"band": name, "crops": count} for name, count in result.counts.items()],
    )
    return show_failures(result.failures)


@settings_command("rectangles", "histonic.stages.simulate.settings:RectangleSettings")
def rectangles(settings: RectangleSettings) -> int:
    """Make slides of digits with two rectangles, whose tilted one tells the class (Tellez et al. 2019).

    The same command resumes after an interruption.
    """
    from histonic.stages.simulate.rectangles import simulate_rectangles

    out = with_progress(simulate_rectangles, settings)
    click.echo(f"Slides: {out / 'slides'}, masks: {out / 'masks'}, labels: {out / 'labels.csv'}")
    answer(paths={name: out / name for name in ("slides", "masks")} | {"labels": out / "labels.csv"})
    return 0


@settings_command("stains", "histonic.stages.simulate.settings:TwoStainSettings")
def stains(settings: TwoStainSettings) -> int:
    """Make patients with a slide in H&E and one in Ki-67, of which one tells the label.

    The same command resumes after an interruption.
    """
    from histonic.simulate.two_stains import simulate_two_stains

    def make(settings: TwoStainSettings, *, progress: Progress) -> TwoStainFiles:
        return simulate_two_stains(**settings.model_dump(), progress=progress)

    made = with_progress(make, settings)
    for part, folder in made.slides_dirs.items():
        click.echo(f"{folder}: slides, {len(made.missing[part])} patients lack one")
    click.echo(f"Labels: {made.labels_csv}")
    answer(
        paths={**{str(part): folder for part, folder in made.slides_dirs.items()}, "labels": made.labels_csv},
        numbers={f"lack_{part}": len(missing) for part, missing in made.missing.items()},
    )
    return 0


@settings_command("challenge", "histonic.stages.study.frame.settings:ChallengeSettings", "name")
def challenge(settings: ChallengeSettings) -> int:
    """Make a miniature of a public challenge, to try 'histonic recipe' on.

    A few simulated images under the organisers' own names, folders, headers and codes.
    """
    from histonic.simulate.challenges.writing import simulate_challenge

    out = simulate_challenge(settings.name, settings.out, settings.seed)
    click.echo(f"{out}: a miniature; follow it with: histonic recipe {settings.name} {out} --run")
    answer(paths={"out": out})
    return 0


tiles = click.Group("tiles", [extract], help="Make sets of tiles to train encoders on.")
simulate = click.Group(
    "simulate",
    [mosaic, challenge, needles, crops, rectangles, stains],
    help="Make slides and images whose right answer is known.",
)
