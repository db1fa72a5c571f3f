"""What the study of rectangles leaves: a document, a table, a page with the paper beside it, a figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from histonic.core.documents import Document
from histonic.core.files import replacing_file, write_csv, write_text
from histonic.stages.study.rectangles.measures import Accuracy, Localisation

NAMES = {"multitask": "supervised", "ntxent": "contrastive (NT-Xent)", "vae": "VAE", "bigan": "BiGAN"}
PAPER_ORDER = ("multitask", "contrastive", "vae", "bigan")
"""From the best to the worst in Tellez et al. (2019), whose curves have no numbers."""
PAPER_JACCARD = 0.612
PAPER_SHARE = 0.1
"""Long side below which the paper's accuracy falls sharply."""
COLUMNS = (
    "encoder",
    "code_size",
    "stride_share",
    "least",
    "greatest",
    "right",
    "images",
    "accuracy",
    "low",
    "high",
)


class EncoderResult(Document):
    """What one encoder's codes were worth; ``results/NAME.json``.

    Attributes:
        objective: What the encoder was trained by.
        code_size: Numbers in a code.
        stride_share: Step between tiles by their side.
        accuracies: Of all test images, then by the lesion's size.
        localisation: Of Grad-CAM; None if none was asked for.
    """

    FORMAT = "histonic-rectangle-encoder-2"

    objective: str
    code_size: int
    stride_share: float
    accuracies: tuple[Accuracy, ...]
    localisation: Localisation | None


class RectangleFindings(Document):
    """``rectangles.json``."""

    FORMAT = "histonic-rectangle-study-2"

    settings: dict[str, Any]
    source: str
    results: tuple[EncoderResult, ...]


def name_of(objective: str) -> str:
    """An encoder in the paper's words.

    Example:
        >>> name_of("vae"), name_of("contrastive")
        ('VAE', 'contrastive')
    """
    return NAMES.get(objective, objective)


def order_outcome(results: Sequence[EncoderResult]) -> list[tuple[str, str, str]]:
    """Each two neighbours of the paper's order, at the first code size and stride, and how they came out.

    Returns:
        Better by the paper, worse by the paper, and ``reproduced`` (the 95 % intervals are apart in that
        order), ``not reproduced`` (apart in the other) or ``undecided``.
    """
    usual = _usual(results[0])
    whole = {each.objective: each.accuracies[0] for each in results if _usual(each) == usual}
    there = [objective for objective in PAPER_ORDER if objective in whole]
    found = []
    for better, worse in pairwise(there):
        one, other = whole[better], whole[worse]
        outcome = "undecided"
        if one.low > other.high:
            outcome = "reproduced"
        elif one.high < other.low:
            outcome = "not reproduced"
        found.append((name_of(better), name_of(worse), outcome))
    return found


def _usual(result: EncoderResult) -> tuple[int, float]:
    return result.code_size, result.stride_share


def page_of(findings: RectangleFindings) -> str:
    """The findings as Markdown."""
    given = findings.settings
    usual = given["code_sizes"][0]
    rows, sizes = [], []
    for each in findings.results:
        whole, found = each.accuracies[0], each.localisation
        spot = "" if found is None else f"{found.jaccard:.3f} (sd {found.sd:.3f}); best {found.best:.3f}"
        encoder = (name_of(each.objective), str(each.code_size), f"{each.stride_share:g}")
        rows.append((*encoder, _said(whole), spot))
        sizes += [
            (*encoder, f"{part.least:g} to {part.greatest:g}", _said(part)) for part in each.accuracies[1:]
        ]
    order = [(one, other, f"**{outcome}**") for one, other, outcome in order_outcome(findings.results)]
    return "\n\n".join(
        [
            "# Tilted rectangles",
            f"Digits of {findings.source}; {given['train']} training and {given['test']} test images of"
            f" {given['side_px']} px ({given['side_px'] // given['digit_px']} tiles a side),"
            f" {given['classes']} classes (chance {1 / given['classes']:.2f}), lesions of"
            f" {given['least_side']:g} to 0.5 of the side, aggregator {given['aggregator']}.",
            "## Encoders",
            _table(("encoder", "code", "stride", "accuracy", "Grad-CAM, Jaccard"), rows),
            f"The paper's Jaccard is {PAPER_JACCARD} (mean; its threshold is not said, here half of the"
            " greatest value). [95 % interval of other test images, Wilson]; other trainings vary beyond it.",
            f"The paper's order at a code of {usual}: contrastive close to supervised, then VAE, then BiGAN."
            " Larger codes help weak encoders there, and a smaller stride (here by the tile's side) hurts.",
            *([_table(("better in the paper", "worse", "here"), order)] if order else []),
            "## By the size of the lesion",
            f"In the paper accuracy falls sharply where the lesion is below {PAPER_SHARE:g} of the side.",
            _table(("encoder", "code", "stride", "long side by the image's", "accuracy"), sizes),
        ]
    ) + "\n"  # fmt: skip


def _said(part: Accuracy) -> str:
    return f"{part.value:.3f} [{part.low:.3f}, {part.high:.3f}] of {part.images}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def write_findings(out: Path, findings: RectangleFindings) -> None:
    """Table, page and figure; the JSON comes last, by its caller."""
    rows = [
        {
            **{key: getattr(part, key) for key in ("least", "greatest", "right", "images", "low", "high")},
            "encoder": each.objective, "code_size": each.code_size, "stride_share": each.stride_share,
            "accuracy": part.value,
        }
        for each in findings.results
        for part in each.accuracies
    ]  # fmt: skip
    write_csv(out / "rectangles.csv", COLUMNS, rows)
    write_text(out / "rectangles.md", page_of(findings))
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(4.8, 3.2), layout="constrained")
        _draw(figure, findings)
        with replacing_file(out / "rectangles.png") as partial:
            # Without the library's version in it, the same numbers give the same bytes.
            figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def _draw(figure: Figure, findings: RectangleFindings) -> None:
    axis = figure.subplots()
    for number, each in enumerate(findings.results):
        parts = each.accuracies[1:]
        middles = [(part.least + part.greatest) / 2 + 0.004 * number for part in parts]
        label = f"{name_of(each.objective)}, code {each.code_size}, stride {each.stride_share:g}"
        axis.plot(middles, [part.value for part in parts], "o-", color=f"C{number}", label=label)
        for middle, part in zip(middles, parts, strict=True):
            axis.vlines(middle, part.low, part.high, color=f"C{number}", linewidth=1)
    axis.axhline(1 / findings.settings["classes"], color="0.6", linewidth=0.8, linestyle=":")
    axis.set_xlabel("long side of the lesion, by the image's")
    axis.set_ylabel("test accuracy")
    axis.set_ylim(0, 1.02)
    axis.legend(frameon=False, fontsize=8)
