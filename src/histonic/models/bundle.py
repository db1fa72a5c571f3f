"""The portable model: one folder with a JSON file and safetensors, checked by hash, never a pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pydantic import Field, PositiveInt, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from histonic.aggregators.base import SlideModel, build_model
from histonic.aggregators.registry import AGGREGATORS
from histonic.core.calls import Calls, PointNames, is_point
from histonic.core.compressed import EncoderDescription, MapSettings, PatientPart
from histonic.core.documents import (
    Part,
    SealedDocument,
    is_changed,
    parse_document,
    read_values,
    write_document,
)
from histonic.core.errors import BundleError, HistonicError, TrainingError
from histonic.core.files import hash_of, replacing_folder
from histonic.core.places.kinds import no_bundle
from histonic.core.task import Coding, Task, Tasks
from histonic.data.maps.fusion import Fusion
from histonic.encoders.base import Encoder
from histonic.encoders.tile_heads import HEADS_FILE, load_heads, save_heads
from histonic.models.familiarity import (
    FAMILIAR_FILE,
    Familiarity,
    load_familiarity,
    save_familiarity,
)
from histonic.models.members import Member
from histonic.models.session import code_of_session
from histonic.models.trained import Trained, network_name
from histonic.nn.heads import Heads
from histonic.nn.weights_files import hash_of_weights, misfit, system_errors

WEIGHTS_FILE = "weights.safetensors"
ENCODER_FILE = "encoder.safetensors"
BUNDLE_FOLDER, RUN_FILE = "bundle", "run.json"
"""Of a run."""
AGAIN = "Give the folder RUN/bundle of a run; if it is one, copy it again or train again."


class BundleFacts(Part):
    """What a training says of its bundle, and of itself.

    Attributes:
        tasks: The targets.
        fusion: How several slides of a patient come together.
        test_crops: Crops per map.
        encoder: What made the maps.
        compress_settings: How the training maps were made.
        codings: How the labels of each target were taken, by its name; none in files of earlier versions.
        calls: By which rule a class is called; earlier versions knew but one.
        operating_points: At which binary targets are called, too; none in files of earlier versions.
        quick: Whether it was made for a first look, by linear models of the mean code.
        parts: Of the patients, of several stains or scales; else none. What is said of the encoder and of the
            training maps then holds for the first of them.
    """

    tasks: Tasks = Field(min_length=1)
    fusion: Fusion
    test_crops: PositiveInt
    encoder: EncoderDescription
    compress_settings: MapSettings
    codings: Mapping[str, Coding] = {}
    calls: Calls = "balanced"
    operating_points: PointNames = ()
    quick: bool = False
    parts: tuple[PatientPart, ...] = ()


class BundleContent(BundleFacts, SealedDocument):
    """``bundle.json``.

    Attributes:
        histonic: Version that wrote it.
        code_size: D.
        networks: What each network is, and what it knows of its training patients.
        weights: Hash of each network's weights, by its name; empty in bundles of earlier versions.
        files: Hash of every other file.
        own_code: Hash of the code of each aggregator that was registered in the session of the training.
    """

    FORMAT = "histonic-bundle-1"

    histonic: str
    code_size: PositiveInt
    networks: tuple[Member, ...] = Field(min_length=1)
    weights: Mapping[str, str] = {}
    files: Mapping[str, str]
    own_code: Mapping[str, str] = {}

    @model_validator(mode="after")
    def _name_files_of_their_own(self) -> Self:
        for name in self.files:
            if name in ("", ".", "..") or any(sign in name for sign in ("/", "\\", ":", "\0")):
                raise ValueError(f"files names {name!r}, which is no file in the bundle's folder")
        if WEIGHTS_FILE not in self.files:
            raise ValueError(f"files does not name {WEIGHTS_FILE}")
        names = [network_name(each.repeat, each.fold, each.initialisation) for each in self.networks]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the network {min(twice)} stands there twice")
        return self

    @model_validator(mode="after")
    def _know_their_patients(self) -> Self:
        for number, member in enumerate(self.networks):
            for task in self.tasks:
                if task.is_classification and len(member.prevalence.get(task.name, ())) != len(task.classes):
                    raise ValueError(
                        f"networks.{number}.prevalence has not one share a class of {task.name!r}"
                    )
                if task.kind == "survival" and task.name not in member.risks:
                    raise ValueError(f"networks.{number}.risks has nothing of {task.name!r}")
                known = member.thresholds.get(task.name, {})
                if task.kind == "binary" and is_point(self.calls) and self.calls not in known:
                    raise ValueError(f"networks.{number}.thresholds has no {self.calls} of {task.name!r}")
        return self


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
        encoder: What made the maps.
        compress_settings: How the training maps were made.
        calls: By which rule a class is called.
        operating_points: At which binary targets are called, too.
        codings: How the labels of each target were taken, by its name; none in files of earlier versions.
        quick: Whether it was made for a first look.
        parts: Of the patients, of several stains or scales; else none.
        familiar: What the maps of the training look like; None in files of earlier versions, and where there
            were too few to tell.
    """

    folder: Path
    tasks: tuple[Task, ...]
    members: tuple[Member, ...]
    models: tuple[SlideModel, ...]
    test_crops: int
    fusion: Fusion
    encoder: EncoderDescription
    compress_settings: MapSettings
    calls: Calls = "balanced"
    operating_points: tuple[str, ...] = ()
    codings: Mapping[str, Coding] = field(default_factory=dict)
    quick: bool = False
    familiar: Familiarity | None = None
    parts: tuple[PatientPart, ...] = ()

    @property
    def encoder_path(self) -> Path:
        """The encoder's file; it may be absent."""
        return self.encoder_path_of("")

    def encoder_path_of(self, part: str) -> Path:
        """The file of a part's encoder; it may be absent."""
        return self.folder / encoder_file(part)

    def of_part(self, part: str) -> Bundle:
        """What the bundle says of one part's maps; itself where it has no parts.

        Raises:
            BundleError: It knows no such part.
        """
        if not self.parts:
            return self
        for each in self.parts:
            if each.name == part:
                return replace(self, encoder=each.encoder, compress_settings=each.compress_settings)
        raise BundleError(
            f"Predict by {self.folder} from the part {part!r}.",
            f"It was trained on the parts {', '.join(each.name for each in self.parts)}.",
            "Give a folder of stores with these names.",
        )

    def how_to_make_maps(self, ours: str = "") -> str:
        """What to do to have maps that it predicts, for messages.

        Args:
            ours: What is said where histonic itself makes them, if not the usual.
        """
        spec = self.encoder.spec
        if spec.tool:
            return (
                f"Extract features with {spec.tool} by the encoder {spec.name!r}, {spec.tile_px} px at "
                f"{spec.mpp:g} µm/px, and import them: histonic import DIR --out STORE."
            )
        return ours or (
            "Give the slide itself, or compress it with the bundle's encoder.safetensors and --precision "
            f"{self.compress_settings.precision}."
        )


def write_bundle(
    folder: Path,
    facts: BundleFacts,
    trained: Sequence[Trained],
    encoder: Encoder | None,
    tile_heads: Heads | None = None,
    familiar: Familiarity | None = None,
    encoders: Mapping[str, Encoder] = MappingProxyType({}),
) -> str:
    """Write a bundle, all or nothing.

    Args:
        folder: Where to; replaced if it exists.
        facts: What the training says of it.
        trained: The networks.
        encoder: Of the maps; None leaves it out, and the bundle then predicts from maps only.
        tile_heads: Of the encoder, where the networks look at them.
        familiar: What the maps of the training look like.
        encoders: By part, of patients of several.

    Returns:
        Fingerprint of the bundle.

    Raises:
        OutputError: The folder cannot be written.
    """
    with replacing_folder(folder) as partial:
        weights = {f"{each.name}/{name}": tensor for each in trained for name, tensor in each.weights.items()}
        with system_errors():
            save_file(weights, partial / WEIGHTS_FILE)
        if encoder is not None:
            encoder.save(partial / ENCODER_FILE)
        for part, each in encoders.items():
            each.save(partial / encoder_file(part))
        if tile_heads is not None:
            code_size = trained[0].code_size
            save_heads(
                partial / HEADS_FILE,
                tile_heads.tasks,
                code_size,
                tile_heads.state_dict(),
                hidden=tile_heads.hidden,
            )
        if familiar is not None:
            save_familiarity(partial / FAMILIAR_FILE, familiar)
        content = BundleContent(
            **dict(facts),
            histonic=version("histonic"),
            code_size=trained[0].code_size,
            networks=tuple(each.member for each in trained),
            weights={each.name: hash_of_weights(each.weights) for each in trained},
            files={path.name: hash_of(path) for path in sorted(partial.iterdir())},
            own_code=code_of_session(each.member.aggregator for each in trained),
        )
        write_document(partial / "bundle.json", content)
        return hash_of(partial / "bundle.json")


def encoder_file(part: str) -> str:
    """Name of the file of a part's encoder, by the part's name, which may be any; empty: there are no parts.

    Example:
        >>> encoder_file(""), encoder_file("ki67")
        ('encoder.safetensors', 'encoder-ki67.safetensors')
    """
    return f"{Path(ENCODER_FILE).stem}-{part}{Path(ENCODER_FILE).suffix}" if part else ENCODER_FILE


def bundle_in(folder: Path) -> Path:
    """The folder of a bundle: that itself, or of the run that holds it.

    Raises:
        BundleError: It is a run that has not finished.

    Example:
        >>> bundle_in(Path("elsewhere/bundle")).as_posix()
        'elsewhere/bundle'
    """
    inner = folder / BUNDLE_FOLDER
    if (inner / "bundle.json").is_file() and not (folder / "bundle.json").is_file():
        if (folder / RUN_FILE).is_file():
            return inner
    elif not ((folder / "cohort.json").is_file() and (folder / "settings.yaml").is_file()):
        return folder
    raise BundleError(
        f"Use the networks of the run {folder}.",
        f"It has not finished: there is no {RUN_FILE}.",
        "Run the same 'histonic train' command again, which goes on where it stopped.",
    )


def read_bundle(folder: Path) -> Bundle:
    """Read a bundle and check every file's hash.

    Raises:
        BundleError: It is absent, damaged, or of another format; the file, field or network is named.
    """
    other = no_bundle(folder)
    if other is not None:
        raise BundleError(f"Read the bundle {folder}.", *other)
    values = read_values(folder / "bundle.json", BundleError, AGAIN)
    content = parse_document(BundleContent, values, folder / "bundle.json", BundleError, AGAIN)
    try:
        for name, wanted in content.files.items():
            if not (folder / name).is_file():
                raise _damaged(folder, f"{name} is absent.")
            if hash_of(folder / name) != wanted:
                raise _damaged(folder, f"{name} has changed since it was written.")
        weights = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(folder, f"{WEIGHTS_FILE} or another file cannot be read: {error}.") from error
    networks = _by_network(folder, content, weights)
    if is_changed(values):
        raise _damaged(folder, "bundle.json has changed since it was written.")
    try:
        tile_heads = load_heads(folder / HEADS_FILE) if HEADS_FILE in content.files else None
    except TrainingError as error:
        raise _damaged(folder, f"{HEADS_FILE} cannot be used: {error.found}") from error
    return Bundle(
        folder,
        content.tasks,
        content.networks,
        tuple(
            _build(folder, content, member, networks[_name(member)], tile_heads)
            for member in content.networks
        ),
        content.test_crops,
        content.fusion,
        content.encoder,
        content.compress_settings,
        content.calls,
        content.operating_points,
        content.codings,
        content.quick,
        load_familiarity(folder / FAMILIAR_FILE) if FAMILIAR_FILE in content.files else None,
        content.parts,
    )


def _name(member: Member) -> str:
    return network_name(member.repeat, member.fold, member.initialisation)


def _by_network(
    folder: Path, content: BundleContent, weights: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """The weights of each network, by its name.

    Raises:
        BundleError: A network is absent, not listed, another one's, or holds NaN; it is named.
    """
    found: dict[str, dict[str, Tensor]] = {_name(member): {} for member in content.networks}
    for name in found:
        if not any(key.startswith(f"{name}/") for key in weights):
            raise _damaged(folder, f"{WEIGHTS_FILE} does not hold the network {name}.")
    for key, value in weights.items():
        name, _, inner = key.partition("/")
        if name not in found:
            raise _damaged(
                folder, f"{WEIGHTS_FILE} holds {key}, of a network that bundle.json does not list."
            )
        if not bool(value.isfinite().all()):
            raise _damaged(folder, f"{inner} of the network {name} holds NaN or infinity.")
        found[name][inner] = value
    for name, state in found.items():
        if content.weights and content.weights.get(name) != hash_of_weights(state):
            raise _damaged(folder, f"The network {name} has other weights than it was written with.")
    return found


def _build(
    folder: Path,
    content: BundleContent,
    member: Member,
    state: Mapping[str, Tensor],
    tile_heads: Heads | None,
) -> SlideModel:
    """One network, ready to predict."""
    if member.aggregator not in AGGREGATORS:
        raise BundleError(
            f"Read the bundle {folder}.",
            f"Its networks are of the aggregator {member.aggregator!r}, which is not known here.",
            "If it was registered in a notebook (register_aggregator), register the same class first; else "
            "install the package that brings it.",
        )
    now = code_of_session([member.aggregator]).get(member.aggregator)
    if now is not None and content.own_code.get(member.aggregator, now) != now:
        raise BundleError(
            f"Read the bundle {folder}.",
            f"The aggregator {member.aggregator!r} of this session has other code than that of the training.",
            "Register the class as it was, or train again; a changed one needs another name.",
        )
    asked = f"{WEIGHTS_FILE} does not hold the network {_name(member)} that it names"
    try:
        model = build_model(
            member.aggregator,
            code_size=content.code_size,
            crop_cells=member.crop_cells,
            tasks=content.tasks,
            tile_heads=tile_heads,
            code_sizes=[part.code_size for part in content.parts],
        )
        found = misfit(model, state)
        if found is None:
            model.load_state_dict(state)
    except (HistonicError, RuntimeError, ValueError, MemoryError, OverflowError) as error:
        raise _damaged(folder, f"{asked}: {error}.") from error
    if found is not None:
        raise _damaged(folder, f"{asked}: {found}.")
    return model.eval()


def _damaged(folder: Path, found: str) -> BundleError:
    return BundleError(f"Read the bundle {folder}.", found, AGAIN)
