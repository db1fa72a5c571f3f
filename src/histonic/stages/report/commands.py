"""The command lines that lead to a report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import product
from typing import Any

from histonic.core.settings import Settings, fields_of, option_name
from histonic.encoders.scale import tile_um_of
from histonic.runs.run import WholeRun
from histonic.stages.compress.settings import CompressSettings
from histonic.stages.report.settings import ReportSettings
from histonic.stages.train.settings import TrainSettings


def command_lines(run: WholeRun, settings: ReportSettings) -> list[str]:
    """The command lines that lead to this page, with all settings that are not the default."""
    facts = run.facts
    compress = {"encoder": facts.encoder.name, **facts.compress_settings.to_dict(), "out": str(facts.store)}
    compress["tile_um"] = tile_um_of(facts.encoder.spec)
    given = facts.slides_given
    compress |= {"masks": "MASKS"} if given.masked else {}
    told = [
        compress | {"mpp": mpp, "names": names}
        for mpp, names in product(given.default_mpp or [None], given.names or ["file"])
    ]
    train = run.settings.model_dump(mode="json")
    report = settings.model_dump(mode="json", exclude={"labels", "store"}) | {"run": str(run.settings.out)}
    return [
        *(f"histonic compress {_arguments(CompressSettings, each, 'slides')}" for each in told),
        f"histonic train {_arguments(TrainSettings, train, 'store')}",
        f"histonic report {_arguments(ReportSettings, report, 'run')}",
    ]


def _arguments(model: type[Settings], values: Mapping[str, Any], positional: str) -> str:
    """Settings as a command line; keys that the model lacks, and defaults, are left out."""
    given = values.get(positional) or positional.upper()
    items = [given] if isinstance(given, str) else given
    parts = [shlex.quote(str(item)) for item in items]
    for key, field in fields_of(model).items():
        default = field.get_default(call_default_factory=True)
        if key == positional or values.get(key) is None:
            continue
        inner = values[key]
        if isinstance(default, Settings) and isinstance(inner, Mapping):
            plain = default.model_dump(mode="json")
            for name, value in sorted(inner.items()):
                parts += _option(option_name(model, key, name), value, plain.get(name))
        else:
            # The encoder decides everything, so it is named even where it is the default.
            usual = list(default) if isinstance(default, tuple) else default
            parts += _option(option_name(model, key), inner, None if key == "encoder" else usual)
    return " \\\n  ".join(parts)


def _option(flag: str, value: Any, default: Any) -> list[str]:
    if value is None or value == default:
        return []
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, Mapping):
        value = [f"{name}={item}" for name, item in sorted(value.items())]
    values = value if isinstance(value, (list, tuple)) else [value]
    return [f"{flag} {shlex.quote(str(item))}" for item in values]
