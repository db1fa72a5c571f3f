"""Damage files of every kind, thousands of times, and give each to the command that reads it.

    python benchmarks/fuzz.py [--per-kind 1000] [--kinds store,bundle] [--seed 0] [--workers 2] [--write]
    python benchmarks/fuzz.py --replay store:17

Every mutant is tried in a forked child of one warm process; some of each kind also by the real command line.
What the command wrote is compared with what it writes of the undamaged file. A fault is a traceback (exit
code 70), a hang over 20 s, an end by a signal, more than 1.5 GB, a file outside of the folder, a refusal
without its three parts, or an exit code 0 with other numbers where a checksum or header could have told.
Ends with exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuzzing.kinds import KINDS
from fuzzing.trial import FAULTS, case_of, find_numbers, try_mutant, warm_up

TABLE = Path(__file__).with_suffix(".md")
COLUMNS = ("same", "refused", "told", "blind", *FAULTS)
HEADS = (
    *(
        "same result",
        "refused",
        "part left out, told",
        "other numbers, nothing can tell",
        "other numbers, could tell",
    ),
    *("traceback", "hang", "crash", "memory", "outside its folder", "unclear refusal"),
)
MOST_EXAMPLES = 5


def make_inputs(folder: Path) -> None:
    """In a process of its own, whose threads are not ours."""
    code = "import sys, pathlib, fuzzing.inputs as i; i.make_inputs(pathlib.Path(sys.argv[1]))"
    here = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    subprocess.run([sys.executable, "-c", code, folder], check=True, env={**os.environ, "PYTHONPATH": path})


def try_all(inputs: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every mutant of the kinds, shared out to forked workers."""
    undamaged = {
        (kind, at): find_numbers(inputs, case)
        for kind in options.kinds
        for at, case in enumerate(KINDS[kind])
    }
    # Of a run that was broken off; with kept inputs they stand beside them.
    earlier = [
        json.loads(line)
        for file in sorted(inputs.parent.glob("outcomes-*.jsonl"))
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    done = {(each["kind"], each["number"], each["typed"]) for each in earlier}
    # In turn, so that a run that is broken off has tried all kinds.
    jobs = [(kind, n, False) for n in range(options.per_kind) for kind in options.kinds]
    jobs += [(kind, n, True) for n in range(min(options.typed, options.per_kind)) for kind in options.kinds]
    jobs = [job for job in jobs if job not in done]
    children, files = [], []
    for worker in range(options.workers):
        file = inputs.parent / f"outcomes-{os.getpid()}-{worker}.jsonl"
        files.append(file)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with file.open("w", encoding="utf-8") as lines:
                    for kind, n, typed in jobs[worker :: options.workers]:
                        known = undamaged[kind, n % len(KINDS[kind])]
                        found = try_mutant(inputs, kind, n, options.seed, known, typed=typed)
                        lines.write(json.dumps(found.to_dict()) + "\n")
                        lines.flush()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    if failed:
        raise RuntimeError(f"{len(failed)} worker(s) of the benchmark itself failed")
    later = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [each for each in earlier if each["kind"] in options.kinds] + later


def table_of(outcomes: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[str]:
    """A row a kind, and one of all."""
    lines = [
        f"| kind | mutants | {' | '.join(HEADS)} | by the command line |",
        "| --- " * (len(HEADS) + 3) + "|",
    ]
    for kind in (*kinds, "all"):
        mine = [each for each in outcomes if kind in (each["kind"], "all")]
        counts = Counter(each["result"] for each in mine if not each["typed"])
        typed = [each for each in mine if each["typed"]]
        bad = sum(each["result"] in FAULTS for each in typed)
        cells = [str(counts[name]) for name in COLUMNS]
        lines.append(f"| {kind} | {counts.total()} | {' | '.join(cells)} | {len(typed)}, {bad} faults |")
    return lines


def faults_of(outcomes: Sequence[dict[str, Any]], most: int) -> list[str]:
    """Each fault once, with how often and which mutants show it."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for each in outcomes:
        if each["result"] in FAULTS:
            groups[each["kind"], each["result"], each["told"]].append(each)
    lines = []
    for (kind, result, told), found in sorted(groups.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(f"{each['kind']}:{each['number']}" for each in found[:most])
        lines.append(
            f"- {kind}, {result}, {len(found)} times: {told} ({shown}; first: {found[0]['change'][:100]})"
        )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-kind", type=int, default=1000)
    parser.add_argument("--typed", type=int, default=50, help="mutants of each kind by the real command line")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--examples", type=int, default=MOST_EXAMPLES, help="mutants named for each fault")
    parser.add_argument(
        "--inputs",
        type=Path,
        help="keep the inputs here, and the outcomes beside them; a run that was broken off goes on",
    )
    parser.add_argument("--replay", help="KIND:NUMBER; show one mutant and what the command says")
    parser.add_argument("--write", action="store_true", help=f"write {TABLE.name}")
    options = parser.parse_args()
    options.kinds = [options.replay.partition(":")[0]] if options.replay else options.kinds.split(",")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="histonic-fuzz-") as scratch:
        inputs = (options.inputs or Path(scratch) / "inputs").resolve()
        if not inputs.is_dir():
            make_inputs(inputs)
        warm_up()
        if options.replay:
            kind, _, number = options.replay.partition(":")
            known = find_numbers(inputs, case_of(kind, int(number)))
            found = try_mutant(inputs, kind, int(number), options.seed, known, show=True)
            print(json.dumps(found.to_dict(), indent=1))
            return int(found.result in FAULTS)
        outcomes = try_all(inputs, options)
    lines = table_of(outcomes, options.kinds)
    faults = faults_of(outcomes, options.examples)
    most = max(each["megabytes"] for each in outcomes)
    slowest = max(each["seconds"] for each in outcomes if not each["typed"])
    minutes = (time.monotonic() - began) / 60
    print("\n".join([*lines, "", *faults]))
    print(f"seed {options.seed}, {minutes:.0f} min, at most {most} MB and {slowest} s")
    if options.write:
        head = [
            "# Damaged files",
            "",
            f"`python benchmarks/fuzz.py --seed {options.seed} --write`; {minutes:.0f} minutes.",
        ]
        head += [
            f"Most memory {most} MB, longest {slowest} s. What each column means stands in the script.",
            "",
        ]
        rest = ["", "## Faults", "", *(faults or ["None."])]
        TABLE.write_text("\n".join([*head, *lines, *rest]) + "\n", encoding="utf-8")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
