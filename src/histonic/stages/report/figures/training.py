"""Losses by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from histonic.stages.report.document.sections import NetworkHistory
from histonic.stages.report.figures.drawing import (
    MARKS,
    Picture,
    draw_figure,
    line_style,
)
from histonic.stages.report.wording import words


def training_picture(history: Sequence[NetworkHistory]) -> Picture | None:
    """Training and validation loss by epoch, one line a network; None without epochs."""
    curves = [item for item in history if any(loss is not None for loss in item.validation_loss)]
    if not curves:
        return None
    repeats = max(item.repeat for item in curves) + 1
    if repeats > 1:
        curves = [item for item in curves if item.repeat == 0]
    folds = sorted({item.fold for item in curves})

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        for item in curves:
            _loss_curves(above, below, item, folds)
        above.set(ylabel="Training loss")
        below.set(xlabel="Epoch (pass over the training patients)", ylabel="Validation loss")
        # Several networks of a fold share its look, so each fold is named once.
        handles = dict(zip(*above.get_legend_handles_labels()[::-1], strict=True))
        above.legend(list(handles.values()), list(handles), loc="upper right", ncols=2, handlelength=2.6)

    lowest = "; ".join(
        f"fold {item.fold + 1}: lowest "
        f"{words.significant(min(x for x in item.validation_loss if x is not None))}"
        f" in {words.counted(len(item.epoch), 'epoch')}"
        for item in curves
    )
    return Picture(
        "Training",
        draw_figure(draw, (4.6, 4.8)),
        f"Training and validation loss by epoch. Validation: {lowest}.",
        "How far the predictions were off while the networks learned, for the patients they learned from "
        "(above) and for the validation part (below); lower is better. The mark is the epoch that was kept; "
        "epoch 0 is the untrained network." + (f" Of {repeats} repeats the first." if repeats > 1 else ""),
    )


def _loss_curves(above: Axes, below: Axes, item: NetworkHistory, folds: Sequence[int]) -> None:
    """One network: its training loss above, its validation loss with the epoch that was kept below."""
    index = folds.index(item.fold)
    line = line_style(index)
    train, validation = (np.array(each, dtype=float) for each in (item.train_loss, item.validation_loss))
    above.plot(item.epoch, train, linewidth=1.6, label=f"fold {item.fold + 1}", **line)
    below.plot(item.epoch, validation, linewidth=1.6, **line)
    best = int(np.nanargmin(validation))
    below.plot(item.epoch[best], validation[best], marker=MARKS[index % len(MARKS)], color=line["color"])
