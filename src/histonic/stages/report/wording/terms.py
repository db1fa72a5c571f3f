"""The terms of the report: what each metric means, where it can lie, how to read results, and a glossary."""

from __future__ import annotations

MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"
GLOSSES = {
    "AUROC": "Of two patients from different classes, how often the right one gets the higher score. "
    "1 is perfect, 0.5 is tossing a coin.",
    "AUPRC": "Mean share of true cases among the patients called so, over all cut-offs. 1 is perfect; "
    "chance is what a random order of as many patients reaches on average: the share of such cases and, "
    "where patients are few, a little more.",
    "Balanced accuracy": "Share of patients called rightly, averaged over the classes, so that a rare class "
    "counts as much as a common one.",
    "Accuracy": "Share of patients called rightly.",
    "Brier score": "Mean squared distance of the probabilities from what was true. 0 is perfect; lower is "
    "better.",
    "Quadratic weighted kappa": "Agreement of called and true class beyond chance; distant errors weigh "
    "more. 1 is perfect, 0 is chance.",
    "Spearman correlation": "Whether the predictions rank the patients rightly. 1 is the right order, 0 no "
    f"relation, {MINUS}1 the reverse order.",
    "Mean absolute error": "How far a prediction is off on average, in the unit of the target. Lower is "
    "better.",
    "Median absolute error": "How far a prediction is off for half of the patients at most. Lower is better.",
    "R²": "Share of the variation between patients that the predictions explain. 1 is all, 0 none; below 0 "
    "worse than predicting the mean.",
    "C-index": "Of two patients of whom one is known to have had the event first, how often that one has the "
    "higher risk. 1 is perfect, 0.5 is tossing a coin.",
    "Uno's C": "As the C-index of all patients, weighted so that losing some from sight does not move it.",
    "Mean AUC over time": "The AUC at a time, averaged over the follow-up.",
    "AUC at a time": "Of two patients of whom one has had the event by then and one has not, how often the "
    "former "
    "has the higher risk.",
    "Integrated Brier score": "Squared distance of predicted survival from what happened, averaged over "
    "time. 0 is "
    "perfect; lower is better.",
    "Brier skill": "By which share the predictions lower that error, compared with one curve for everyone. "
    "1 is all "
    "of it, 0 nothing.",
    "Observed / expected events": "Events that came, over events that were promised. 1 is right; above 1 "
    "more came.",
    "Calibration intercept": "Whether the probabilities are right on average. 0 is right; below 0 the model "
    "promises too much.",
    "Calibration slope": "Whether the predictions are spread as they should be. 1 is right; below 1 they "
    "are too "
    "extreme, above 1 too timid.",
    "Expected calibration error": "How far predicted probability and observed share are apart on average, "
    "in the "
    "groups of the calibration figure. 0 is perfect.",
    "Integrated calibration index": "How far predicted probability and the smooth curve of the calibration "
    "figure are apart, in the mean over the patients. 0 is perfect.",
    "Calibration E50": "The same distance: half of the patients have no greater one.",
    "Calibration E90": "The same distance: nine of ten patients have no greater one.",
}
RANGES = {
    "AUROC": (0.0, 1.0),
    "AUPRC": (0.0, 1.0),
    "Balanced accuracy": (0.0, 1.0),
    "Accuracy": (0.0, 1.0),
    "Brier score": (0.0, 1.0),
    "Quadratic weighted kappa": (-1.0, 1.0),
    "Spearman correlation": (-1.0, 1.0),
    "R²": (-1.0, 1.0),
    "C-index": (0.0, 1.0),
    "Uno's C": (0.0, 1.0),
    "Mean AUC over time": (0.0, 1.0),
    "AUC at a time": (0.0, 1.0),
    "Brier skill": (-1.0, 1.0),
    "Expected calibration error": (0.0, 1.0),
    "Calibration intercept": (-2.0, 2.0),
    "Calibration slope": (0.0, 2.0),
    "Observed / expected events": (0.0, 2.0),
}
"""Where a metric can lie, for the small drawing beside it; others start at 0 and end where they must."""

GLOSSARY = (
    ("Slide, patient", "A patient may have several slides. All results here count patients, not slides."),
    (
        "Compressed slide, code, cell",
        "The slide is cut into small square fields (cells). An encoder describes each cell that holds "
        "tissue by a short list of numbers, its code. The network that predicts sees only this map of codes.",
    ),
    (
        "Encoder",
        "The network or formula that turns the picture of a cell into its code. It was made before this run "
        "and was not changed by it.",
    ),
    (
        "Fold, cross-validation",
        "The patients are divided into parts. In turn each part is set aside, a network is trained on the "
        "others, and only then predicts the part it has not seen.",
    ),
    (
        "Within folds, folds pooled",
        "Each fold is predicted by networks of its own, whose level follows the patients they learned from: "
        "where these had the event often, all of the fold's predictions are high. Within folds only patients "
        "of the same fold are compared, and all such pairs count alike. With folds pooled patients of "
        "different folds are compared, too, as many publications do.",
    ),
    (
        "Out-of-fold prediction",
        "The prediction for a patient by networks that never saw that patient, neither for learning nor for "
        "choosing when to stop. Every number and figure here is made of such predictions.",
    ),
    (
        "95 % interval",
        "How much the number would vary with other patients of the same kind: the patients are drawn again "
        "and again at random, and the range of the results is given, made so that it holds the true value in "
        "about 95 of 100 such studies. It does not include that a network trained a second time would come "
        "out a little different.",
    ),
    (
        "Chance level",
        "What predictions would reach that know nothing of the slides. If the interval contains it, this run "
        "does not show that the slides tell anything about the target. With several targets their p-values "
        "are corrected together (Holm), since among many one may stand out by chance.",
    ),
    (
        "Calibration",
        "Whether a predicted probability of, say, 30 % comes true in 30 of 100 such patients.",
    ),
    (
        "Net benefit, threshold",
        "A threshold is the predicted chance from which one would treat; 10 % says that finding one case "
        "is worth "
        "nine treatments for nothing. Net benefit is the share of patients treated rightly, less those "
        "treated for "
        "nothing at that rate.",
    ),
    (
        "Operating point",
        "A threshold on the probability: who reaches it is called. Youden: sensitivity plus specificity is "
        "greatest. Sensitivity is the share of positive patients who are called, specificity that of the "
        "others who are not; PPV is the share of called patients who are positive, NPV that of the others "
        "who are not. The likelihood ratio LR+ says by how much a call raises the odds of being positive, "
        f"LR{MINUS} by how much none lowers them: 1 tells nothing. F1 is the harmonic mean of sensitivity "
        "and PPV.",
    ),
    (
        "Hazard ratio",
        "How many times as often the event comes, at any time, in one group as in the other. 1 is no "
        "difference.",
    ),
    (
        "Likelihood-ratio test",
        "Whether a model with the slides fits the outcomes better than one without, by more than chance "
        "would do.",
    ),
    ("µm/px", "Resolution: how many micrometres of tissue one pixel of the picture covers."),
)
READING_ALL = (
    "Every prediction shown is out-of-fold: it was made by networks that had never seen the patient, and "
    "every cut-off comes from patients who trained or validated.",
    f"The 95{NBSP}% intervals take the patient as the unit: they say how much a number would vary with other "
    "patients. They do not include that a network trained a second time would come out a little different.",
    "The first metric of a target is the one to judge by. Where there are several folds it compares patients "
    "of the same fold only, for each fold has networks of its own. The other metrics describe, and carry no "
    "verdict.",
    "A result better than chance does not say why. Stain or scanner may play a part; see the table of sites.",
)
"""How to read the results of all targets."""
READING: dict[str, str] = {
    "most probable": "The class that is called is the most probable one; no cut-off was tuned on the "
    "patients shown here. A rare class is seldom the most probable one; AUROC and AUPRC do not depend on "
    "what is called.",
    "median": "The class that is called is the median of the predicted distribution: half of the "
    "probability lies on it and the classes below. It need not be the most probable single class. No "
    "cut-off was tuned on the patients shown here.",
    "balanced": "The class that is called is the one most probable after all classes were given equal "
    "weight, so that a rare one may be called where another is more probable; no cut-off was tuned on the "
    "patients shown here.",
    "regression": "Predictions are in the unit of the label table; nothing was rescaled on the patients "
    "shown here.",
    "survival": "The model gives each patient a risk; it does not predict a time. The cut-off between low "
    "and high risk is the median risk of the training patients, so that the patients shown here had no part "
    "in choosing it.",
}
"""How to read the predictions, by the rule that called classes, else by the kind of target."""
