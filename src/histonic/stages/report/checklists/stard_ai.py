"""STARD 2015 with the topics that STARD-AI adds. Bossuyt et al., BMJ 351:h5527 (2015)."""

from __future__ import annotations

from histonic.stages.report.checklists.item import Item, Statement

_T, _I, _M, _R, _D, _O = (
    "Title and abstract",
    "Introduction",
    "Methods",
    "Results",
    "Discussion",
    "Other information",
)

STARD_AI = Statement(
    "stard-ai",
    "STARD-AI",
    "Bossuyt et al., BMJ 351:h5527 (2015); Sounderajah et al., Nature Medicine (2025)",
    "Numbers are those of STARD 2015, on which STARD-AI builds. The topics of data, index test and bias that "
    "STARD-AI adds stand without a number, since its own numbering was not at hand: take it from the "
    "statement.",
    (
        Item("1", _T, "Title names a study of diagnostic accuracy, and a measure of it", (), "the title"),
        Item("2", _T, "Structured abstract", (), "the abstract"),
        Item("3", _I, "Background and intended use of the index test", (), "background"),
        Item("4", _I, "Aims and hypotheses", ("aim",), "hypotheses"),
        Item("5", _M, "Prospective or retrospective", (), "which"),
        Item("6", _M, "Who was eligible", ("exclusions",), "criteria before the label table"),
        Item("7", _M, "How eligible patients were found", (), "how"),
        Item("8", _M, "Where and when", ("sites",), "places and dates"),
        Item("9", _M, "Consecutive, random or chosen patients", (), "which"),
        Item("", _M, "Data: source, collection, cleaning", ("slides", "audit"), "source"),
        Item("", _M, "Data: annotation and its quality", ("outcome",), "who annotated and how well"),
        Item("", _M, "Data: parts for training and test, and how they are apart", ("split", "disjoint")),
        Item("10a", _M, "Index test in detail", ("model", "encoder")),
        Item("10b", _M, "Reference standard in detail", ("outcome",), "how it was established"),
        Item("", _M, "Index test: version, software, computer", ("code",)),
        Item("", _M, "Index test: what users need and do", (), "expertise and interaction"),
        Item("11", _M, "Why this reference standard", (), "reasons"),
        Item("12a", _M, "Cut-offs of the index test, chosen before or after", ("output",)),
        Item("12b", _M, "Cut-offs of the reference standard", ("outcome",), "cut-offs before the labels"),
        Item("13a", _M, "Whether the index test knew the reference", ("predicted",)),
        Item("13b", _M, "Whether the reference knew the index test", (), "blinding"),
        Item("14", _M, "How accuracy is estimated and compared", ("measures", "intervals")),
        Item("15", _M, "Index tests that could not be read", ("exclusions", "flow")),
        Item("16", _M, "Missing data", ("missing", "filled")),
        Item("17", _M, "Analyses of variability, planned or not", ("training_spread", "by_site")),
        Item("18", _M, "Intended sample size", ("sample", "precision"), "how it was planned"),
        Item("", _M, "Bias and fairness: how they were looked for", ("fairness", "audit")),
        Item("19", _R, "Flow of participants", ("flow",)),
        Item("20", _R, "Characteristics of participants", ("sites",), "demography"),
        Item("21a", _R, "Severity in those with the condition", (), "severity"),
        Item("21b", _R, "Other conditions in those without", (), "other conditions"),
        Item("22", _R, "Time and treatment between index test and reference", (), "interval"),
        Item("23", _R, "Table of index test against reference", ("confusion",)),
        Item("24", _R, "Accuracy with its precision", ("performance", "points")),
        Item("", _R, "Accuracy by group", ("by_site", "fairness")),
        Item("", _R, "External test", ("cohorts",)),
        Item("25", _R, "Harm by the tests", (), "adverse events"),
        Item("26", _D, "Limitations", ("limits",), "limitations of the study"),
        Item("27", _D, "Implications for practice", (), "implications"),
        Item("28", _O, "Registration", (), "register and number"),
        Item("29", _O, "Where the full protocol is", (), "protocol"),
        Item("30", _O, "Funding", (), "funding"),
        Item("", _O, "Ethics, commercial interests", (), "approval and interests"),
        Item("", _O, "Availability of data, code and model", ("code", "specification"), "data"),
    ),
)
