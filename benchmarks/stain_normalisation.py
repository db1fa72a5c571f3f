"""What bringing stains to a reference does to codes: classes told apart, and how much the source shows.

    python benchmarks/stain_normalisation.py HISTONIC_DATA --scratch SCRATCH

For each set of tiles and each of no normalisation, Macenko's and Reinhard's method: a linear model of the
frozen codes, scored on the test tiles (intervals by resampling groups), and the share of the codes' variance
that goes with the source (patient, slide or field) among tiles of one class. Breast tiles are also learned
from one source and tested on the other. Then a simulated cohort of three sites that stain differently. Then
what it costs. Tables go to standard output; codes are kept in the scratch folder and used again.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from histonic.core.errors import TileSetError
from histonic.core.progress import Silent
from histonic.core.settings import HE_FACTS, HE_REFERENCE, StainNormalisation
from histonic.core.task import Task
from histonic.data.tilesets.plan import TileSetSettings
from histonic.data.tilesets.tile_set import TileSet, read_tile_set
from histonic.encoders.base import load_encoder
from histonic.encoders.engines.choice import start_encoding
from histonic.metrics.discrimination.variance import variance_shares
from histonic.metrics.inference.scores import Score
from histonic.nn.normalisation.normaliser import Normaliser
from histonic.simulate.patients import Latents
from histonic.simulate.slides import simulate_tissue
from histonic.simulate.stains import SITES
from histonic.stages.encoder.stains import with_normalised_stains
from histonic.stages.transfer.probe import LabelledCodes, probe_codes

METHODS = ("none", "macenko", "reinhard")
SEED = 0
SLIDES_A_SITE, SIMULATED_PX = 20, 384


def wanted(method: str) -> StainNormalisation:
    return StainNormalisation(
        method=method,
        reference=HE_REFERENCE,
        target=HE_FACTS,
        otherwise="leave",  # type: ignore[arg-type]
    )


def tile_set(path: Path, scratch: Path, method: str, px: int) -> TileSet:
    settings = TileSetSettings(name=path.name, path=path, scale="fill", duplicates="drop", kind="multiclass")
    found = read_tile_set(settings, tile_px=px, mpp=0.5, cache=scratch / "cache", seed=SEED)
    if method == "none":
        return found
    return with_normalised_stains(found, wanted(method), scratch / "cache", Silent())


def codes_of(tiles: np.ndarray, rows: np.ndarray, encoder: str, path: Path) -> np.ndarray:
    if path.is_file():
        return np.load(path)
    found = load_encoder(encoder).encode(np.ascontiguousarray(tiles[rows]))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, found)
    return found


def chosen(found: TileSet, split: str, most: int) -> np.ndarray:
    """Some of the tiles of a split, the same for every method."""
    rows = found.rows(split)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, most, replace=False))
    return rows


def measured(path: Path, scratch: Path, encoder: str, most: int, px: int) -> list[dict[str, object]]:
    made = []
    for method in METHODS:
        found = tile_set(path, scratch, method, px)
        (task,) = found.tasks
        parts = {}
        for split in ("train", "test"):
            rows = chosen(found, split, most)
            file = scratch / "codes" / f"{encoder}-{path.name}-{method}-{split}-{most}.npy"
            parts[split] = (rows, codes_of(found.tiles, rows, encoder, file))

        def known(name: str) -> LabelledCodes:
            rows, codes = parts[name]  # noqa: B023 - used at once
            return LabelledCodes(codes, found.targets[task.name][rows], found.group[rows])  # noqa: B023

        score = probe_codes(known("train"), known("test"), task, seed=SEED).scores[0]
        rows, codes = (np.concatenate([parts[split][place] for split in parts]) for place in (0, 1))
        shares = variance_shares(codes, found.targets[task.name][rows], found.group[rows])
        made.append(
            {
                "set": path.name,
                "stains": method,
                score.name.lower(): _with_interval(score),
                "classes": _share(shares.classes),
                "sources": _share(shares.sources),
                "notes": found.notes[-1] if method != "none" else "",
            }
        )
        if path.name == "breast_mitosis":
            made[-1].update(_across(task, found, rows, codes))
    return made


def _across(task: Task, found: TileSet, rows: np.ndarray, codes: np.ndarray) -> dict[str, object]:
    """Learned from one source, tested on the other; and the share of variance that goes with the source."""
    source = np.array([name[:5] for name in found.group[rows]])
    targets, groups = found.targets[task.name][rows], found.group[rows]
    more: dict[str, object] = {"site": _share(variance_shares(codes, targets, source).sources)}
    for one, other in (("MIDOG", "TUPAC"), ("TUPAC", "MIDOG")):
        given = [
            LabelledCodes(codes[source == name], targets[source == name], groups[source == name])
            for name in (one, other)
        ]
        score = probe_codes(*given, task, seed=SEED).scores[0]
        more[f"{one} to {other}"] = _with_interval(score)
    return more


def _with_interval(score: Score) -> str:
    low, high = ("?" if each is None else f"{each:.3f}" for each in (score.low, score.high))
    return f"{score.value:.3f} [{low}, {high}]"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def simulated(scratch: Path, encoder: str, px: int) -> list[dict[str, object]]:
    """Slides of three sites that stain differently; what drives the tissue is drawn alike in all of them."""
    import torch

    from histonic.nn.normalisation.estimate import estimate_stains, tissue_pixels

    images, sites, slides, drive = [], [], [], []
    for number in range(SLIDES_A_SITE * len(SITES)):
        rng = np.random.default_rng([SEED, number])
        latents = Latents(*(float(each) for each in rng.random(3)))
        images.append(simulate_tissue(SIMULATED_PX, rng, latents, SITES[number % len(SITES)]))
        sites.append(SITES[number % len(SITES)])
        drive.append(latents.proliferation)
    side = SIMULATED_PX // px
    made = []
    task = Task("site", "multiclass", ("site",), SITES)
    for method in METHODS:
        tiles = []
        for image in images:
            cut = (
                image[: side * px, : side * px]
                .reshape(side, px, side, px, 3)
                .swapaxes(1, 2)
                .reshape(-1, px, px, 3)
            )
            if method != "none":
                own = estimate_stains(tissue_pixels(torch.from_numpy(image.reshape(-1, 3).copy())))
                cut = Normaliser(own, wanted(method))(cut)
            tiles.append(cut)
        stack = np.concatenate(tiles)
        slides = np.repeat([f"s{number}" for number in range(len(images))], side * side)
        file = scratch / "codes" / f"{encoder}-simulated-{method}.npy"
        codes = codes_of(stack, np.arange(len(stack)), encoder, file)
        site = np.repeat([SITES.index(name) for name in sites], side * side).astype(float)
        value = np.repeat(drive, side * side)
        by_slide = np.array([codes[slides == f"s{number}"].mean(axis=0) for number in range(len(images))])
        train = np.arange(len(images)) // len(SITES) % 2 == 0
        names = np.array([f"s{number}" for number in range(len(images))])
        score = probe_codes(
            LabelledCodes(by_slide[train], site[:: side * side][train], names[train]),
            LabelledCodes(by_slide[~train], site[:: side * side][~train], names[~train]),
            task,
            seed=SEED,
        ).scores[0]
        grown = Task("proliferation", "regression", ("p",))
        told = probe_codes(
            LabelledCodes(by_slide[train], value[:: side * side][train], names[train]),
            LabelledCodes(by_slide[~train], value[:: side * side][~train], names[~train]),
            grown,
            seed=SEED,
        ).scores[0]
        of_site = variance_shares(codes, np.zeros(len(codes)), np.array(SITES)[site.astype(int)]).sources
        made.append(
            {
                "stains": method,
                "variance of the site": _share(of_site),
                "site told by a linear model": _with_interval(score),
                "proliferation (Spearman)": _with_interval(told),
            }
        )
    return made


def ratios(encoder: str, tiles: np.ndarray, rounds: int = 3) -> list[dict[str, object]]:
    """Tiles per second of an encoder at work alone, with stains normalised and without, in turns."""
    loaded = load_encoder(encoder)
    made = []
    with start_encoding(
        loaded,
        device="cpu",
        precision="32",
        engine=None,
        tiles=0,
        batch=256,
        first=tiles[:8],
        progress=Silent(),
    ) as pool:
        befores = {"none": None} | {
            method: Normaliser(HE_FACTS, wanted(method)) for method in METHODS if method != "none"
        }
        seconds: dict[str, list[float]] = {method: [] for method in METHODS}
        pool.submit(tiles[:64]).result()
        for _ in range(rounds):
            for method, before in befores.items():
                began = time.perf_counter()
                pool.submit(tiles, before).result()
                seconds[method].append(time.perf_counter() - began)
        best = {method: min(times) for method, times in seconds.items()}
        for method in METHODS:
            made.append(
                {
                    "encoder": encoder,
                    "engine": pool.description.engine,
                    "stains": method,
                    "tiles/s": f"{len(tiles) / best[method]:.0f}",
                    "time, of that without": f"{best[method] / best['none']:.2f}",
                }
            )
    return made


def table(rows: list[dict[str, object]]) -> str:
    frame = pd.DataFrame(rows).fillna("")
    lines = ["| " + " | ".join(frame.columns) + " |", "| " + " | ".join("---" for _ in frame.columns) + " |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--encoder", action="append", default=[])
    parser.add_argument("--sets", nargs="*")
    parser.add_argument("--most", type=int, default=500, help="Tiles of a split, at most.")
    parser.add_argument("--only", choices=["sets", "simulated", "speed"])
    given = parser.parse_args()
    for encoder in given.encoder or ["histonic-mtl"]:
        px = load_encoder(encoder).spec.tile_px
        if given.only in (None, "sets"):
            folders = sorted(path for path in (given.data / "patches").iterdir() if path.is_dir())
            names = given.sets or [path.name for path in folders]
            rows: list[dict[str, object]] = []
            for path in folders:
                if path.name not in names:
                    continue
                try:
                    rows += measured(path, given.scratch, encoder, given.most, px)
                except TileSetError as error:
                    rows.append({"set": path.name, "notes": error.found})
            print(f"### {encoder}\n\n{table(rows)}\n", flush=True)
        if given.only in (None, "simulated"):
            print(
                f"### {encoder}: simulated sites\n\n{table(simulated(given.scratch, encoder, px))}\n",
                flush=True,
            )
        if given.only in (None, "speed"):
            tiles = np.random.default_rng(0).integers(60, 240, (512, px, px, 3)).astype(np.uint8)
            print(f"### {encoder}: speed\n\n{table(ratios(encoder, tiles))}\n", flush=True)


if __name__ == "__main__":
    main()
