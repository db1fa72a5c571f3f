"""The portable model: one folder with a JSON file and safetensors, checked by hash, never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from histonic.aggregators.base import SlideModel, build_model
from histonic.core.compressed import CompressedSlide
from histonic.core.errors import BundleError, EncoderError, SettingsError
from histonic.core.files import replacing_folder, write_json
from histonic.core.task import Task
from histonic.data.maps.fusion import Fusion
from histonic.encoders.base import Encoder
from histonic.encoders.tile_heads import HEADS_FILE, load_heads, save_heads
from histonic.models.members import Member
from histonic.models.trained import Trained, network_name
from histonic.nn.heads import Heads

BUNDLE_FORMAT = "histonic-bundle-1"
WEIGHTS_FILE = "weights.safetensors"
ENCODER_FILE = "encoder.safetensors"


@dataclass(frozen=True)
class Bundle:
    """An ensemble of slide models and what is needed to use it.

    Attributes:
        folder: Where it lies.
        tasks: The targets.
        members: What each network is, and what it knows of its training patients.
        models: The networks, in the same order.
        test_crops: Crops per map.
        fusion: How several slides of a patient come together.
        encoder: Name, fingerprint and spec of the encoder of the maps.
        compress_settings: How the training maps were made.
    """

    folder: Path
    tasks: tuple[Task, ...]
    members: tuple[Member, ...]
    models: tuple[SlideModel, ...]
    test_crops: int
    fusion: Fusion
    encoder: Mapping[str, Any]
    compress_settings: Mapping[str, Any]

    @property
    def encoder_path(self) -> Path:
        """The encoder's file; it may be absent."""
        return self.folder / ENCODER_FILE


def write_bundle(
    folder: Path,
    facts: Mapping[str, Any],
    trained: Sequence[Trained],
    encoder: Encoder | None,
    tile_heads: Heads | None = None,
) -> str:
    """Write a bundle, all or nothing.

    Args:
        folder: Where to; replaced if it exists.
        facts: ``tasks``, ``test_crops``, ``fusion``, ``encoder`` and ``compress_settings``, plain values.
        trained: The networks.
        encoder: Of the maps; None leaves it out, and the bundle then predicts from maps only.
        tile_heads: Of the encoder, where the networks look at them.

    Returns:
        Fingerprint of the bundle.

    Raises:
        OutputError: The folder cannot be written.
    """
    with replacing_folder(folder) as partial:
        weights = {f"{each.name}/{name}": tensor for each in trained for name, tensor in each.weights.items()}
        save_file(weights, partial / WEIGHTS_FILE)
        if encoder is not None:
            encoder.save(partial / ENCODER_FILE)
        if tile_heads is not None:
            code_size = trained[0].code_size
            save_heads(partial / HEADS_FILE, tile_heads.tasks, code_size, tile_heads.state_dict())
        content = {
            "format": BUNDLE_FORMAT,
            "histonic": version("histonic"),
            "code_size": trained[0].code_size,
            "networks": [each.member.to_dict() for each in trained],
            "files": {path.name: _hash(path) for path in sorted(partial.iterdir())},
            **facts,
        }
        write_json(partial / "bundle.json", content)
        return _hash(partial / "bundle.json")


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check every file's hash.

    Raises:
        BundleError: It is absent, damaged, or of another format.
    """
    content = _read_content(folder)
    for name, wanted in content["files"].items():
        if not (folder / name).is_file():
            raise _damaged(folder, f"{name} is absent.")
        if _hash(folder / name) != wanted:
            raise _damaged(folder, f"{name} has changed since it was written.")
    tasks = tuple(Task.from_dict(values) for values in content["tasks"])
    members = tuple(Member.from_dict(values) for values in content["networks"])
    weights = load_file(folder / WEIGHTS_FILE)
    tile_heads = load_heads(folder / HEADS_FILE) if HEADS_FILE in content["files"] else None
    models = []
    for member in members:
        prefix = f"{network_name(member.repeat, member.fold, member.initialisation)}/"
        state = {
            name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)
        }
        try:
            model = build_model(
                member.aggregator,
                code_size=content["code_size"],
                crop_cells=member.crop_cells,
                tasks=tasks,
                tile_heads=tile_heads,
            )
            model.load_state_dict(state)
        except (SettingsError, EncoderError, RuntimeError) as error:
            raise _damaged(folder, f"Its networks cannot be built: {error}.") from error
        models.append(model.eval())
    return Bundle(
        folder,
        tasks,
        members,
        tuple(models),
        content["test_crops"],
        content["fusion"],
        content["encoder"],
        content["compress_settings"],
    )


def _read_content(folder: Path) -> dict[str, Any]:
    path = folder / "bundle.json"
    if not path.is_file():
        raise BundleError(
            f"Read the bundle {folder}.",
            "There is no bundle.json in it.",
            "Give the folder RUN/bundle of a run.",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(folder, f"bundle.json is no JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != BUNDLE_FORMAT:
        raise BundleError(
            f"Read the bundle {folder}.",
            f"It is not of the format {BUNDLE_FORMAT!r}.",
            "Use the version of histonic that wrote it, or train again.",
        )
    return content


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(folder: Path, found: str) -> BundleError:
    return BundleError(f"Read the bundle {folder}.", found, "Copy it again, or train again.")


def require_own_maps(bundle: Bundle, maps: Sequence[CompressedSlide]) -> None:
    """Refuse maps of another encoder, and two of one name.

    Raises:
        BundleError: A map was made by another encoder.
        SettingsError: Two maps have one name.
    """
    names = [slide.slide_id for slide in maps]
    for slide in maps:
        if slide.encoder["fingerprint"] != bundle.encoder["fingerprint"]:
            raise BundleError(
                f"Predict the map {slide.slide_id!r} with {bundle.folder}.",
                f"The map was made by {slide.encoder['name']!r}, the bundle needs {bundle.encoder['name']!r} "
                "(or the same name with other weights or precision).",
                "Give the slide itself, or compress it with the bundle's encoder.safetensors.",
            )
        if names.count(slide.slide_id) > 1:
            raise SettingsError(
                "Predict.", f"Two slides are called {slide.slide_id!r}.", "Predict them one after the other."
            )
