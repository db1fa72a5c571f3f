"""What a tile costs with the encoders that are compared, compiled, in turns.

    python benchmarks/encoder_cost.py [--encoders histonic-mtl histonic-lite] [--rounds 7] [--seconds 3]

Each encoder runs with the precision that it has by default on this machine, and in float32, on all cores
(``taskset -c 0`` before it: on one). Medians of rounds in which all take their turns; ratios are of the same
round, to the first encoder as it is by default. Tiles are random: the time of a tile does not depend on what
it shows.
"""

from __future__ import annotations

import argparse
import statistics

from histonic.core.processes.cores import usable_cores
from histonic.encoders.base import load_encoder
from histonic.encoders.engines.choice import choose_precision
from openvino_speed import engine_rate


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", nargs="+", default=["histonic-mtl", "histonic-lite"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    sides = {}
    for name in options.encoders:
        spec = load_encoder(name).spec
        for precision in dict.fromkeys([choose_precision("auto", spec, "cpu"), "32"]):
            sides[name, precision] = spec.tile_px
    costs: dict[tuple[str, str], list[float]] = {key: [] for key in sides}
    for _ in range(options.rounds):
        for (name, precision), side in sides.items():
            rate = engine_rate(name, precision, "compiled", side, options.seconds)
            costs[name, precision].append(1e3 * usable_cores() / rate)
    first = next(iter(costs.values()))
    print(f"{usable_cores()} cores\n")
    print("| encoder | precision | ms a tile and core | from | to | ratio to the first | from | to |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for (name, precision), found in costs.items():
        ratios = [own / other for own, other in zip(found, first, strict=True)]
        texts = [f"{value:.2f}" for value in (statistics.median(found), min(found), max(found))]
        texts += [f"{value:.2f}" for value in (statistics.median(ratios), min(ratios), max(ratios))]
        print(f"| {name} | {precision} | " + " | ".join(texts) + " |")


if __name__ == "__main__":
    main()
