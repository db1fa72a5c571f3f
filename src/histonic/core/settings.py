"""What all settings share: one model a verb serves the Python call, the YAML file and the command line.

The models stand beside their verbs, in files that load neither torch nor pandas, so that ``--help`` answers
at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from histonic.core.documents import Part
from histonic.core.errors import SettingsError
from histonic.core.hints.elsewhere import here
from histonic.core.hints.values import value_hint
from histonic.core.places.urls import Url, require_paths
from histonic.core.units import Number

S = TypeVar("S", bound="Settings")
Precision = Literal["32", "bf16"]
Engine = Literal["eager", "compiled"]
"""How an encoder's arithmetic is done: layer by layer, or as one program compiled for this machine."""
Pooling = Literal["model", "cls", "mean", "cls+mean"]
"""What is the code of a trunk from elsewhere: its own pooled features, or of a transformer the class token,
the mean of the patch tokens, or both in this order."""
Flaw = Literal["pen", "folds", "blur"]
"""What spoils a cell of tissue, by which cells can be left out."""
GivenPath = str | Path
"""How a path may be given in Python."""
Cluster = str | None
CLUSTER: Any = Field(
    default=None,
    description="Work on the workers of a Dask cluster: address of its scheduler, or the file that it wrote.",
)
"""The field of verbs whose work can be done on a cluster."""
NEVER_KEPT = frozenset({"cluster"})
"""Who did the work changes no result, and the same run may go on elsewhere."""
DEFAULT_ENCODER = "histonic-lite"
"""Encoder of ``compress``, ``bench``, ``doctor`` and ``demo`` where none is named; in the package."""
MOST_BITS = 63
"""Of a whole number: larger ones are slips of the hand that no array or seed can hold."""


class Settings(BaseModel):
    """Base of all settings: frozen, and an unknown key is an error.

    Attributes:
        LEAD: Of settings inside other settings the field that a single word in their place means: ``--tissue
            all`` on the command line, ``tissue: all`` in a file.
    """

    LEAD: ClassVar[str] = ""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_single_word(cls, value: Any) -> Any:
        return {cls.LEAD: value} if cls.LEAD and isinstance(value, str) else value

    @field_validator("*", mode="before")
    @classmethod
    def _take_one_for_a_list(cls, value: Any, info: ValidationInfo) -> Any:
        """``target="grade"`` is a list of one, wherever several may be given."""
        kind = cls.model_fields[info.field_name].annotation if info.field_name else None
        return (value,) if isinstance(value, str | Path) and get_origin(kind) is tuple else value

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_odd_paths(cls, value: Any, info: ValidationInfo) -> Any:
        """A URL in the place of a path, for one, would be written to as the folder ``https:``."""
        kind = str(cls.model_fields[info.field_name].annotation) if info.field_name else ""
        if "Path" in kind:
            require_paths(value, takes_urls="Url" in kind)
        return value


class TissueSettings(Settings):
    """What counts as tissue."""

    LEAD = "source"

    source: Literal["auto", "all", "masks"] = Field(
        default="auto",
        description="auto: a slide's mask where one is given, else found; all: every cell (no mask may be "
        "given); masks: every slide needs a mask.",
    )
    finder: str = Field(default="rules", description="What finds it (see 'histonic list').")
    mpp: float = Field(default=8.0, gt=0, description="Microns per pixel at which tissue is looked for.")
    min_speck_um2: float = Field(
        default=20_000, ge=0, description="Pieces of tissue smaller than this are dropped."
    )
    max_hole_um2: float = Field(default=40_000, ge=0, description="Holes smaller than this are filled.")
    min_cell_share: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Cells with less tissue than this are empty; 0: those without any.",
    )


def _split(value: Any) -> Any:
    """Words between commas, sorted and each once, so that one choice is written in one way."""
    each = [value] if isinstance(value, str | int) else value
    if not isinstance(each, list | tuple) or not all(type(item) in (str, int) for item in each):
        return value
    words = [word.strip() for item in each for word in str(item).split(",")]
    if not all(words):
        raise ValueError("an empty word names nothing")
    return tuple(sorted(set(words), key=lambda word: (len(word), word) if word[0].isdigit() else (0, word)))


def _whole_numbers(value: tuple[str, ...]) -> tuple[str, ...]:
    for word in value:
        first, _, last = word.partition("-")
        ends = [first, last or first]
        if not all(end.isascii() and end.isdigit() and len(end) < 11 for end in ends):
            raise ValueError(f"{word!r} is neither a whole number nor two of them, as 1-6")
        if int(ends[1]) < int(ends[0]):
            raise ValueError(f"{word!r} runs backwards")
    return value


class MaskSettings(Settings):
    """What in masks from outside is tissue."""

    values: Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_whole_numbers)] = Field(
        default=(),
        max_length=1000,
        description="Values of mask pictures that are tissue (1, 1,2 or 1-6); needed where a mask holds more "
        "than nought and one other.",
    )
    classes: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        default=(),
        max_length=1000,
        description="Classes of GeoJSON masks that are tissue (Tumor,Stroma; unclassified: areas without "
        "one); needed where a mask holds several.",
    )


StainMethod = Literal["macenko", "reinhard"]
Otherwise = Literal["refuse", "leave"]
Colour = tuple[Number, Number, Number]


class StainFacts(Part):
    """The stains and colours of the tissue of one slide or picture.

    Attributes:
        stains: Natural optical density of the two stains in red, green, blue, each of length 1; the one that
            takes more red (haematoxylin) first.
        amounts: 99th percentile of the amount of each stain.
        mean: Of CIE L, a, b, on the scale of 8-bit pictures (L times 2.55, a and b plus 128).
        std: Alike.
    """

    stains: tuple[Colour, Colour]
    amounts: tuple[Number, Number]
    mean: Colour
    std: Colour


HE_REFERENCE = "histonic-he"
"""Name of the built-in reference."""
HE_FACTS = StainFacts(
    stains=((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)),
    amounts=(1.9705, 1.0308),
    mean=(147.0, 158.6, 106.9),
    std=(42.6, 10.8, 12.0),
)
"""Haematoxylin and eosin: stains and amounts that Macenko's authors chose as reference; mean and deviation
are medians over nine sets of tiles (see ``benchmarks/stain_normalisation.md``)."""


class StainNormalisation(Part):
    """What the colours of tiles are brought to, slide by slide.

    Attributes:
        method: Macenko et al. (2009): amounts of two stains; Reinhard et al. (2001): mean and deviation of
            lightness and two colours.
        reference: Name of the target: :data:`HE_REFERENCE`, or the picture's.
        target: Its numbers.
        otherwise: What is done with a slide whose stains cannot be told, or are others than the target's.
    """

    method: StainMethod
    reference: str
    target: StainFacts
    otherwise: Otherwise = "refuse"

    @property
    def words(self) -> str:
        """In words, for pages and messages.

        Example:
            >>> StainNormalisation(method="macenko", reference=HE_REFERENCE, target=HE_FACTS).words
            "Macenko's method to histonic-he"
        """
        return f"{self.method.capitalize()}'s method to {self.reference}"

    def same_colours(self, other: StainNormalisation | None) -> bool:
        """Whether another brings tiles to the same colours."""
        return other is not None and (self.method, self.target) == (other.method, other.target)


class StainSettings(Settings):
    """How the colours of tiles are normalised."""

    LEAD: ClassVar[str] = "method"

    method: Literal["auto", "none", "macenko", "reinhard"] = Field(
        "auto",
        description="Bring the stains of every slide to a reference, by Macenko's or Reinhard's method; "
        "auto: as the encoder was trained, which is none for all that say nothing of it.",
    )
    reference: str = Field(
        HE_REFERENCE, description=f"What stains are brought to: {HE_REFERENCE}, or a picture of tissue."
    )
    otherwise: Otherwise = Field(
        "refuse",
        description="Slides whose stains cannot be told, or are others than the reference's. refuse: "
        "listed as failed; leave: their colours stay, and it is said.",
    )
    normalisation: StainNormalisation | None = Field(
        None, description="What the reference came to, in numbers; wins over it."
    )


HIDDEN = "(private)"
"""What stands in place of a path where paths are kept out of results."""


def plain_settings(
    settings: Settings, *, private: bool = False, exclude: Collection[str] = ()
) -> dict[str, Any]:
    """Settings as plain values, as they are saved beside results.

    Args:
        settings: The settings.
        private: Put :data:`HIDDEN` in the place of every path.
        exclude: Fields that are left out, beside :data:`NEVER_KEPT`.

    Example:
        >>> class Copy(Settings):
        ...     out: Path
        ...     mpp: float = 0.5
        >>> plain_settings(Copy(out="ward/a"), private=True)
        {'out': '(private)', 'mpp': 0.5}
    """
    plain = settings.model_dump(mode="json", exclude={*exclude, *NEVER_KEPT})
    if private:
        for key in plain:
            plain[key] = _hide(getattr(settings, key), plain[key])
    return plain


def _hide(value: Any, plain: Any) -> Any:
    if isinstance(value, Path | Url) or (isinstance(value, str) and ("/" in value or "\\" in value)):
        return HIDDEN
    if isinstance(value, tuple | list):
        return [_hide(each, other) for each, other in zip(value, plain, strict=True)]
    if isinstance(value, dict):
        return {key: _hide(each, plain[key]) for key, each in value.items()}
    return plain


def fields_of(model: type[Settings]) -> dict[str, FieldInfo]:
    """The fields of a settings model: its own in order, then those that it shares with other verbs."""
    own = [key for key in model.model_fields if key in model.__annotations__]
    shared = [key for key in model.model_fields if key not in own]
    return {key: model.model_fields[key] for key in (*own, *shared)}


def make_settings(model: type[S], values: Mapping[str, Any], source: str = "the settings") -> S:
    """Build a settings model; an error names the key, what was found, and the nearest known key.

    Args:
        model: The settings model.
        values: Keys and values, as from a YAML file or a command line.
        source: Where the values came from, for the message.

    Raises:
        SettingsError: A key is unknown or missing, or a value cannot be used.
    """
    unknown = [key for key in values if key not in model.model_fields]
    if unknown:
        own = [words.partition(" ") for words in here(unknown[0].replace("-", "_"))]
        called = [f"{key}={value}" if value else key for key, _, value in own if key in model.model_fields]
        near = called[:1] or difflib.get_close_matches(unknown[0], model.model_fields, n=1)
        raise SettingsError(
            f"Read {source}.",
            f"There is no setting {unknown[0]!r}.",
            f"Did you mean {near[0]!r}?" if near else f"Known settings: {', '.join(model.model_fields)}.",
        )
    for key, value in values.items():
        if isinstance(value, int) and value.bit_length() > MOST_BITS:
            raise SettingsError(
                f"Read {source}.", f"{key} is {_short(value)}.", f"Correct the value of {key}."
            )
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(_named_parts(model, first["loc"])) or "settings"
        found = "nothing" if first["type"] == "missing" else _short(first.get("input"))
        raise SettingsError(
            f"Read {source}.",
            f"{key} is {found}: {first['msg'].removeprefix('Value error, ')}.",
            f"Correct the value of {key}{value_hint(first)}.",
        ) from error


def _named_parts(model: type[Settings], place: tuple[int | str, ...]) -> list[str]:
    """Where an error lies, as a user writes it: leading fields are not named."""
    # Of several kinds in one place pydantic names each kind, too.
    parts = [str(part) for part in place if isinstance(part, int) or re.fullmatch("[a-z_][a-z0-9_]*", part)]
    field = model.model_fields.get(parts[0]) if parts else None
    inner = field.annotation if field else None
    if isinstance(inner, type) and issubclass(inner, Settings) and parts[1:2] == [inner.LEAD]:
        del parts[1]
    return parts


def option_name(model: type[Settings], key: str, inner: str = "") -> str:
    """What a setting, or one inside of it, is called on the command line.

    Example:
        >>> class Cut(Settings):
        ...     tissue: TissueSettings = TissueSettings()
        >>> option_name(Cut, "tissue", "min_cell_share"), option_name(Cut, "tissue", "source")
        ('--tissue-min-cell-share', '--tissue')
    """
    nested = model.model_fields[key].annotation
    leads = isinstance(nested, type) and issubclass(nested, Settings) and inner == nested.LEAD
    return "--" + (f"{key}-{inner}" if inner and not leads else key).replace("_", "-")


def _short(value: Any, most: int = 120) -> str:
    """A value in words, however large it is."""
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, list | tuple) and len(value) > 100:
        return f"a list of {len(value):,}"
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}..."


def resolve(model: type[S], settings: S | None, values: Mapping[str, Any]) -> S:
    """The settings of a Python call: a ready model, or keywords, or a model with some keywords changed.

    Raises:
        SettingsError: A keyword is unknown or has a value that cannot be used.

    Example:
        >>> class Grid(Settings):
        ...     mpp: float = 8.0
        >>> resolve(Grid, None, {"mpp": 4}).mpp
        4.0
    """
    given = {} if settings is None else {key: getattr(settings, key) for key in settings.model_fields_set}
    return make_settings(model, {**given, **values}, f"the keywords of {model.__name__}")
