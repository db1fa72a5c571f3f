"""One step of a study: a command with its settings."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Verb = Literal[
    "encoder train",
    "tiles extract",
    "doctor",
    "compress",
    "audit",
    "train",
    "explain",
    "external",
    "report",
    "predict",
]


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        title: What it is of; empty for what a study does with its own slides.
        verb: Its words.
        settings: Its settings.
    """

    title: str
    verb: Verb
    settings: dict[str, Any]

    @property
    def words(self) -> str:
        """Verb and title, to be read."""
        return f"{self.verb} {self.title}".strip()

    @property
    def name(self) -> str:
        """Verb and title as the name of a file.

        Example:
            >>> Step("slide networks", "train", {}).name
            'train-slide-networks'
        """
        return re.sub(r"[^\w.-]+", "-", self.words)

    def file(self, out: Path, number: int) -> Path:
        """Where its settings are written in the folder of a study."""
        return out / "settings" / f"{number}-{self.name}.yaml"

    def command(self, out: Path, number: int) -> str:
        """As it is typed."""
        return f"histonic {self.verb} --config {shlex.quote(str(self.file(out, number)))}"
