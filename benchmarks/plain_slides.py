"""The encoders of plain_objectives.py on slides: what slide networks make of their maps.

    python benchmarks/plain_objectives.py HISTONIC_DATA --scratch SCRATCH --folds 3 --steps 1000 --seeds 1
    python benchmarks/plain_slides.py HISTONIC_DATA --scratch SCRATCH --folds 3 --steps 1000 --out TABLE.md

A cohort of mosaics as in slide_curve.py, of colorectal tissue or (``--cohort``) of lymph nodes: which share
of the tissue is tumour (Spearman correlation), and is a lesion of 20 % of the tissue there (AUROC).
Encoders are those whose training left the set out with all that is related; they are compared with colour,
with chance weights, and with a positive control: all tasks, this one among them, whose encoder has seen the
labels of such tiles (training tiles of the set, of which some stand in the mosaics). All patients are
cross-validated, 4 folds x 2 networks; intervals resample patients, the same draws for all encoders.
Finished parts are reused; with ``--minutes`` it stops in time and writes the table of what there is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import plain_objectives as plain
import slide_curve
from histonic import compress, train_slides
from histonic.core.files import write_text
from histonic.runs.predictions import read_predictions
from histonic.runs.run import read_facts
from histonic.stages.evaluate.evaluate import EVALUATORS

RESAMPLES = 2000
CURVE = ("contrastive", "vae", "bigan", "tasks-1", "tasks-2", "tasks-4", "tasks-all")
Floats = npt.NDArray[np.float64]


def encoders(options: argparse.Namespace) -> dict[str, str]:
    """By name, the encoder's file or name; those that are not trained yet are absent."""
    found = {"mean RGB": "mean-rgb", "chance weights": str(chance(options))}
    rows = {row.key: row for row in plain.ROWS}
    for key in CURVE:
        for cell in plain.cells(options, [rows[key]]):
            path = options.scratch / "runs" / cell.key / "encoder.safetensors"
            if options.cohort in cell.away and path.is_file():
                found[rows[key].label if cell.row.is_supervised else f"0 tasks: {rows[key].label}"] = str(
                    path
                )
    for cell in plain.cells(options, [rows["tasks-all"]]):
        path = options.scratch / "runs" / cell.key / "encoder.safetensors"
        if options.cohort not in cell.away and path.is_file():
            found.setdefault("positive control: all tasks and this one", str(path))
    return found


def chance(options: argparse.Namespace) -> Path:
    """The network of the papers as it is before any training."""
    path: Path = options.scratch / "chance.safetensors"
    if not path.is_file():
        plain.chance_encoder(0).save(path)
    return path


def judged(name: str, encoder: str, question: str, slides: Path, options: argparse.Namespace) -> Floats:
    """The leading metric of the patients out of fold: its value, then on resamples of them."""
    folder = options.scratch / "slides" / options.cohort / question
    folder.mkdir(parents=True, exist_ok=True)
    key = "".join(letter if letter.isalnum() else "-" for letter in name)
    run = folder / key
    if not (run / "run.json").is_file():
        store = folder / f"{key}-store"
        result = compress(
            slides=(slides / "slides",), encoder=encoder, out=store, device="cpu", precision="bf16"
        )
        if result.failures:
            raise SystemExit(f"{store}: {result.failures}")
        train_slides(
            store=store,
            labels=slide_curve.write_labels(slides, folder / f"{slides.name}.csv"),
            target=(slide_curve.QUESTIONS[question]["target"],),
            aggregator=options.aggregator,
            max_epochs=options.max_epochs,
            seed=0,
            device="cpu",
            out=run,
        )
        shutil.rmtree(store)
    return resampled(run)


def resampled(run: Path) -> Floats:
    """The leading metric of a run's patients, then on resamples of them, the same draws for all runs."""
    task = read_facts(run).tasks[0]
    evaluated = EVALUATORS[task.kind](read_predictions(run, task))
    n = len(evaluated.fold)
    drawn = np.random.default_rng(7).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    counts = np.concatenate([np.ones((1, n)), drawn])
    return np.asarray(evaluated.measures[0].statistic(counts))


def table(question: str, found: dict[str, Floats]) -> str:
    """A row an encoder; the difference to mean RGB is paired."""
    floor = found["mean RGB"]
    lines = ["| encoder | value (95 % interval) | minus mean RGB |", "| --- | --- | --- |"]
    for name, drawn in found.items():
        low, high = np.nanquantile(drawn[1:], (0.025, 0.975))
        gap = drawn - floor
        less, more = np.nanquantile(gap[1:], (0.025, 0.975))
        told = "" if name == "mean RGB" else f"{gap[0]:+.2f} ({less:+.2f} to {more:+.2f})"
        lines.append(f"| {name} | {drawn[0]:.2f} ({low:.2f} to {high:.2f}) | {told} |")
    return "\n".join([f"## {question}", "", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cohort", default="colorectal_diagnosis", choices=[*slide_curve.COHORTS])
    parser.add_argument("--folds", type=int, default=7, choices=[*plain.FOLDS])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--augment", default="hed-light")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--cells", type=int, default=16)
    parser.add_argument("--aggregator", default="abmil")
    parser.add_argument("--max-epochs", type=int, default=200)
    parser.add_argument("--questions", nargs="+", default=["fraction", "needle"])
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no encoder after so many")
    options: Any = parser.parse_args()
    options.seeds = 1
    options.scratch = (options.scratch / f"steps-{options.steps}-{options.augment}").resolve()
    options.out = options.out and options.out.resolve()
    os.chdir(options.data)
    started = time.monotonic()
    pages = []
    for question in options.questions:
        found: dict[str, Floats] = {}
        slides = slide_curve.make_cohort(options.cohort, question, options)
        for name, encoder in encoders(options).items():
            if time.monotonic() - started > 60 * options.minutes:
                break
            found[name] = judged(name, encoder, question, slides, options)
            print(f"{question}, {name}: {found[name][0]:.3f}", flush=True)
        if found:
            pages.append(table(question, found))
    print("\n\n".join(pages))
    if options.out:
        write_text(options.out, "\n\n".join(pages) + "\n")


if __name__ == "__main__":
    main()
