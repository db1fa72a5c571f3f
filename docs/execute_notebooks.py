"""Run the tutorials' notebooks again and keep their outputs: ``make notebooks``, or this with names of files.

Each runs in an empty folder of its own. Outputs that name a folder of this machine, hold an error, or are too
large are refused, and nothing is written.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "tutorials"
SOURCE = ROOT / "src"
MOST_BYTES = 1_000_000
PATH = re.compile(r"(?<![\w.:])/(?:home|Users|root|tmp|private|var|work|mnt|data|opt)/[\w.-]+")
"""A folder of a machine."""
TIMEOUT_S = 600
KEPT_METADATA = ("kernelspec", "language_info")


def execute(path: Path) -> Any:
    """A notebook with the outputs of a fresh run.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SOURCE), *([before] if before else [])])
    try:
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(
                notebook,
                timeout=TIMEOUT_S,
                kernel_name="python3",
                resources={"metadata": {"path": folder}},
                record_timing=False,
            )
            client.execute()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    notebook.metadata = {key: notebook.metadata[key] for key in KEPT_METADATA if key in notebook.metadata}
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata = {}
    return notebook


def problems(notebook: Any, size: int) -> list[str]:
    """Why the outputs of a notebook may not be kept; none if they may.

    Args:
        notebook: As JSON.
        size: Bytes of its file.
    """
    found = [] if size < MOST_BYTES else [f"{size:,} bytes; {MOST_BYTES:,} are allowed"]
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", ()):
            if output["output_type"] == "error":
                found.append(f"cell {number}: {output['ename']}: {output['evalue']}")
            if output.get("name") == "stderr":
                found.append(f"cell {number} warns: {''.join(output['text'])[:200]}")
            data = output.get("data", {})
            shown = [text for kind, text in data.items() if kind.startswith("text")]
            for text in [output.get("text", ""), *shown]:
                plain = re.sub(r"base64,[A-Za-z0-9+/=]+", "", "".join(text))
                found += [f"cell {number} names {place}" for place in PATH.findall(plain)]
    return found


def main(names: list[str]) -> int:
    """Execute notebooks and write them; 1 if one may not be kept."""
    import nbformat

    code = 0
    for path in [Path(name) for name in names] or sorted(FOLDER.glob("*.ipynb")):
        notebook = execute(path)
        text = nbformat.writes(notebook) + "\n"
        found = problems(notebook, len(text.encode()))
        if found:
            print(f"{path.name} is left as it was:", *found, sep="\n  ")
            code = 1
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{path.name}: {len(text):,} bytes")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
