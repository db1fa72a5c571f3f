"""From pixels to labels, or by codes: who finds a lesion of 0.5 % of the tissue on slides of real tiles.

    python benchmarks/streaming_mosaics.py HISTONIC_DATA --scratch SCRATCH [--out TABLE.md]

Tiles of lymph nodes are laid out as slides (``histonic simulate mosaic``, needle): half of the patients have
a focus of tumour of 0.5 % of the tissue. Test patients are made of test tiles. The same slides, patients and
splits for all:

- streaming: pixels at 2 um/px (a cell of 128 px at 0.5 um/px is 32 x 32), the aggregator ``streaming``,
  trained end to end;
- NIC: codes of ``histonic-mtl`` at 0.5 um/px, ``convnet``;
- NIC, fine-tuned: the encoder first trained through the slides' labels (``finetune_encoder``) of the training
  patients, then the same;
- ABMIL: codes of ``histonic-mtl``, ``abmil``.

AUROC of the test patients, intervals by 2,000 resamples of them; seconds of a core for all that is learned
(compression is told apart). Finished parts are reused. ``--cells 64`` is 2048 x 2048 pixels at 2 um/px; the
encoder's training tiles are of this kind too, see its card.
"""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histonic import Task, compress, simulate_mosaic, train_slides
from histonic.runs.predictions import read_predictions
from histonic.runs.run import read_facts
from histonic.stages.encoder.finetune import finetune_encoder
from histonic.stages.evaluate.evaluate import EVALUATORS

SET = "lymph_node_metastasis"
LESION_SHARE = 0.005
RESAMPLES = 2000
ENCODER, PIXELS = "histonic-mtl", "pixels:2"
ARMS = {
    "streaming from pixels": (PIXELS, "streaming"),
    "NIC": (ENCODER, "convnet"),
    "NIC, encoder fine-tuned": ("tuned", "convnet"),
    "ABMIL": (ENCODER, "abmil"),
}


def timed(kept: Path, work: Callable[[], Any]) -> float:
    """Seconds of a core that work took; of finished work as they were kept."""
    if not kept.is_file():
        began = time.process_time()
        work()
        kept.write_text(json.dumps(time.process_time() - began))
    return float(json.loads(kept.read_text()))


def run_arm(arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one arm; its seconds and its scores."""
    encoder, aggregator = ARMS[arm]
    folder, cohort = arguments.scratch, arguments.scratch / "cohort"
    name = arm.replace(" ", "-").replace(",", "")
    seconds = {"encoder": 0.0}
    if encoder == "tuned":
        encoder = str(folder / "tuned.safetensors")
        seconds["encoder"] = timed(folder / "tuned.json", lambda: tune(Path(encoder), arguments))
    store = folder / ("store-" + ("tuned" if arm.startswith("NIC,") else encoder.replace(":", "-")))
    seconds["compress"] = timed(folder / f"{store.name}.json", lambda: make_store(encoder, store, cohort))
    run = folder / name
    seconds["train"] = timed(
        folder / f"{name}.json",
        lambda: train_slides(
            store=store,
            labels=cohort / "labels.csv",
            target=("lesion:binary",),
            aggregator=aggregator,
            crop_cells=10_000 if aggregator == "streaming" else 400,
            batch=4 if aggregator == "streaming" else 16,
            test_crops=1 if aggregator == "streaming" else 10,
            max_epochs=arguments.epochs if aggregator == "streaming" else 200,
            initialisations=1,
            seed=arguments.seed,
            device="cpu",
            out=run,
        ),
    )
    return {"seconds": seconds, "scores": scores_of(run)}


def make_store(encoder: str, store: Path, cohort: Path) -> None:
    found = compress(slides=(cohort / "slides",), encoder=encoder, out=store, device="cpu")
    if found.failures:
        raise SystemExit(f"{store}: {found.failures}")


def tune(out: Path, arguments: argparse.Namespace) -> None:
    labels = pd.read_csv(arguments.scratch / "cohort" / "labels.csv", dtype=str)
    train = labels[labels["split"] == "train"]
    classes = ("absent", "present")
    targets = {row["slide_id"]: float(classes.index(row["lesion"])) for row in train.to_dict("records")}
    store = arguments.scratch / f"store-{ENCODER}"
    task = Task("lesion", "binary", ("lesion",), classes)
    finetune_encoder(
        ENCODER, store, targets, task, out, epochs=arguments.tune_epochs, seed=arguments.seed, device="cpu"
    )


def scores_of(run: Path) -> np.ndarray:
    """AUROC of the test patients, then on resamples of them, the same for all arms."""
    task = read_facts(run).tasks[0]
    evaluated = EVALUATORS[task.kind](read_predictions(run, task))
    n = len(evaluated.fold)
    rng = np.random.default_rng(zlib.crc32(b"streaming"))
    counts = np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES)])
    return np.asarray(evaluated.measures[0].statistic(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=64, help="cells of 128 px at 0.5 um/px along a side")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--test-patients", type=int, default=40)
    parser.add_argument("--lesion-share", type=float, default=LESION_SHARE)
    parser.add_argument("--epochs", type=int, default=40, help="of streaming, at most")
    parser.add_argument("--tune-epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", nargs="+", choices=[*ARMS], default=[*ARMS])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    simulate_mosaic(
        tiles=arguments.data / "patches" / SET,
        mpp_of_tiles=0.97,
        scale_of_tiles="fill",
        kind="needle",
        lesion_share=arguments.lesion_share,
        cells=arguments.cells,
        patients=arguments.patients,
        test_patients=arguments.test_patients,
        seed=arguments.seed,
        out=arguments.scratch / "cohort",
        cache=arguments.scratch / "cache",
    )
    side = arguments.cells * 32
    lines = [
        f"{arguments.patients} patients to learn from, {arguments.test_patients} to test, slides of "
        f"{side} x {side} pixels at 2 um/px, lesion {arguments.lesion_share:.1%} of the tissue, "
        f"seed {arguments.seed}.",
        "",
        "| | AUROC (95 % interval) | learning | compressing |",
        "| --- | --- | --- | --- |",
    ]
    for arm in arguments.arms:
        found = run_arm(arm, arguments)
        scores, seconds = found["scores"], found["seconds"]
        low, high = np.nanquantile(scores[1:], (0.025, 0.975))
        lines.append(
            f"| {arm} | {scores[0]:.2f} ({low:.2f} to {high:.2f}) | "
            f"{seconds['encoder'] + seconds['train']:.0f} s | {seconds['compress']:.0f} s |"
        )
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text("# A small lesion, from pixels or from codes\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
