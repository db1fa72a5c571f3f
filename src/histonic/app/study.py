"""Commands on whole studies: study needles, rectangles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from histonic.app.terminal.command import settings_command, with_progress

if TYPE_CHECKING:
    from histonic.stages.study.needles.settings import NeedleStudySettings
    from histonic.stages.study.rectangles.settings import RectangleStudySettings


@settings_command("needles", "histonic.stages.study.needles.settings:NeedleStudySettings")
def needles(settings: NeedleStudySettings) -> int:
    """How small may an object be to be learned from image labels (Pawlowski et al. 2019)?

    Object-to-image ratio by training size, receptive field, pooling and width. The tests of the paper's
    claims and their power are written before the first training. The same command goes on where it stopped.
    """
    from histonic.stages.study.needles.study import RESULT, study_needles

    out = with_progress(study_needles, settings)
    if (out / RESULT).is_file():
        click.echo(f"Page: {out / 'needles.md'}, figure: {out / 'needles.png'}")
    return 0


@settings_command("rectangles", "histonic.stages.study.rectangles.settings:RectangleStudySettings")
def rectangles(settings: RectangleStudySettings) -> int:
    """The synthetic task of the NIC paper: images of tilted rectangles compressed by several encoders.

    Accuracy by encoder, lesion size, code size and stride, and whether explanations find the rectangle. The
    same command goes on where it stopped.
    """
    from histonic.stages.study.rectangles.study import RESULT, study_rectangles

    out = with_progress(study_rectangles, settings)
    if (out / RESULT).is_file():
        click.echo(f"Page: {out / 'rectangles.md'}, figure: {out / 'rectangles.png'}")
    return 0


study = click.Group("study", [needles, rectangles], help="Run whole studies by one file of settings.")
