"""Whether OpenVINO runs an encoder faster than the engines that are here.

    pip install openvino
    python benchmarks/openvino_speed.py [--encoders FILE,NAME] [--rounds 3]

Tiles/s of the encoder alone, in turns on all cores: as it is (eager), compiled, and converted to OpenVINO
with a stream a core; and the least cosine of OpenVINO's codes to those in float32. Tiles are random, of the
encoder's own size. OpenVINO's own reports to its makers are kept out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from histonic.core.progress import Silent
from histonic.encoders.base import batch_of, load_encoder
from histonic.encoders.engines.alone import rate_alone
from histonic.encoders.engines.choice import least_cosine, start_encoding
from histonic.encoders.engines.machine import is_half_fast

SECONDS = 3.0
ROUND = 8
"""Batches that are different."""


def engine_rate(name: str, precision: Any, engine: Any, tile_px: int, seconds: float = SECONDS) -> float:
    """Tiles per second by an engine of ours; NaN where it does not run."""
    first = np.random.default_rng(0).integers(0, 256, (64, tile_px, tile_px, 3), dtype=np.uint8)
    with start_encoding(
        load_encoder(name, precision=precision),
        device="cpu",
        precision=precision,
        engine=engine,
        tiles=0,
        batch=256,
        first=first,
        progress=Silent(),
    ) as pool:
        if pool.description.engine != engine:
            return float("nan")
        return rate_alone(pool, tile_px, seconds)


def openvino_runs(name: str) -> dict[str, Callable[[], tuple[float, float]]]:
    """By precision what gives tiles per second and the least cosine; also says what converting took."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    encoder = load_encoder(name)
    network, size = encoder.tile_network, batch_of(encoder.spec)  # type: ignore[attr-defined]
    side = encoder.spec.tile_px
    tiles = np.random.default_rng(0).integers(0, 256, (ROUND * size, side, side, 3), dtype=np.uint8)
    batches = tiles.reshape(ROUND, size, side, side, 3)
    began = time.perf_counter()
    exported = torch.export.export(network.eval(), (torch.from_numpy(batches[0]),))
    model = openvino.convert_model(exported)
    print(f"{name}: converted in {time.perf_counter() - began:.1f} s")
    cores = torch.get_num_threads()

    def run(precision: str) -> tuple[float, float]:
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": cores,
        }
        requests = openvino.AsyncInferQueue(openvino.Core().compile_model(model, "CPU", settings), cores)
        codes: dict[int, Any] = {}
        requests.set_callback(
            lambda done, number: codes.__setitem__(number, done.get_output_tensor().data.copy())
        )

        def pass_through(times: int) -> None:
            for number in range(times * ROUND):
                requests.start_async({0: batches[number % ROUND]}, number % ROUND)
            requests.wait_all()

        pass_through(1)
        began, passes = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            pass_through(1)
            passes += 1
        rate = passes * len(tiles) / (time.perf_counter() - began)
        found = np.concatenate([codes[number] for number in range(ROUND)])
        return rate, least_cosine(encoder.encode(tiles), found)

    return {"32": lambda: run("f32"), "bf16": lambda: run("bf16")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", default="histonic-mtl", help="files or names, with commas")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| encoder | precision | eager | compiled | OpenVINO | least cosine |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.encoders.split(","):
        tile_px = load_encoder(name).spec.tile_px
        try:
            by_openvino = openvino_runs(name)
        except Exception as error:  # noqa: BLE001 - its converters fail in many ways, and that is a result, too
            print(f"{name}: OpenVINO cannot convert it: {str(error).strip().splitlines()[-1][:200]}")
            continue
        for precision in ("32", "bf16") if is_half_fast("cpu") else ("32",):
            rates: dict[str, list[float]] = {"eager": [], "compiled": [], "openvino": []}
            cosine = 1.0
            for _ in range(options.rounds):
                for engine in ("eager", "compiled"):
                    rates[engine].append(engine_rate(name, precision, engine, tile_px))
                rate, cosine = by_openvino[precision]()
                rates["openvino"].append(rate)
            middle = " | ".join(f"{statistics.median(found):.0f}" for found in rates.values())
            print(f"| {name} | {precision} | {middle} | {cosine:.6f} |", flush=True)


if __name__ == "__main__":
    main()
