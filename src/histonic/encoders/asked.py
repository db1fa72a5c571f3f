"""What to do about an encoder that is asked for by a name or path from elsewhere: import its weights."""

from __future__ import annotations

import re
from pathlib import Path

FOUNDATION = (
    *("uni", "uni2-h", "virchow2", "h-optimus-0", "h-optimus-1", "h0-mini", "gigapath", "gpfm"),
    *("kaiko-vits8", "kaiko-vits16", "kaiko-vitb8", "kaiko-vitb16", "kaiko-vitl14", "lunit-vits16"),
    *("phikon", "phikon-v2", "midnight-12k"),
)
"""Foundation encoders that have a preset (:mod:`histonic.encoders.foreign.presets`)."""
_ALSO = {
    "uni2": "uni2-h",
    "uni2h": "uni2-h",
    "univ2": "uni2-h",
    "hoptimus0": "h-optimus-0",
    "hoptimus1": "h-optimus-1",
    "h0mini": "h0-mini",
    "provgigapath": "gigapath",
    "prov-gigapath": "gigapath",
    "phikonv2": "phikon-v2",
    "midnight": "midnight-12k",
    "kaiko-vits-8": "kaiko-vits8",
}
_BY_TORCHSCRIPT = ("conch", "conch-v15", "hibou", "hibou-b", "hibou-l", "ctranspath", "chief")
_COMMON = re.compile(
    r"(resnet|resnext|densenet|vit_|vit-|efficientnet|convnext|swin|inception|mobilenet|vgg)"
)
_HUBS = ("timm", "hf-hub", "hf_hub", "hf", "transformers", "huggingface")
_WEIGHTS = (".pth", ".pt", ".bin", ".ckpt", ".h5", ".keras", ".onnx")
_NONE_FETCHED = "histonic fetches no weights"


def asked_elsewhere(text: str) -> tuple[str, str] | None:
    """What was found and what to do, where a name or path means an encoder of another package.

    Args:
        text: What was given in the place of an encoder.

    Returns:
        None where nothing is known of it.

    Example:
        >>> print(asked_elsewhere("UNI2-h")[1])
        Import the weights that you have, once: histonic encoder import FILE --preset uni2-h --out \
uni2-h.safetensors; then give that file.
    """
    path = Path(text)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in _WEIGHTS:
        return _of_file(path)
    if path.is_file() or path.suffix == ".safetensors":
        return None  # one of histonic's own, maybe absent or damaged
    prefix, colon, rest = text.partition(":")
    hub = colon and prefix.lower() in _HUBS
    name = re.split(r"[/:]", text)[-1].lower().replace("_", "-") if hub or "/" in text else text.lower()
    known = _ALSO.get(name.replace("-", ""), _ALSO.get(name, name.replace("_", "-")))
    out = re.sub(r"[^\w.-]+", "-", rest.rpartition("/")[2] or name) + ".safetensors"
    if known in FOUNDATION:
        option, out = f"--preset {known}", f"{known}.safetensors"
    elif known in _BY_TORCHSCRIPT:
        return (
            f"It is an encoder from elsewhere, whose package has its own layers; {_NONE_FETCHED}.",
            f"Export it as TorchScript with its own package, then once: histonic encoder import {known}.pt "
            f"--mpp MPP --out {known}.safetensors (docs/how-to/foundation-encoders.md).",
        )
    elif hub or _COMMON.match(text.lower()):
        model = rest if hub and rest and "/" not in rest else rest.rpartition("/")[2] if hub else text
        option = f"--architecture timm:{model or 'MODEL'} --colours timm --mpp MPP"
    else:
        return None
    return (
        f"It is an encoder from elsewhere, and {_NONE_FETCHED}.",
        f"Import the weights that you have, once: histonic encoder import FILE {option} --out {out}; then "
        "give that file.",
    )


def _of_folder(path: Path) -> tuple[str, str] | None:
    if (path / "encoder.safetensors").is_file():
        return "It is a folder, and the encoder is a file in it.", f"Give {path / 'encoder.safetensors'}."
    if (path / "config.json").is_file():
        return (
            "It is a hub folder with weights, not an encoder of histonic's.",
            f"Import it once: histonic encoder import {path} --out {path.name}.safetensors; then give that "
            "file.",
        )
    return (
        "It is a folder without an encoder.",
        "Give an encoder file (.safetensors), or a name of 'histonic list'.",
    )


def _of_file(path: Path) -> tuple[str, str]:
    if path.suffix.lower() == ".onnx":
        return (
            "It is an ONNX file; histonic writes them, and reads none.",
            "Import the weights that it was made of (docs/how-to/foundation-encoders.md).",
        )
    return (
        f"It is a file of weights ({path.suffix}), not yet an encoder of histonic's.",
        f"Import it once: histonic encoder import {path} --out {path.stem}.safetensors (with --preset, or "
        "with --architecture, colours and --mpp where nothing in it says so); then give that file.",
    )
