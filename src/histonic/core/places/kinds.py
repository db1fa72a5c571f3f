"""What a folder is, by the names of the files in it: for errors that say what was given instead."""

from __future__ import annotations

import os
from pathlib import Path

from histonic.core.places.urls import was_url

STORE, RUN, UNFINISHED, BUNDLE = "a store of maps", "a run", "a run that has not finished", "a bundle"
ENCODER_RUN, MAP = "a run of 'histonic encoder train'", "a single map"
FILE, ABSENT, EMPTY = "a file", "", "an empty folder"
NO_FOLDER = ("There is no such folder.", "Make it with 'histonic compress'.")
"""Of a store that is not there."""
_OF_OTHERS = ("bundle.json", "cohort.json", "model_card.md")
"""Files that every run, bundle and encoder's run has one of, and no store."""
_TRAIN = "histonic train STORE --labels TABLE --target NAME --out RUN"


def kind_of(path: Path) -> str:
    """What lies at a path, in words; empty where nothing does or it is nothing that histonic wrote.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = kind_of(Path(folder))
        ...     Path(folder, "slide.zarr").mkdir()
        ...     first, kind_of(Path(folder)), kind_of(Path(folder, "slide.zarr"))
        ('an empty folder', 'a store of maps', 'a single map')
    """
    if path.is_file():
        return FILE
    if not path.is_dir():
        return ABSENT
    try:
        names = {each.name for each in path.iterdir()}
    except OSError:
        return ABSENT
    if not names:
        # A map that was begun is a folder like any other.
        return MAP if path.suffix == ".zarr" else EMPTY
    if "bundle.json" in names:
        return BUNDLE
    if "encoder.safetensors" in names and {"run.json", "model_card.md"} <= names:
        return ENCODER_RUN
    if {"cohort.json", "settings.yaml"} <= names:
        return RUN if "run.json" in names else UNFINISHED
    if path.suffix == ".zarr":
        return MAP
    return STORE if any(name.endswith(".zarr") for name in names) else ABSENT


def no_run(path: Path) -> tuple[str, str] | None:
    """What was found where a finished run was asked for, and what to do; None if nothing is known."""
    kind = kind_of(path)
    todo = {
        STORE: f"Train on it first: {_TRAIN.replace('STORE', str(path))}; then give RUN.",
        MAP: f"Train on the store that holds it first: {_TRAIN}; then give RUN.",
        BUNDLE: f"Give the run that holds it: {path.resolve().parent}.",
        ENCODER_RUN: f"Compress slides with its encoder and train on the maps: {_TRAIN}.",
        UNFINISHED: "Give the same 'histonic train' command again, which goes on where it stopped.",
        FILE: "Give the folder that 'histonic train' has written.",
        EMPTY: f"Give the folder that 'histonic train' has written: {_TRAIN}.",
    }.get(kind)
    return None if todo is None else (f"It is {kind}.", todo)


def no_bundle(path: Path) -> tuple[str, str] | None:
    """The same where a bundle, or the run that holds one, was asked for."""
    kind = kind_of(path)
    return None if kind in (BUNDLE, RUN) else no_run(path)


def no_store(path: Path) -> tuple[str, str] | None:
    """The same where a store of maps was asked for."""
    if was_url(path):
        return (
            "It is a URL in the place of a folder.",
            "This needs a folder; in Python histonic.open_store(URL) opens stores at URLs.",
        )
    kind = kind_of(path)
    todo = {
        MAP: f"Give the store that holds it: {path.resolve().parent}.",
        RUN: "Give the store that it was trained on: its settings.yaml names it.",
        UNFINISHED: "Give the store that it is trained on: its settings.yaml names it.",
        BUNDLE: "Give a store made by 'histonic compress'; a bundle predicts with 'histonic predict'.",
        ENCODER_RUN: f"Compress slides with it: histonic compress SLIDES --encoder "
        f"{path / 'encoder.safetensors'} --out STORE.",
        FILE: "Give the folder that 'histonic compress' has written.",
        EMPTY: f"Make maps in it: histonic compress SLIDES --out {path}.",
    }.get(kind)
    return None if todo is None else (f"It is {kind}.", todo)


def other_than_store(path: Path) -> tuple[str, str] | None:
    """The same where a store is opened, which may have no map yet; None where nothing speaks against it."""
    if not path.is_dir():
        return no_store(path) or NO_FOLDER
    # Looked for by name: a store may hold very many maps, and is listed once by who opens it.
    if not any(os.path.isfile(path / name) for name in _OF_OTHERS):
        return None
    return no_store(path) if kind_of(path) in (RUN, UNFINISHED, BUNDLE, ENCODER_RUN) else None
