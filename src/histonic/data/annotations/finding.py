"""Which annotation file belongs to which slide: by its name, and by the folders that both lie in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from histonic.core.errors import SettingsError
from histonic.core.files import PARTIAL_PREFIX, files_below
from histonic.data.annotations.reading import ANNOTATION_EXTENSIONS, POINTS
from histonic.data.names import PATH_SIGN, slide_name
from histonic.data.text import tidy

_NAME_ENDINGS = ("_mask", "_annotations", "_annotation")


def find_annotations(
    path: Path, slide_ids: Sequence[str], places: Mapping[str, str] | None = None, *, areas: bool = False
) -> tuple[dict[str, Path], list[Path]]:
    """Which annotation file belongs to which slide.

    In a folder files are named like the slides, with or without the slide's own extension
    (``a.geojson``, ``a.svs.geojson``) or with ``_mask``, ``_annotation`` or ``_annotations`` at the end
    (``a_mask.tif``). They lie in the folder itself, or in folders called like those of the slides
    (``truth/01/01.csv`` for ``images/01/01.tif``), which decide where several have one name. A single file
    serves a single slide; the slides themselves are passed over.

    Args:
        path: The folder, or one file.
        slide_ids: Names of the slides.
        places: Where each slide lies, with the folders above it; without it, slides named by their paths
            (``viable__a``) lie in the folders of their names.
        areas: Tables of points are passed over. Else one counts for a slide that has no other file.

    Returns:
        The file of each slide that has one, and the files that belong to none.

    Raises:
        SettingsError: No such path, no file of the folder belongs to any slide, one file for several
            slides, or several files for one slide.
    """
    asked = f"Find annotations in {path}."
    if not path.exists():
        raise SettingsError(asked, "There is no such file or folder.", "Check the path.")
    if not path.is_dir():
        if len(slide_ids) == 1:
            return {slide_ids[0]: path}, []
        raise SettingsError(
            asked,
            f"It is one file, but there are {len(slide_ids)} slides.",
            "Give a folder with files named like the slides.",
        )
    slides = _Slides(slide_ids, places or {})
    wanted = tuple(each for each in ANNOTATION_EXTENSIONS if not (areas and each in POINTS))
    found: dict[str, tuple[int, Path]] = {}
    others: list[Path] = []
    for file in files_below(path):
        if not file.name.lower().endswith(wanted) or file.name.startswith((".", PARTIAL_PREFIX)):
            continue
        if os.path.realpath(file) in slides.files:  # the slide itself, which ends like a mask
            continue
        name, agreeing = slides.of(file.relative_to(path))
        if not name:
            others.append(file)
            continue
        before = found.get(name)
        if before is not None and _is_table(before[1]) != _is_table(file):
            # Measurements of a program beside what it drew are no annotations.
            table, drawn = (before, (agreeing, file)) if _is_table(before[1]) else ((agreeing, file), before)
            others.append(table[1])
            found[name] = drawn
            continue
        if before is not None and before[0] == agreeing:
            raise SettingsError(
                f"Find the annotations of {name} in {path}.",
                f"Two files could be meant: {before[1].relative_to(path)} and {file.relative_to(path)}.",
                "Move one away, or give the folder of one kind.",
            )
        if before is None or agreeing > before[0]:
            others += [] if before is None else [before[1]]
            found[name] = (agreeing, file)
        else:
            others.append(file)
    if not found:
        raise SettingsError(
            asked,
            f"None of its {len(others)} annotation file(s) is named like one of the {len(slide_ids)} slide(s)"
            + (f": {others[0].relative_to(path)} fits neither {_some(slide_ids)}." if others else "."),
            "Name them like the slides, such as a.geojson for a.svs, in the folder itself or in folders "
            "called like those of the slides.",
        )
    return {name: file for name, (_, file) in found.items()}, others


def _is_table(file: Path) -> bool:
    return file.suffix.lower() in POINTS


class _Slides:
    """The slides that files are looked for, by the stem of their file names and by their own names."""

    def __init__(self, slide_ids: Sequence[str], places: Mapping[str, str]) -> None:
        # An accent may be a letter with it or two signs, on either side.
        self._ids = {tidy(name): name for name in slide_ids}
        self.files = {os.path.realpath(place) for place in places.values()}
        self._folders: dict[str, tuple[str, ...]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in slide_ids:
            place = places.get(name, "")
            parts = PurePosixPath(place).parts or tuple(name.split(PATH_SIGN))
            self._folders[name] = tuple(map(tidy, parts[:-1]))
            for stem in {tidy(slide_name(parts[-1])), tidy(name)}:
                self._by_stem.setdefault(stem, []).append(name)

    def of(self, file: Path) -> tuple[str, int]:
        """The slide of a file, and how many folders above both are called alike; no name if it has none."""
        stem, folders = tidy(file.name[: -len(file.suffix)]), tuple(map(tidy, file.parts[:-1]))
        stems = [stem, slide_name(stem), *(stem.removesuffix(end) for end in _NAME_ENDINGS)]
        exact = [PATH_SIGN.join([*folders, each]) for each in stems]
        if whole := next((name for name in exact if name in self._ids), ""):
            return self._ids[whole], len(file.parts)
        candidates = next((self._by_stem[each] for each in stems if each in self._by_stem), [])
        agreeing = {name: _alike(self._folders[name], folders) for name in candidates}
        # A folder of another name is that of another slide: 25/01.csv says nothing of 24/01.tif.
        whole_path = [
            name
            for name in candidates
            # A slide that is named by its path is not known by its file name alone.
            if agreeing[name] == len(folders) and (agreeing[name] or PATH_SIGN not in name)
        ]
        if len(whole_path) > 1:  # several slides have the stem, and the file's folders fit them all
            return "", 0
        return (whole_path[0], agreeing[whole_path[0]]) if whole_path else ("", 0)


def _alike(slide: tuple[str, ...], file: tuple[str, ...]) -> int:
    """How many folders are called alike, from the right."""
    count = 0
    for one, other in zip(reversed(slide), reversed(file), strict=False):
        if one != other:
            break
        count += 1
    return count


def _some(names: Sequence[str]) -> str:
    return " nor ".join(names[:3]) + (" ..." if len(names) > 3 else "")
