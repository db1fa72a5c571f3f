"""Codes of 128 numbers on slides: components, mixed components, what many tasks taught, and all numbers.

    python benchmarks/imagenet_trunk.py --out imagenet.safetensors
    python benchmarks/slide_encoders.py HISTONIC_DATA --imagenet imagenet.safetensors --scratch SCRATCH

The cohorts and questions of slide_curve.py. Whatever is fitted or learned is so on the training tiles of the
tile sets that are not the cohort's nor related to it. Of two families of numbers that nobody learned from
tissue: a stage of EfficientNet-Lite0 with statistics of the tile (*lite*, ``histonic-lite``), and the last
layer of the whole EfficientNet-Lite0 (*ImageNet*, 1,280 numbers, as a foundation encoder gives them):

- *components*: 128 principal components, each of unit variance;
- *mixed*: the same, each in the root of its own spread, turned so that each number holds some of all, as
  ``histonic-lite`` and ``encoder train --objective components`` have them;
- *own spread*: turned so as well, in their own spread;
- *multitask*: a linear projection learned by ``encoder train --freeze-trunk`` (``hed-strong``, 10 epochs);
- *all*: the numbers as they are (of *lite* 160 components).

Beside them ``histonic-mtl``, which has learned from the labels of training tiles of both cohorts' sets, and
``histonic-lite``, whose components are fitted to such tiles, too.
``abmil``, 4 folds x 2 networks, two seeds of them; 95 % intervals resample patients, the same draws for all.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import slide_curve
from frozen_codes import SETS, left_out_with
from histonic import compress, project, train_slides
from histonic.core.compressed import ProjectionDescription
from histonic.core.files import write_text
from histonic.core.progress import Silent
from histonic.core.settings import make_settings
from histonic.data.tilesets.tile_set import TileSet
from histonic.encoders.base import EncoderSpec, load_encoder
from histonic.encoders.networks.lite import LiteAppearanceEncoder, LiteAppearanceNetwork
from histonic.encoders.networks.projected import ProjectedEncoder, Projection, projected_tensors
from histonic.nn.components import MOST_DEVIATIONS, measure_components, turned
from histonic.stages.encoder.frozen import feature_sets
from histonic.stages.encoder.inputs import read_inputs
from histonic.stages.encoder.settings import TrainEncoderSettings
from histonic.stages.encoder.train import train_encoder
from left_out_table import raw_numbers, wheel_state
from plain_slides import Floats, resampled

CODE_SIZE, MOST = 128, 160
SIDE, CHANNELS = 64, 80
WAYS = ("all", "components", "mixed", "own spread", "multitask")
POWERS = {"mixed": 0.5, "own spread": 1.0}


class Bench:
    """Encoders, maps and runs of one cohort in one folder."""

    def __init__(self, cohort: str, options: argparse.Namespace) -> None:
        self.cohort, self.options = cohort, options
        self.folder: Path = options.scratch / f"encoders-{cohort}"
        self.folder.mkdir(parents=True, exist_ok=True)
        away = left_out_with(cohort)
        self.sets = [{**each, "path": f"patches/{each['name']}"} for each in SETS if each["name"] not in away]

    def settings(self, **changes: Any) -> TrainEncoderSettings:
        """Of a training, or of reading the tiles."""
        values = {"sets": self.sets, "cache": self.options.scratch / "cache", "device": "cpu", **changes}
        return make_settings(TrainEncoderSettings, {"out": self.folder / "none", **values})

    def encoder(self, family: str, way: str) -> str:
        """The file of an encoder, made once."""
        path = self.folder / f"{family}-{way.replace(' ', '-')}.safetensors"
        if path.is_file():
            return str(path)
        base = str(self.options.imagenet)
        if family == "lite" and way != "multitask":
            self.lite(way).save(path)
        elif way == "multitask":
            base = self.encoder("lite", "all") if family == "lite" else base
            run = train_encoder(self.frozen(base, self.folder / f"{family}-training"))
            load_encoder(run / "encoder.safetensors").save(path)
        elif way == "all":
            return base
        elif way == "mixed":
            run = train_encoder(
                self.settings(
                    objective="components",
                    weights=base,
                    code_size=CODE_SIZE,
                    out=self.folder / f"{family}-components-run",
                )
            )
            load_encoder(run / "encoder.safetensors").save(path)
        else:
            self.components(base, POWERS.get(way)).save(path)
        return str(path)

    def frozen(self, base: str, out: Path) -> TrainEncoderSettings:
        """Of a projection behind an encoder."""
        return self.settings(
            weights=base,
            freeze_trunk=True,
            code_size=CODE_SIZE,
            augment="hed-strong",
            steps=100,
            max_epochs=10,
            views=self.options.views,
            out=out,
        )

    def lite(self, way: str) -> LiteAppearanceEncoder:
        """The two parts of ``histonic-lite``, their components fitted on the other sets."""
        size = MOST if way == "all" else CODE_SIZE
        network = LiteAppearanceNetwork(size, 128, SIDE, CHANNELS).eval()
        network.trunk.load_wheel(wheel_state())
        sets = read_inputs(self.settings(), Silent())
        known = [raw_numbers(each, SIDE, CHANNELS, self.options.scratch) for each in sets]
        for part, layer in enumerate((network.seen, network.looks)):
            layer.fit(torch.from_numpy(training(sets, [each[part] for each in known])))
            if way in POWERS:
                layer.axes.copy_(turned(layer.axes, POWERS[way]))
        spec = EncoderSpec(f"lite-{way}", f"lite-appearance:{SIDE}:{CHANNELS}", 128, 0.5, size)
        tensors = {name: value.numpy() for name, value in network.state_dict().items()}
        return LiteAppearanceEncoder.from_tensors(spec, tensors, "cpu", "32")

    def components(self, base: str, power: float | None) -> ProjectedEncoder:
        """Components of an encoder's numbers as a projection behind it."""
        settings = self.frozen(base, self.folder / "none")
        sets = read_inputs(settings, Silent())
        features = feature_sets(settings, sets, Silent())
        numbers = training(sets, [np.asarray(each.tiles[:, 0], np.float32) for each in features])
        mean, spread, axes = measure_components(torch.from_numpy(numbers), CODE_SIZE)
        frozen = load_encoder(base)
        layer = Projection(frozen.spec.code_size, CODE_SIZE, most_deviations=MOST_DEVIATIONS)
        with torch.no_grad():
            layer.mean.copy_(mean)
            layer.spread.copy_(spread)
            layer.layers[0].weight.copy_((axes if power is None else turned(axes, power)).T)  # type: ignore[operator]
            layer.layers[0].bias.zero_()  # type: ignore[operator, union-attr]
        spec = replace(
            frozen.spec,
            name="components",
            architecture=f"projected:{frozen.spec.architecture}",
            code_size=CODE_SIZE,
            projection=ProjectionDescription(frozen.spec.code_size, 0, MOST_DEVIATIONS),
        )
        own = {name: value.numpy() for name, value in layer.state_dict().items()}
        return ProjectedEncoder.from_tensors(spec, projected_tensors(frozen.tensors, own), "cpu", "32")

    def maps(self, family: str, way: str, slides: Path) -> Path:
        """A store of the cohort's maps; of what is projected, from the store of all numbers."""
        store = slides / f"{family}-{way.replace(' ', '-')}-store"
        behind = way != "all" and (family == "ImageNet" or (family, way) == ("lite", "multitask"))
        encoder = self.encoder(family, way) if family in ("lite", "ImageNet") else family
        if behind:
            project(store=self.maps(family, "all", slides), encoder=encoder, out=store)
        else:
            done = compress(slides=(slides / "slides",), encoder=encoder, out=store, device="cpu")
            if done.failures:
                raise SystemExit(f"{store}: {done.failures}")
        return store

    def judged(self, family: str, way: str, question: str) -> Floats:
        """The leading metric out of fold: its value, then on resamples of the patients; mean of seeds."""
        slides = slide_curve.make_cohort(self.cohort, question, self.options)
        found = []
        for seed in range(self.options.seeds):
            run = slides / f"{family}-{way.replace(' ', '-')}-run-{seed}"
            if not (run / "run.json").is_file():
                train_slides(
                    store=self.maps(family, way, slides),
                    labels=slide_curve.write_labels(slides, slides / "table.csv"),
                    target=(slide_curve.QUESTIONS[question]["target"],),
                    aggregator="abmil",
                    max_epochs=200,
                    seed=seed,
                    device="cpu",
                    workers=1,
                    out=run,
                )
            found.append(resampled(run))
        return np.mean(found, axis=0)


def training(sets: list[TileSet], numbers: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Numbers of the training tiles of all sets."""
    return np.concatenate([own[each.rows("train")] for each, own in zip(sets, numbers, strict=True)])


def told(drawn: Floats, sign: str = "") -> str:
    """A value and its interval."""
    low, high = np.nanquantile(drawn[1:], (0.025, 0.975))
    return f"{drawn[0]:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="file for the tables (.md)")
    parser.add_argument("--cohorts", nargs="+", default=list(slide_curve.COHORTS))
    parser.add_argument("--families", nargs="+", default=["lite", "ImageNet"])
    parser.add_argument("--seeds", type=int, default=2, help="of the slide networks")
    parser.add_argument("--views", type=int, default=4, help="of each tile, for the projections learned")
    parser.add_argument("--patients", type=int, default=60)
    parser.add_argument("--cells", type=int, default=16)
    options = parser.parse_args()
    for name in ("scratch", "imagenet", "out"):
        setattr(options, name, getattr(options, name) and getattr(options, name).resolve())
    os.chdir(options.data)
    arms = [("colour", ""), ("histonic-mtl", ""), ("histonic-lite", "")]
    arms += [(family, way) for family in options.families for way in WAYS]
    pages = []
    for cohort in options.cohorts:
        bench = Bench(cohort, options)
        for question in slide_curve.QUESTIONS:
            lines = ["| codes | value (95 % interval) | minus components |", "| --- | --- | --- |"]
            found: dict[tuple[str, str], Floats] = {}
            for family, way in arms:
                found[family, way] = bench.judged(family, way, question)
                print(f"{cohort}, {question}, {family} {way}: {told(found[family, way])}", flush=True)
            for (family, way), drawn in found.items():
                floor = found.get((family, "components"))
                gap = "" if floor is None or way == "components" else told(drawn - floor, "+")
                lines.append(f"| {family} {way} | {told(drawn)} | {gap} |")
            pages.append("\n".join([f"## {cohort}, {question}", "", *lines]))
    print("\n\n".join(pages))
    if options.out:
        write_text(options.out, "\n\n".join(pages) + "\n")


if __name__ == "__main__":
    main()
