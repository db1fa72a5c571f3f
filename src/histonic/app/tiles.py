"""Commands on labelled tiles: tiles extract, simulate mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import settings_command, show_failures, with_progress

if TYPE_CHECKING:
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
    return 0


tiles = click.Group("tiles", [extract], help="Make sets of tiles to train encoders on.")
simulate = click.Group("simulate", [mosaic], help="Make slides whose right answer is known.")
