"""Do explanations find a planted lesion, fall to chance with random weights, and how long do they take?

    python benchmarks/explain_localisation.py TILES --scratch SCRATCH [--seeds 3] [--aggregators convnet ...]
    python benchmarks/explain_localisation.py --seconds
    python benchmarks/explain_localisation.py --steps RUN [RUN ...] [--landmarks]

TILES is HISTONIC_DATA/patches/colorectal_diagnosis. Mosaics are made of its tiles, with a focus of
adenocarcinoma in healthy tissue in half of them; they are compressed by the encoder of the package, which has
learned from no label, and a slide network is trained on the patients' labels alone. Every map is made by
networks that never saw the patient. The ceiling is a logistic regression trained on the labels of single
cells. ``--steps`` compares integrated gradients of few steps with those of 64 on slides of such runs
(SCRATCH/seed-0/abmil). Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from histonic import Store, compress, evaluate_run, simulate_mosaic, train_slides
from histonic.aggregators import transmil
from histonic.aggregators.base import build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.errors import SettingsError
from histonic.core.processes.memory import keep_memory
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.data.maps.memory import Maps
from histonic.encoders.tile_heads import heads_beside, load_heads
from histonic.models.bundle import read_bundle
from histonic.runs.run import Run, read_run
from histonic.stages.explain.attribution import methods as explain_methods
from histonic.stages.explain.attribution.checks import cell_auc
from histonic.stages.explain.attribution.methods import METHODS, Windows
from histonic.stages.explain.attribution.output import choose_output
from histonic.stages.explain.attribution.views import ExplainedNetwork, explain_map, networks_of, randomised
from histonic.stages.explain.choice import unseen_networks
from histonic.stages.explain.lesion import lesion_shares

RATES = {
    "convnet": 1e-2,
    "abmil": 1e-3,
    "clam": 1e-3,
    "dsmil": 1e-3,
    "mean": 1e-3,
    "max": 1e-3,
    "votes": 1e-3,
    "transmil": 3e-4,
}
"""Those compared, with their first learning rate; mean, max and votes are fitted and use none."""
SETS: dict[str, dict[str, Any]] = {
    "colorectal_diagnosis": {"lesion": ("adenocarcinoma",), "background": ("healthy",), "test_patients": 16},
}
"""Tile sets whose objects fill a cell at their own scale. Test patients share no tiles."""
RANDOM_SLIDES, RANDOM_DRAWS = 10, 6
STEPS = (64, 16, 5, 3, 2, 1)
CODE_SIZE = 128
"""Of the encoders of the package."""
TISSUE = (0.1, 0.5, 1.0)
"""Shares of a timed map."""


def make_cohort(tiles: Path, folder: Path, seed: int, aggregators: Sequence[str]) -> None:
    """Slides, store and one run an aggregator; what is finished is kept."""
    if not (folder / "store").is_dir():
        simulate_mosaic(
            tiles=tiles, **SETS[tiles.name], scale_of_tiles="fill", kind="needle", lesion_share=0.1,
            patients=60, cells=16, seed=seed, out=folder,
        )  # fmt: skip
        compress(slides=(folder / "slides",), out=folder / "store")
    for name in aggregators:
        if not (folder / name / "run.json").is_file():
            train_slides(
                store=folder / "store", labels=folder / "labels.csv", target=("lesion",), out=folder / name,
                split="random", aggregator=name, initialisations=1, max_epochs=60, learning_rate=RATES[name],
                seed=0,
            )  # fmt: skip


class Cohort:
    """Maps and lesions of one cohort."""

    def __init__(self, folder: Path) -> None:
        store = Store.open(folder / "store")
        slides = {name: store.map(name) for name in store.slide_ids}
        self.maps = Maps(slides, Silent())
        self.codes = {name: np.asarray(slide.features[:], np.float32) for name, slide in slides.items()}
        masks = folder / "masks"
        self.lesions = {
            name: lesion_shares(masks / f"{name}.geojson", slide)[0] for name, slide in slides.items()
        }
        self.ill = [name for name, lesion in self.lesions.items() if (lesion >= 0.5).any()]


def aucs(
    cohort: Cohort,
    run: Run,
    networks: list[ExplainedNetwork],
    method: str,
    slides: list[str],
    draws: int = 0,
    seed: int = 0,
) -> dict[str, list[float]]:
    """AUC over cells of each slide, by its unseen networks or by so many randomised forms of them."""
    task = run.tasks[0]
    asked = choose_output(task, None)
    found: dict[str, list[float]] = {}
    for number, name in enumerate(slides):
        own = unseen_networks(run, networks, task, name)
        for draw in range(max(draws, 1)):
            used = [randomised(each, 10**6 * seed + 1000 * number + draw) for each in own] if draws else own
            values = explain_map(used, cohort.maps, name, asked, METHODS[method], upright=draws > 0)
            auc = cell_auc(values, cohort.lesions[name], cohort.maps.mask(name))
            found.setdefault(name, []).append(0.5 if auc is None else auc)
    return found


def ceiling(cohort: Cohort, run: Run) -> dict[str, float]:
    """AUC over cells of a logistic regression trained on the cells of other parts' patients."""
    part = {slide: each.tested_in[0][1] for each in run.cohort.patients for slide in each.slide_ids}
    cells = {name: (cohort.codes[name][:, cohort.maps.mask(name)].T) for name in cohort.ill}
    truth = {name: cohort.lesions[name][cohort.maps.mask(name)] >= 0.5 for name in cohort.ill}
    found = {}
    for held_out in sorted(set(part.values())):
        train = [name for name in cohort.ill if part[name] != held_out]
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        model.fit(np.concatenate([cells[name] for name in train]), np.concatenate([truth[n] for n in train]))
        for name in cohort.ill:
            if part[name] == held_out:
                mask = cohort.maps.mask(name)
                values = np.full(mask.shape, np.nan)
                values[mask] = model.decision_function(cells[name])
                found[name] = cell_auc(values, cohort.lesions[name], mask) or 0.5
    return found


def localise(tiles: Path, scratch: Path, seeds: int, aggregators: Sequence[str]) -> Iterator[str]:
    """The table of localisation, a row an aggregator and method."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in range(seeds):
        folder = scratch / f"seed-{seed}"
        make_cohort(tiles, folder, seed, aggregators)
        cohort = Cohort(folder)
        for name in aggregators:
            run = read_run(folder / name)
            networks = networks_of(read_bundle(folder / name / "bundle"))
            score = evaluate_run(folder / name, resamples=100)[0].scores[0].value
            shrinkage = float(np.mean([float(each.model.heads["lesion"].shrinkage) for each in networks]))
            best = ceiling(cohort, run)
            for method in METHODS:
                try:
                    own = aucs(cohort, run, networks, method, cohort.ill)
                except SettingsError:
                    continue  # The aggregator has no attention.
                few = cohort.ill[:: max(1, len(cohort.ill) // RANDOM_SLIDES)][:RANDOM_SLIDES]
                random = aucs(cohort, run, networks, method, few, RANDOM_DRAWS, seed)
                rows.setdefault((name, method), []).append(
                    {
                        "auroc": score,
                        "shrinkage": shrinkage,
                        "ceiling": float(np.mean(list(best.values()))),
                        "auc": float(np.mean([each[0] for each in own.values()])),
                        "test": float(
                            np.mean([each[0] for slide, each in own.items() if slide.startswith("test")])
                        ),
                        "above": float(np.mean([each[0] > 0.9 for each in own.values()])),
                        "random": [auc for each in random.values() for auc in each],
                        "slides": len(own),
                    }
                )
                print(json.dumps({"seed": seed, "of": [name, method], **rows[name, method][-1]}), flush=True)
    yield (
        "| aggregator | slide AUROC | shrinkage | method | AUC over cells | unseen tiles | slides > 0.9 "
        "| randomised | ceiling |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for (name, method), found in rows.items():
        random = np.concatenate([each["random"] for each in found])
        above = np.mean([each["above"] for each in found])
        yield (
            f"| {name} | {_range(found, 'auroc')} | {_range(found, 'shrinkage')} | {method} | "
            f"**{_range(found, 'auc')}** | {_range(found, 'test')} | "
            f"{above:.0%} | {random.mean():.2f} (sd {random.std():.2f}) | "
            f"{_range(found, 'ceiling')} |"
        )


def _range(found: list[dict[str, Any]], key: str) -> str:
    values = [each[key] for each in found]
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def time_methods(cells: int, threads: int) -> Iterator[str]:
    """Seconds of every method on a map, more or less of it tissue, by the two networks of a fold."""
    torch.set_num_threads(threads)
    keep_memory()  # as histonic explain does
    task = Task("lesion", "binary", ("lesion",), ("absent", "present"))
    asked = choose_output(task, None)
    chance = torch.Generator().manual_seed(0)
    codes = torch.randn(1, CODE_SIZE, cells, cells, generator=chance)
    # Discs of tissue in the middle, the last one large enough to leave no glass.
    axis = torch.linspace(-1, 1, cells)
    away = axis[:, None].square() + axis.square()
    sights = []
    for share in TISSUE:
        mask = (away <= away.flatten().quantile(share)).float()[None]
        sights.append(Windows(codes * mask, mask))
    shares = " | ".join(f"seconds, {share:.0%} tissue" for share in TISSUE)
    yield f"| aggregator | method | {shares} | memory so far (GB) |"
    yield "| --- | --- |" + " --- |" * (len(TISSUE) + 1)
    heads = load_heads(Path(str(heads_beside("histonic-mtl"))))
    for name in AGGREGATORS.entries():
        torch.manual_seed(0)
        models = [
            build_model(name, code_size=CODE_SIZE, crop_cells=cells, tasks=(task,), tile_heads=heads).eval()
            for _ in range(2)
        ]
        for model in models:
            torch.nn.init.normal_(model.requires_grad_(False).heads["lesion"].linear.weight)
        for method, explain in METHODS.items():
            seconds = []
            try:
                for windows in sights:
                    began = time.perf_counter()
                    for model in models:
                        explain(model, windows, asked)
                    seconds.append(f"{time.perf_counter() - began:.1f}")
            except SettingsError:
                continue
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            yield f"| {name} | {method} | {' | '.join(seconds)} | {memory:.1f} |"


def compare_steps(runs: list[Path], slides: int) -> Iterator[str]:
    """Integrated gradients of few steps against those of 64: the same order of cells, the same sum?

    Upright only, as large maps are seen. Runs of one aggregator share a row.
    """
    yield "| aggregator | steps | AUC over cells | correlation, median | least | sum off by, median | most |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    found: dict[tuple[str, int], list[tuple[float, float, float | None]]] = {}
    for folder in runs:
        run, networks = read_run(folder), networks_of(read_bundle(folder / "bundle"))
        cohort = Cohort(run.facts.store.parent)
        for name in [slide for patient in run.cohort.patients for slide in patient.slide_ids][-slides:]:
            own = unseen_networks(run, networks, run.tasks[0], name)
            values = {steps: _stepped(own, cohort, name, run.tasks[0], steps) for steps in STEPS}
            fine = values[STEPS[0]]
            tissue = np.isfinite(fine)
            for steps, rough in values.items():
                alike = float(np.corrcoef(fine[tissue], rough[tissue])[0, 1])
                off = abs(np.nansum(rough) - np.nansum(fine)) / max(abs(np.nansum(fine)), 0.05)
                auc = cell_auc(rough, cohort.lesions[name], tissue) if name in cohort.ill else None
                key = (networks[0].member.aggregator, steps)
                found.setdefault(key, []).append((alike, float(off), auc))
    for (name, steps), each in found.items():
        alike, off = ([one[place] for one in each] for place in (0, 1))
        auc = np.mean([one[2] for one in each if one[2] is not None])
        yield (
            f"| {name} | {steps} | {auc:.3f} | {np.median(alike):.3f} | {min(alike):.3f} "
            f"| {np.median(off):.1%} | {max(off):.0%} |"
        )


def _stepped(
    networks: list[ExplainedNetwork], cohort: Cohort, name: str, task: Task, steps: int
) -> np.ndarray:
    """Values ``(R, K)`` by so many steps."""
    before = explain_methods.PATH_STEPS
    explain_methods.PATH_STEPS = steps
    try:
        asked, method = choose_output(task, None), METHODS["integrated-gradients"]
        return explain_map(networks, cohort.maps, name, asked, method, upright=True)
    finally:
        explain_methods.PATH_STEPS = before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tiles", type=Path, nargs="?")
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--aggregators", nargs="+", choices=[*RATES], default=[*RATES])
    parser.add_argument("--seconds", action="store_true")
    parser.add_argument("--steps", type=Path, nargs="+", metavar="RUN")
    parser.add_argument(
        "--landmarks", action="store_true", help="attention of transmil as on large maps, with --steps"
    )
    parser.add_argument("--slides", type=int, default=24, help="the last ones of each run, with --steps")
    parser.add_argument("--cells", type=int, default=400)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    if given.seconds:
        lines = time_methods(given.cells, given.threads)
    elif given.steps:
        torch.set_num_threads(given.threads)
        if given.landmarks:
            transmil.EXACT_CELLS = 0
        lines = compare_steps(given.steps, given.slides)
    elif given.tiles and given.scratch:
        lines = localise(given.tiles, given.scratch, given.seeds, given.aggregators)
    else:
        parser.error("give TILES and --scratch, --seconds, or --steps")
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
