"""Where in a YAML file a key stands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

Place = Sequence[str | int]
"""Keys and places in lists, from the outside."""


def line_of(file: Path, place: Place) -> int | None:
    r"""The line of a key, counted from 1; of the nearest one around it if it does not stand there.

    Args:
        file: A file that can be read as YAML.
        place: Keys, and numbers within lists.

    Returns:
        None if the file does not even have the first key.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.yaml"
        >>> _ = file.write_text("out: a\ntrain:\n  target:\n  - x\n  - y\n")
        >>> line_of(file, ["train", "target", 1]), line_of(file, ["train", "folds"]), line_of(file, ["b"])
        (5, 2, None)
    """
    node = yaml.compose(file.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    line = None
    for part in place:
        found = _inside(node, part)
        if found is None:
            break
        at, node = found
        line = at.start_mark.line + 1
    return line


def _inside(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Where a part begins, and its value."""
    if isinstance(node, yaml.MappingNode):
        pairs = [(key, value) for key, value in node.value if getattr(key, "value", None) == str(part)]
        return pairs[0] if pairs else None
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
