"""The commands of bench print a table and write the same figures to a file."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from fixtures.stores import make_store
from histonic.app.bench import told
from histonic.app.cli import histonic
from histonic.core.documents import read_document
from histonic.core.errors import StoreError
from histonic.stages.bench.figures import BenchResult, StageFigure

RESULT = BenchResult(
    what="compress",
    subject="a.svs",
    encoder="histonic-mtl",
    unit="tiles",
    device="cpu",
    precision="32",
    cores=2,
    seconds=5,
    stages=(
        StageFigure(name="read", per_second=9876.5, share=0.061, how="decoded"),
        StageFigure(name="encode", per_second=700.4, share=0.82, how="encoded"),
        StageFigure(name="the rest", per_second=None, share=0.119, how="left"),
    ),
    achieved=574.3,
    floor=652.6,
    of_floor=0.88,
    start_s=0.64,
    peak_bytes=731_000_000,
    other_cores=0.0,
    pace="encoding sets the pace: 82% of the time",
    advice=("--precision bf16: 1.8 times as fast, measured now",),
)


def test_a_result_is_told() -> None:
    assert told(RESULT) == [
        "compress a.svs with histonic-mtl: cpu, precision 32, 2 core(s), about 5 s a figure",
        "",
        "stage                   tiles/s alone  share of time  measured",
        "read                            9,876             6%  decoded",
        "encode                            700            82%  encoded",
        "the rest                                         12%  left",
        "",
        "achieved 574 tiles/s, floor 653: 88% of it; 0.6 s before the first",
        "peak memory of all processes: 731 MB",
        "encoding sets the pace: 82% of the time",
        "would help: --precision bf16: 1.8 times as fast, measured now",
    ]


def test_the_commands_print_and_write(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    words = ["bench", "encoder", "--encoder", "mean-rgb", "--batch", "4", "--seconds", "0.01"]
    done = CliRunner().invoke(histonic, [*words, "--json-file", str(file)])
    assert done.exit_code == 0, done.output
    assert "32, batches of 4" in done.output and "tiles/s alone" in done.output
    found = read_document(BenchResult, file, StoreError, "Measure again.")
    assert json.loads(file.read_text())["format"] == "histonic-bench-1" and found.what == "encoder"


def test_training_is_measured_from_the_command_line(tmp_path: Path) -> None:
    make_store(tmp_path, patients=6)
    words = ["bench", "train", str(tmp_path / "store"), "--batch", "2", "--seconds", "0.01"]
    done = CliRunner().invoke(histonic, words)
    assert done.exit_code == 0, done.output
    assert "steps/s alone" in done.output and "of it" in done.output
