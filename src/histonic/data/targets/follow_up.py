"""Follow-up that cannot be what it says: dates for times, impossible times, two units, nobody censored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from histonic.data.tables.issues import Issue, list_examples, list_names
from histonic.data.tables.label_table import LabelTable
from histonic.data.targets.cells import DIFFERENCE
from histonic.data.targets.classes import ODD_NUMBERS, join_option
from histonic.data.targets.coding import UNIT_DAYS, time_unit
from histonic.data.targets.doubts import far_numbers
from histonic.data.targets.survival_columns import JOINED, time_columns
from histonic.data.targets.targets import RowTarget

FloatArray = npt.NDArray[np.float64]
LONGEST_YEARS = 100.0
"""No patient is followed for longer."""
FEWEST_DATES = 5
FEWEST_PATIENTS = 10
"""Below this nothing is said about patients who all had an event."""
SERIALS = (14_000.0, 80_000.0)
"""Days since 1900 (Excel), 1960 or 1970, of dates from the last decades to the next."""
NARROW = 1.6
"""The last tenth of dates is at most so many times the first."""
BEYOND = 5.0
"""So many times as long as all other times, a date or a repeated number for 'nobody knows' is no time."""
SITE_PATIENTS = 8
UNITS = {
    "years and months": 12.0,
    "months and days": 30.4375,
    "years and weeks": 52.18,
    "years and days": 365.25,
}
"""How many times one unit holds the other."""
WIDE = 25.0
"""So many times as long is follow-up at no site by itself: above, likeness is judged mildly."""
TOLERANCE, ALIKE = (2.0, 2.5), (0.45, 0.6)
"""Of the ratio of two sites' times, and the largest distance of their curves in one unit: strict, mild."""
APART = 0.6
"""The least distance of the curves before they are in one unit."""


def follow_up_issues(table: LabelTable, target: RowTarget, patients: Mapping[str, object]) -> list[Issue]:
    """What is wrong with the times and events of a survival target, taken together.

    Errors where no result could be right: dates for times, times beyond any life, a repeated 9999 far beyond
    all others. Warnings where it may be so: another number for 'nobody knows', two units by site, nobody
    censored.

    Args:
        table: For names and sites.
        target: As read; other kinds have no follow-up.
        patients: (time, event) of those who are used.
    """
    times = {row: value[0] for row, value in target.values.items() if isinstance(value, tuple)}
    if target.kind != "survival" or not times:
        return []
    where = f"{table.where(target.columns[0])}, target {target.request.name!r}"
    dates = _dates(times)
    if dates:
        return [Issue("error", "Dates in place of times", where, dates, DIFFERENCE)]
    pairs = [value for value in patients.values() if isinstance(value, tuple)]
    broken = any(issue.severity == "error" for issue in target.issues)
    return [
        *(_some_dates(where, times) or _impossible(target.columns[0], where, times)),
        *_joined_units(table, where, target.columns[0]),
        *_nobody_knows(target.columns[0], where, times),
        *_two_units(table, where, times),
        *([] if broken else _nobody_censored(table, target, pairs)),
    ]


def _dates(times: Mapping[int, float]) -> str:
    """What kind of dates the times are; empty if they can be times."""
    values = np.array(list(times.values()))
    if len(values) < FEWEST_DATES:
        return ""
    low, high = np.quantile(values, 0.1), np.quantile(values, 0.9)
    example = list_examples({row: f"{time:.10g}" for row, time in times.items()})
    most_common = np.unique(values, return_counts=True)[1].max()
    kinds = {
        "year, month and day in one number": np.mean([_is_day(each) for each in values]) >= 0.9,
        "calendar years": low >= 1900 and high <= 2100 and most_common < len(values) / 2,
        "dates as a spreadsheet counts them, in days since 1900 (43831 is 1 January 2020)": (
            SERIALS[0] <= low and high <= min(SERIALS[1], NARROW * low)
        ),
        "seconds since 1970": low >= 1e8 and high <= NARROW * low,
    }
    found = next((words for words, fits in kinds.items() if fits), "")
    return f"They look like {found}: {example}." if found else ""


def _some_dates(where: str, times: Mapping[int, float]) -> list[Issue]:
    """An error for a few dates among times that are far shorter."""
    large = {row: time for row, time in times.items() if time >= SERIALS[0] and time not in ODD_NUMBERS}
    dates = {row: f"{time:.10g}" for row, time in large.items()}
    rest = [time for row, time in times.items() if row not in dates]
    if not dates or len(rest) < FEWEST_DATES or min(large.values()) <= BEYOND * max(rest):
        return []
    found = f"{list_examples(dates)}; all others are at most {max(rest):.6g}."
    return [Issue("error", "Dates in place of times", where, found, DIFFERENCE)]


def _is_day(value: float) -> bool:
    """Whether a number is 20200131 or the like."""
    year, rest = divmod(value, 10_000)
    month, day = divmod(rest, 100)
    return value.is_integer() and 1900 <= year <= 2100 and 1 <= month <= 12 and 1 <= day <= 31


def _impossible(column: str, where: str, times: Mapping[int, float]) -> list[Issue]:
    unit = time_unit(column, short=False)
    if not unit:
        return []
    longest = LONGEST_YEARS * UNIT_DAYS["years"] / UNIT_DAYS[unit]
    beyond = {row: f"{time:.10g}" for row, time in times.items() if time > longest}
    if not beyond:
        return []
    found = f"{list_examples(beyond)}: more than {LONGEST_YEARS:g} years, if they are {unit} by the name."
    todo = f"Correct them, leave them empty if nobody knows, or rename the column if they are no {unit}."
    return [Issue("error", "Time beyond any life", where, found, todo)]


def _joined_units(table: LabelTable, where: str, column: str) -> list[Issue]:
    """An error if two columns are joined that have by their names different units."""
    units = {source: time_unit(source) for source in time_columns(table, column)}
    if len(set(units.values()) - {""}) < 2:
        return []
    found = f"{' and '.join(f'{source!r} is in {unit}' for source, unit in units.items())}, by their names."
    todo = "Join two columns of one unit."
    return [Issue("error", "Times in two units", where, found, todo)]


def _nobody_knows(column: str, where: str, times: Mapping[int, float]) -> list[Issue]:
    """99, 9999 and the like above all other times."""
    rows = far_numbers(times) or _at_the_top(times)
    if not rows:
        return []
    # What lies far below all others is negative, and refused elsewhere.
    others = max(time for row, time in times.items() if row not in rows)
    kinds = sorted({times[row] for row in rows})
    certain = len(rows) > 1 and all(kind > BEYOND * others for kind in kinds)
    far = "far from the others" if far_numbers(times) else "the longest of all"
    found = f"{list_examples({row: f'{times[row]:g}' for row in rows})}, {far}."
    join = "" if JOINED in column else join_option([f"{column}:{kind:g}" for kind in kinds], "NA") + ", or "
    todo = f"If it says that nobody knows: {join}leave the cells empty."
    what = "Number that may mean 'no value'"
    return [
        Issue(
            "error" if certain else "warning",
            what,
            where,
            found,
            todo + ("" if certain else " Nothing, if it is so."),
        )
    ]


def _at_the_top(times: Mapping[int, float]) -> list[int]:
    """Rows of a number for 'nobody knows' that is the longest time, by far or several times."""
    top = max(times.values())
    rows = [row for row, time in times.items() if time == top]
    rest = [time for time in times.values() if time < top]
    if top not in ODD_NUMBERS or top < 99 or len(rest) < FEWEST_DATES:
        return []
    return rows if len(rows) >= 3 or top > 1.5 * max(rest) else []


def _two_units(table: LabelTable, where: str, times: Mapping[int, float]) -> list[Issue]:
    """A warning if the times of some sites are those of the others in another unit."""
    patients: dict[str, dict[str, float]] = {}
    for row, time in times.items():
        site, patient = str(table.sites.get(row, "")), str(table.patients[row])
        if site and patient and time > 0:
            patients.setdefault(site, {})[patient] = time
    sites = {
        site: np.array(list(found.values()))
        for site, found in patients.items()
        if len(found) >= SITE_PATIENTS
    }
    if len(sites) < 2:
        return []
    ordered = sorted(sites, key=lambda site: float(np.median(sites[site])))
    medians = np.array([np.median(sites[site]) for site in ordered])
    cut = int(np.argmax(np.diff(np.log(medians)))) + 1
    short, long = (np.concatenate([sites[site] for site in part]) for part in (ordered[:cut], ordered[cut:]))
    ratio = float(np.median(long) / np.median(short))
    units = min(UNITS, key=lambda name: abs(np.log(ratio / UNITS[name])))
    if not _is_same_shape(short, long, UNITS[units]):
        return []
    first, second = units.split(" and ")
    return [
        Issue(
            "warning",
            "Times in two units",
            where,
            f"At {_some(ordered[cut:])} they are {ratio:.0f} times those at {_some(ordered[:cut])} (medians "
            f"{np.median(long):.4g} and {np.median(short):.4g}), as if they were {second} and {first}.",
            f"If so, write all in one unit: divide those at {_some(ordered[cut:])} by {UNITS[units]:.4g}. "
            "Nothing, if follow-up differs so much.",
        )
    ]


def _is_same_shape(short: FloatArray, long: FloatArray, factor: float) -> bool:
    """Whether the times are alike once the short ones are multiplied, and were not before."""
    mild = factor > WIDE
    for share in (0.5, 0.9):
        ratio = np.quantile(long, share) / np.quantile(short, share)
        if not factor / TOLERANCE[mild] <= ratio <= factor * TOLERANCE[mild]:
            return False
    return _distance(short, long) >= APART and _distance(short * factor, long) <= ALIKE[mild]


def _distance(one: FloatArray, other: FloatArray) -> float:
    """Kolmogorov and Smirnov's, between the shares of patients up to each time."""
    every = np.concatenate([one, other])
    shares = [np.searchsorted(np.sort(each), every, side="right") / len(each) for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _some(sites: Sequence[str]) -> str:
    return list_names(sites[:3]) + (f" and {len(sites) - 3} more" if len(sites) > 3 else "")


def _nobody_censored(
    table: LabelTable, target: RowTarget, pairs: Sequence[tuple[float, float]]
) -> list[Issue]:
    every = all(event == 1 for _, event in pairs) or set(target.values) <= set(target.causes)
    if len(pairs) < FEWEST_PATIENTS or not every:
        return []
    if target.causes:
        found = f"All {len(pairs)} patients have the event or another cause; nobody is censored."
        todo = (
            "If 1 means censored, as in R, add --event-coding 1/2. Nothing, if all were followed to the end."
        )
    else:
        found = f"All {len(pairs)} patients have the event; nobody is censored."
        todo = (
            "If only the dead were entered, add the others with their last visit and 0 (or alive). Nothing, "
            "if all were followed to the event."
        )
    return [Issue("warning", "Nobody censored", table.where(target.columns[1]), found, todo)]
