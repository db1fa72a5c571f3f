"""Commands that measure this machine: bench compress, encoder, train."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from histonic.app.terminal.command import answer, settings_command, with_progress

if TYPE_CHECKING:
    from histonic.stages.bench.figures import BenchResult
    from histonic.stages.bench.settings import BenchCompressSettings, BenchEncoderSettings, BenchTrainSettings


@settings_command("compress", "histonic.stages.bench.settings:BenchCompressSettings", "slide")
def compress(settings: BenchCompressSettings) -> int:
    """Measure how fast a slide is compressed, what reading and encoding alone could do, what would help."""
    from histonic.stages.bench.compress import bench_compress

    return _tell(bench_compress, settings)


@settings_command("encoder", "histonic.stages.bench.settings:BenchEncoderSettings")
def encoder(settings: BenchEncoderSettings) -> int:
    """Measure how many tiles a second an encoder encodes, by precision and batch."""
    from histonic.stages.bench.encoder import bench_encoder

    return _tell(bench_encoder, settings)


@settings_command("train", "histonic.stages.bench.settings:BenchTrainSettings", "store")
def train(settings: BenchTrainSettings) -> int:
    """Measure how fast a slide network learns from a store's maps, and what its arithmetic alone could do."""
    from histonic.stages.bench.train import bench_train

    return _tell(bench_train, settings)


NUMBERS = ("achieved", "floor", "of_floor", "start_s", "peak_bytes")
"""Of a bench, as they stand in its file, too."""
bench = click.Group("bench", [compress, encoder, train], help="Measure this machine: speed, and its floor.")


def _tell(measure: Callable[..., BenchResult], settings: Any) -> int:
    from histonic.core.documents import write_document

    result = with_progress(measure, settings)
    if settings.json_file is not None:
        write_document(settings.json_file, result)
    click.echo("\n".join(told(result)))
    answer(
        paths={"json_file": settings.json_file},
        numbers={name: getattr(result, name) for name in NUMBERS},
        rows=[
            {"stage": each.name, "per_second": each.per_second, "share": each.share} for each in result.stages
        ],
    )
    return 0


def told(result: BenchResult) -> list[str]:
    """What a bench found, line by line."""
    lines = [
        f"{result.what} {result.subject} with {result.encoder}: {result.device}, precision "
        f"{result.precision}, {result.cores} core(s), about {result.seconds:g} s a figure",
        "",
        f"{'stage':<22} {result.unit + '/s alone':>14} {'share of time':>14}  measured",
    ]
    for stage in result.stages:
        speed = "" if stage.per_second is None else _number(stage.per_second)
        share = "" if stage.share is None else f"{stage.share:.0%}"
        lines.append(f"{stage.name:<22} {speed:>14} {share:>14}  {stage.how}")
    lines.append("")
    if result.floor is not None and result.of_floor is not None:
        lines.append(
            f"achieved {_number(result.achieved)} {result.unit}/s, floor {_number(result.floor)}: "
            f"{result.of_floor:.0%} of it; {result.start_s:.1f} s before the first"
        )
    peak = f"{result.peak_bytes / 1e6:,.0f} MB" if result.peak_bytes else "not told by the system"
    lines.append(f"peak memory of all processes: {peak}")
    lines.append(result.pace)
    lines += [f"would help: {each}" for each in result.advice]
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
