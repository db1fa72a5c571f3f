"""How often the audit raises an alarm: in cohorts without confounding, and with a planted one.

    python benchmarks/audit_alarms.py [--cohorts 500] [--permutations 199] > benchmarks/audit_alarms.md

Cohorts are tables of patients with the facts that a store would hold (no pictures but a colour): site,
scanner, file format, resolution, colour, tissue, size of the scan and number of slides. Sites differ in
scanner and in colour, as they do in life. Without confounding the target knows nothing of all this.
Confounding by site moves the latent outcome from the first of five sites to the last by 0.5, 1 or 2 of its
standard deviations; confounding by colour moves it by half of one for each standard deviation of the hue.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping

import numpy as np

from histonic.core.cohort import Cohort, Patient
from histonic.core.progress import Silent
from histonic.core.task import Task
from histonic.slides.likeness import SIDE, Appearance
from histonic.stages.audit.confounders import score_all
from histonic.stages.audit.facts import SlideFacts, list_confounders

TASKS = {
    "binary": Task("binary", "binary", ("y",), ("no", "yes")),
    "regression": Task("regression", "regression", ("y",)),
    "survival": Task("survival", "survival", ("t", "e")),
}
KINDS = {**{kind: (kind,) for kind in TASKS}, "all three": tuple(TASKS)}
SIZES = (60, 150, 400)
SITES = 5
SCANNERS = ("aperio SS1302", "hamamatsu NanoZoomer", "leica Versa")
PLANTED = {
    "none": (0.0, 0.0),
    "site, weak": (0.5, 0.0),
    "site": (1.0, 0.0),
    "site, strong": (2.0, 0.0),
    "colour": (0.0, 0.5),
}
"""Standard deviations by which the latent outcome moves over the sites, and per deviation of the hue."""
ROWS = [
    *((kind, n, "none") for n in SIZES for kind in TASKS),
    ("all three", 150, "none"),
    *((kind, n, name) for name in list(PLANTED)[1:] for n in SIZES for kind in TASKS),
]
"""Kind of target, patients, and what is planted."""
EMPTY = np.zeros((SIDE, SIDE))


def draw_cohort(
    kind: str, n: int, effects: tuple[float, float], rng: np.random.Generator
) -> tuple[Cohort, Mapping[str, SlideFacts]]:
    """Patients, their target and the facts of their slides."""
    of_site = rng.integers(0, SITES, n)
    scanner_of = rng.integers(0, len(SCANNERS), SITES)
    hue_of = rng.normal(size=(SITES, 3))
    shade = hue_of[of_site] + rng.normal(size=(n, 3))
    hue = shade @ np.array([1.0, -1.0, 0.5]) / 1.5
    latent = effects[0] * (of_site / (SITES - 1) - 0.5) + rng.normal(size=n)
    latent += effects[1] * (hue - hue.mean()) / hue.std()
    targets = {each: draw_targets(each, latent, rng) for each in KINDS[kind]}
    patients, facts = [], {}
    for k in range(n):
        slides = tuple(f"s{k}-{number}" for number in range(int(rng.integers(1, 4))))
        for slide in slides:
            colour = np.clip((200, 140, 180) + 12 * shade[k] + 3 * rng.normal(size=3), 1, 254)
            facts[slide] = SlideFacts(
                slide,
                slide,
                SCANNERS[scanner_of[of_site[k]]],
                ("svs jpeg", "tiff jpeg")[scanner_of[of_site[k]] % 2],
                (0.25, 0.23, 0.5)[scanner_of[of_site[k]]],
                float(rng.lognormal(5, 0.4)),
                float(rng.lognormal(4, 0.6)),
                Appearance((float(colour[0]), float(colour[1]), float(colour[2])), EMPTY, EMPTY),
            )
        own = {each: values[k] for each, values in targets.items()}
        patients.append(Patient(f"P{k:04d}", slides, f"site {of_site[k]}", own))
    return Cohort(tuple(TASKS[each] for each in targets), tuple(patients)), facts


def draw_targets(
    kind: str, latent: np.ndarray, rng: np.random.Generator
) -> list[float] | list[tuple[float, float]]:
    """Of each patient: class (a third is positive), number, or follow-up with about half of the events."""
    if kind == "regression":
        return [float(value) for value in latent]
    if kind == "binary":
        return [float(value) for value in latent > np.quantile(latent, 2 / 3)]
    death = rng.exponential(40 * np.exp(-0.9 * (latent - latent.mean())))
    end = rng.uniform(5, 90, len(latent))
    return [(float(min(d, e)), float(d <= e)) for d, e in zip(death, end, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=500)
    parser.add_argument("--permutations", type=int, default=199)
    parser.add_argument("--part", type=int, default=1, help="Which of --parts parts of the rows.")
    parser.add_argument("--parts", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    print("# Alarms of the audit: false ones, and planted confounding that is found\n")
    print(
        f"Command: `python benchmarks/audit_alarms.py --cohorts {options.cohorts} "
        f"--permutations {options.permutations}`\n"
    )
    print(
        "| target | patients | planted | cohorts | any alarm | site | colour | mean share of pairs (site) "
        "| intervals of unrelated ones that cover 0.5 |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for kind, n, name in ROWS[options.part - 1 :: options.parts]:
        count = options.cohorts if name == "none" else max(1, options.cohorts // 20)
        print(row(kind, n, name, PLANTED[name], count, options.permutations), flush=True)
    print(f"\n{time.monotonic() - began:.0f} s on one core.")
    return 0


def row(kind: str, n: int, name: str, effects: tuple[float, float], count: int, permutations: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng([n, len(name), len(kind)])
    any_, site, colour, covered, unrelated, shares = 0, 0, 0, 0, 0, []
    for seed in range(count):
        cohort, facts = draw_cohort(kind, n, effects, rng)
        told = score_all(
            cohort,
            list_confounders(cohort.patients, facts),
            permutations=permutations,
            seed=seed,
            progress=Silent(),
        )
        alarms = {each.confounder for each in told if each.alarm}
        any_ += bool(alarms)
        site += "site" in alarms
        colour += "colour" in alarms
        for each in told:
            if each.confounder == "site" and each.value is not None:
                shares.append(each.value)
            if each.value is not None and (
                name == "none" or each.confounder in ("tissue", "glass", "slides")
            ):
                unrelated += 1
                covered += each.low <= 0.5 <= each.high
    return (
        f"| {kind} | {n} | {name} | {count} | {any_ / count:.1%} | {site / count:.0%} | {colour / count:.0%} "
        f"| {np.mean(shares):.2f} | {covered / unrelated:.1%} |"
    )


if __name__ == "__main__":
    sys.exit(main())
