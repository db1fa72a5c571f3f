"""When two identifiers name the same patient: case, blanks and the tail of a TCGA barcode do not count."""

from __future__ import annotations

import re
from collections.abc import Iterable

from histonic.data.text import loose_key, tidy, without_zeros

BARCODE = re.compile(r"(tcga-[a-z0-9]{2}-[a-z0-9]{4})(?![a-z0-9])", re.IGNORECASE)


def patient_key(name: str) -> str:
    """What is left of an identifier when writing habits are taken off.

    Upper and lower case, blanks, hyphens, underscores and points do not count, see
    :func:`histonic.data.text.loose_key`; of a TCGA barcode the patient's part counts, also at the head of a
    slide's name. Leading zeros count: 01 and 1 may be two; 12.0 is a 12 taken for a number.

    Example:
        >>> patient_key("12.0"), patient_key("12")
        ('12', '12')
        >>> patient_key("tcga-3C-AALI-01Z-00-DX1.svs"), patient_key(" Case_12 "), patient_key("case-12")
        ('tcga-3c-aali', 'case12', 'case12')
    """
    found = BARCODE.match(re.sub(r"[\s_.\-]+", "-", tidy(name).lower()).strip("-"))
    return found.group(1) if found else loose_key(re.sub(r"^(\d+)\.0+$", r"\1", tidy(name)))


def is_worldwide(name: str) -> bool:
    """Whether an identifier is one of a kind in the world (a TCGA barcode), not a hospital's own count.

    Example:
        >>> is_worldwide("TCGA-3C-AALI"), is_worldwide("P001")
        (True, False)
    """
    return BARCODE.match(name.strip()) is not None


def same_patients(names: Iterable[str], others: Iterable[str] | None = None) -> list[tuple[str, ...]]:
    """Identifiers that name the same patient.

    Args:
        names: Of one cohort.
        others: Of a second one; by default the first is compared with itself.

    Returns:
        Within one cohort groups of different identifiers of one patient; between two cohorts pairs. Sorted.

    Example:
        >>> same_patients(["P1", "p1 ", "P2"]), same_patients(["A1"], ["a1", "B1"])
        ([('P1', 'p1 ')], [('A1', 'a1')])
    """
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(patient_key(name), set()).add(name)
    if others is None:
        return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)
    return sorted((name, other) for other in set(others) for name in groups.get(patient_key(other), set()))


def zeros_apart(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Identifiers of one cohort that differ only in zeros before numbers: one patient, or two.

    Example:
        >>> zeros_apart(["0012", "12", "13"]), zeros_apart(["P1", "p1"])
        ([('0012', '12')], [])
    """
    groups: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        key = patient_key(name)
        groups.setdefault(without_zeros(key), {}).setdefault(key, name)
    return sorted(tuple(group.values()) for group in groups.values() if len(group) > 1)
