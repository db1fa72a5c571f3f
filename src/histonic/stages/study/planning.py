"""What a run of a study would do: each step done, going on or to do, why, and about how long it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from histonic.data.maps.store import MAP_SUFFIX, Store
from histonic.stages.compress.plan import duration_words, size_words
from histonic.stages.study.estimates import Estimate, compress_time, train_time
from histonic.stages.study.examining import ToExamine, look_for_doctor
from histonic.stages.study.file.commands import run_of, steps_of, store_of
from histonic.stages.study.file.fields import told_by_fields
from histonic.stages.study.file.reading import Study
from histonic.stages.study.steps.maps import MapsFound
from histonic.stages.study.steps.records import StepRecord, read_record, reason_words
from histonic.stages.study.steps.running import EARLIER, StepState, look_at
from histonic.stages.study.steps.step import Step

Stand = Literal["done", "goes on", "to do"]


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan.

    Attributes:
        name: Verb, and the cohort where there are several.
        stand: Where it stands.
        why: In words: what changed, or what comes before it; empty if there is nothing to say.
        time: How long it will take; None if it is done.
    """

    name: str
    stand: Stand
    why: str = ""
    time: Estimate | None = None

    def line(self) -> str:
        """As one line of text."""
        time = f"; {self.time.line()}" if self.time is not None else ""
        return f"{self.stand:<8} {self.name:<18} {self.why}{time}".rstrip(" ;").replace("  ; ", "  ")


@dataclass(frozen=True)
class StudyPlan:
    """What a run of a study would do.

    Attributes:
        steps: In their order.
        earlier: How many results of before are kept in :data:`EARLIER`.
        earlier_bytes: What they take.
    """

    steps: tuple[PlannedStep, ...]
    earlier: int = 0
    earlier_bytes: int = 0

    @property
    def seconds(self) -> float:
        """Of all steps that were measured."""
        return sum(step.time.seconds for step in self.steps if step.time and step.time.seconds is not None)

    @property
    def is_done(self) -> bool:
        """Whether nothing is to do."""
        return all(step.stand == "done" for step in self.steps)

    def lines(self) -> list[str]:
        """A line a step, and the time in all."""
        found = [step.line() for step in self.steps]
        if self.earlier:
            size = size_words(self.earlier_bytes)
            found.append(f"kept in {EARLIER}: {self.earlier} results of before, {size} (--clear-earlier)")
        if self.is_done:
            return [*found, "nothing is to do: all of it is done, from the same slides, labels and settings"]
        unknown = [step.name for step in self.steps if step.time is not None and step.time.seconds is None]
        known = f"about {duration_words(self.seconds)}" if self.seconds else ""
        rest = f"not measured: {', '.join(unknown)}" if unknown else ""
        return [*found, f"time: {'; '.join(part for part in (known, rest) if part)}"]


def plan_study(study: Study) -> StudyPlan:
    """Look at all steps; nothing is written.

    Args:
        study: As it was read.

    Raises:
        HistonicError: A setting is wrong, or what is there cannot be read; it says the fields of the file.
    """
    planned: list[PlannedStep] = []
    pending: list[str] = []
    doctor: Step | None = None
    for step in steps_of(study):
        if step.verb == "doctor":
            doctor = step  # what it has to look at depends on the maps that are there
            continue
        name = step.words
        needs = _needs(step, pending)
        last = next((each for each in reversed(pending) if each in needs), None)
        if last is not None:
            planned.append(_waits(study, step, name, last))
            pending.append(name)
            continue
        with told_by_fields(study.file, step.verb, step.title):
            state = look_at(study.out, with_precision(study, step))
        if state.maps is not None and doctor is not None and not step.title:
            with told_by_fields(study.file):
                planned.append(_doctor(look_for_doctor(study.out, doctor, state.maps)))
        planned.append(_planned(study, step, name, state))
        if state.kind != "done" and not (state.maps and only_tried_again(state.maps)):
            pending.append(name)
    kept = earlier_results(study)
    sizes = (path.lstat().st_size for place in kept for path in (place, *place.rglob("*")) if path.is_file())
    return StudyPlan(tuple(planned), len(kept), sum(sizes))


def earlier_results(study: Study) -> list[Path]:
    """Results that were replaced, by the names that they get: runs, stores, and single maps.

    All else in :data:`EARLIER` is not the study's: where ``out: .``, it may be a folder of the user's own.
    """
    steps = steps_of(study)
    outs = [
        *(step.settings["out"] for step in steps if "out" in step.settings),
        *(each.name for each in study.externals),
    ]
    stems = "|".join([*(re.escape(Path(out).stem) for out in outs), "checklist-.+"])
    folder = study.out / EARLIER
    return [
        *_matching(folder, rf"(?:{stems})-\d+(?:\..+)?"),
        *_matching(folder / "maps", rf".+-\d+{re.escape(MAP_SUFFIX)}"),
    ]


def _matching(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in found if re.fullmatch(pattern, path.name)]


def with_precision(study: Study, step: Step) -> Step:
    """The compression of another cohort, in the precision of the study's own maps."""
    if step.verb != "compress" or not step.title or "precision" in step.settings:
        return step
    store = store_of(study)
    own = Store.open(store) if store.is_dir() else None
    if own is None or not own.slide_ids:
        return step
    return replace(step, settings={**step.settings, "precision": own.settings.precision})


def only_tried_again(found: MapsFound) -> bool:
    """Whether nothing but slides that failed before is to be compressed."""
    others = found.wrong or found.unlisted or found.maker
    return not others and len(found.waiting) == len(found.failed)


def _needs(step: Step, pending: list[str]) -> list[str]:
    """Steps whose results a step reads."""
    if step.verb == "compress":
        return ["compress"] if step.title else []
    if step.verb == "external":
        return ["train", f"compress {step.title}"]
    if step.verb == "report":
        return [name for name in pending if name != "audit"]
    return ["train"] if step.verb == "explain" else ["compress"]


def _doctor(found: ToExamine) -> PlannedStep:
    if found.is_done:
        return PlannedStep("doctor", "done")
    why = reason_words(list(found.reasons)) or f"{len(found.slides)} slides and the label table"
    return PlannedStep("doctor", "to do", why)


def _waits(study: Study, step: Step, name: str, last: str) -> PlannedStep:
    """A step of which is known only that what it reads will be another."""
    record = read_record(study.out, step.name)
    before = record is not None and record.is_finished
    why = f"anew, if what {last} gives is another" if before else f"after {last}"
    if step.verb == "train":
        time = _train_time(study, step)
    else:
        known = record.seconds if record is not None else None
        time = Estimate(known, "as it took before") if known else Estimate(None, "not measured before")
    if step.verb == "compress":
        time = Estimate(None, "measured once the study's own slides are compressed")
    return PlannedStep(name, "to do", why, time)


def _planned(study: Study, step: Step, name: str, state: StepState) -> PlannedStep:
    if state.kind == "done":
        count = f"{len(state.maps.ready)} slides" if state.maps is not None else ""
        return PlannedStep(name, "done", count)
    why = reason_words(list(state.reasons))
    if state.maps is not None:
        ready = f"{len(state.maps.ready)} slides are done; " if state.maps.ready else ""
        waiting = state.maps.waiting
        time = compress_time(state.maps.settings, waiting, _same_pace(state)) if waiting else None
        kept = f"; the maps of before are kept in {EARLIER}" if state.maps.maker else ""
        return PlannedStep(name, "to do", f"{ready}{why}{kept}", time)
    if state.kind == "goes on":
        why = "where it was interrupted"
    if step.verb == "train":
        if why and (run_of(study) / "run.json").is_file():
            why += f"; the run of before is kept in {EARLIER}"
        return PlannedStep(name, state.kind, why, _train_time(study, step))
    known = None if state.record is None else state.record.seconds
    time = Estimate(known, "as it took before") if known else Estimate(None, "not measured before")
    return PlannedStep(name, state.kind, why, time)


def _same_pace(state: StepState) -> StepRecord | None:
    """The record of a compression whose encoder is still the same."""
    if state.record is None or state.made_of is None:
        return None
    return state.record if state.record.settings == state.made_of.settings else None


def _train_time(study: Study, step: Step) -> Estimate:
    store = store_of(study)
    if not store.is_dir() or not Store.open(store).slide_ids:
        return Estimate(None, "measured once the maps are there")
    return train_time(step.settings, read_record(study.out, step.name))
