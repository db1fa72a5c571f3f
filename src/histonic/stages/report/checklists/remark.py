"""REMARK: prognostic studies of tumour markers. Altman et al., PLoS Medicine 9:e1001216 (2012)."""

from __future__ import annotations

from histonic.stages.report.checklists.item import Item, Statement

_I, _M, _R, _D = "Introduction", "Materials and methods", "Results", "Discussion"

REMARK = Statement(
    "remark",
    "REMARK",
    "Altman et al., PLoS Medicine 9:e1001216 (2012)",
    "The marker is the risk that the networks predict from the slides.",
    (
        Item("1", _I, "Marker, aims and hypotheses", ("aim",), "hypotheses"),
        Item("2", _M, "Patients: characteristics, source, criteria", ("sites", "exclusions"), "disease"),
        Item("3", _M, "Treatments and how they were chosen", (), "treatments"),
        Item("4", _M, "Specimens: material and how it was kept", (), "fixation, section, stain"),
        Item("5", _M, "Assay: method, quality, blinding", ("encoder", "model", "predicted")),
        Item("6", _M, "How cases were selected; period; median follow-up", ("follow_up",), "selection"),
        Item("7", _M, "Endpoints", ("outcome",), "how they were established"),
        Item("8", _M, "Variables that were considered", ("predictors", "clinical")),
        Item("9", _M, "Sample size and power", ("sample", "precision"), "how it was planned"),
        Item("10", _M, "Statistical methods, assumptions, missing data", ("intervals", "missing", "filled")),
        Item("11", _M, "How marker values and cut-offs were handled", ("cut",)),
        Item("12", _R, "Flow of patients and numbers of events", ("flow", "events")),
        Item("13", _R, "Distribution of patients’ characteristics, and missing values", ("sites", "missing")),
        Item("14", _R, "Marker and known prognostic variables", ("clinical",), "their association"),
        Item("15", _R, "Marker and outcome alone, with survival curves", ("performance", "univariable")),
        Item("16", _R, "Marker and other variables in one model", ("cox",)),
        Item("17", _R, "Marker with standard variables, whatever the result", ("cox", "clinical")),
        Item("18", _R, "Further checks: assumptions, sensitivity, validation", ("assumptions", "cohorts")),
        Item("19", _D, "What the results mean; limitations", ("limits",), "interpretation"),
        Item("20", _D, "Next steps and clinical value", (), "next steps"),
    ),
)
