"""CAMELYON17: five lymph nodes to the pN stage of their patient, and how well stages agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from histonic.core.errors import CohortError
from histonic.metrics.discrimination.labels import confusion, quadratic_kappa

NODE_CLASSES = ("negative", "itc", "micro", "macro")
"""Of a lymph node, smallest metastasis first."""
PN_STAGES = ("pN0", "pN0(i+)", "pN1mi", "pN1", "pN2")
"""Of a patient, in the order in which the kappa takes them."""
FROM_PN2 = 4
"""So many nodes with micro- or macrometastases, one of them macro, make pN2."""


def pn_stage(nodes: Sequence[str]) -> str:
    """The simplified pN stage of CAMELYON17 from the classes of a patient's nodes.

    A macrometastasis makes pN1, or pN2 if four or more nodes hold a micro- or macrometastasis; without one a
    micrometastasis makes pN1mi, however many there are; isolated tumour cells alone make pN0(i+) and never
    count as a positive node.

    Args:
        nodes: Classes of :data:`NODE_CLASSES`, usually five.

    Raises:
        CohortError: A class is unknown, or there is no node.

    Example:
        >>> pn_stage(["macro", "micro", "micro", "itc", "negative"])
        'pN1'
        >>> pn_stage(["micro"] * 4 + ["negative"]), pn_stage(["macro", "micro", "micro", "micro", "itc"])
        ('pN1mi', 'pN2')
    """
    unknown = sorted(set(nodes) - set(NODE_CLASSES))
    if unknown or not nodes:
        raise CohortError(
            "Stage a patient by his lymph nodes.",
            f"{unknown[0]!r} is no class of a node." if unknown else "No node is given.",
            f"Give one of {', '.join(NODE_CLASSES)} for each node.",
        )
    found = Counter(nodes)
    positive = found["micro"] + found["macro"]
    if found["macro"]:
        return "pN2" if positive >= FROM_PN2 else "pN1"
    return "pN1mi" if found["micro"] else "pN0(i+)" if found["itc"] else "pN0"


def kappa_of_labels(truth: Sequence[str], called: Sequence[str], labels: Sequence[str]) -> float | None:
    """Quadratic weighted kappa over the full list of labels, whether or not all of them occur.

    With the labels that occur alone, the distances between classes would be others. None where truth and
    calls are all of one and the same class, of which the kappa is undefined.

    Args:
        truth: Labels.
        called: As many labels.
        labels: All that there are, in order.

    Raises:
        CohortError: A label is not in the list, or the lengths differ.

    Example:
        >>> kappa_of_labels(["1", "1", "3"], ["1", "2", "3"], ["1", "2", "3"])
        0.8
        >>> kappa_of_labels(["1", "1"], ["1", "1"], ["1", "2", "3"]) is None
        True
    """
    asked = "Compare labels by quadratic weighted kappa."
    place = {label: number for number, label in enumerate(labels)}
    unknown = sorted({*truth, *called} - set(place))
    if unknown or len(truth) != len(called):
        found = f"{unknown[0]!r} is no label" if unknown else f"{len(truth)} truths, {len(called)} calls"
        raise CohortError(asked, f"{found}.", f"Give pairs of {', '.join(labels)}.")
    if not truth:
        return None
    one, other = (np.array([place[label] for label in each], np.int64) for each in (truth, called))
    value = float(quadratic_kappa(confusion(one, other, len(labels))))
    return value if np.isfinite(value) else None
