"""One damaged input through its command: in a forked child with limits, or by the real command line."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib
import os
import pkgutil
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fuzzing.bytewise import chosen
from fuzzing.kinds import KINDS, Case

Result = Literal[
    *(
        "same",
        "refused",
        "told",
        "blind",
        "numbers",
        "traceback",
        "hang",
        "crash",
        "memory",
        "outside",
        "unclear",
    )
]
FAULTS: tuple[Result, ...] = ("numbers", "traceback", "hang", "crash", "memory", "outside", "unclear")
SECONDS = 20.0
STARTUP_SECONDS = 20.0
"""What the real command line may take beside, on a busy machine, to import what it needs."""
MOST_BYTES = 1.5 * 2**30
ROOM_BYTES = 4 * 2**30
"""What a child may map beyond its parent before the system refuses."""
TELLING = ("skipped ", "passed over ", "warning  ")
"""What a command that goes on without a part says of it."""
LATE = (
    "histonic.encoders.foreign.timm",
    "histonic.__main__",
    "histonic.testing.contracts",
    "histonic.testing.slides",
)
BESIDE = (
    *(
        "lightning_fabric",
        "matplotlib.pyplot",
        "openpyxl",
        "pyarrow.parquet",
        "openslide",
        "sklearn.linear_model",
    ),
    *(
        "scipy.ndimage",
        "scipy.optimize",
        "scipy.stats",
        "tifffile",
        "imagecodecs",
        "zarr",
        "PIL.PngImagePlugin",
    ),
    *("PIL.JpegImagePlugin", "PIL.TiffImagePlugin", "pandas", "h5py", "lifelines", "simplejpeg", "yaml"),
)


@dataclass(frozen=True)
class Outcome:
    """What became of a damaged input.

    Attributes:
        kind: Kind of input.
        number: Which of its mutants; gives the same damage again.
        change: What was damaged.
        result: Its class.
        told: The last words of the command, or where it failed.
        code: Exit code.
        seconds: Time.
        megabytes: Most memory.
        typed: Whether it ran by the real command line.
    """

    kind: str
    number: int
    change: str
    result: Result
    told: str
    code: int
    seconds: float
    megabytes: float
    typed: bool = False

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


def warm_up() -> None:
    """Import everything that a command could, so that a forked child begins at once."""
    import histonic

    for module in pkgutil.walk_packages(histonic.__path__, "histonic."):
        if module.name not in LATE:
            importlib.import_module(module.name)
    for name in BESIDE:
        importlib.import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("a library began a thread, which a fork would not have")
    gc.collect()
    gc.freeze()


@contextlib.contextmanager
def _prepared(inputs: Path, case: Case) -> Iterator[Path]:
    """A folder with a copy of the undamaged files, beside what no command may touch."""
    with tempfile.TemporaryDirectory(prefix="histonic-fuzz-") as name:
        around = Path(name)
        here = around / "here"
        shutil.copytree(inputs / case.folder, here / "damaged")
        (here / "shared").symlink_to(inputs / "shared")
        for folder in ("out", "tmp"):
            (here / folder).mkdir()
        (around / "elsewhere").write_text("not to be touched")
        yield here


def _is_outside(here: Path) -> bool:
    """Whether something beside the folder was written or deleted."""
    names = sorted(path.name for path in here.parent.iterdir())
    return names != ["elsewhere", "here"] or not (here.parent / "elsewhere").is_file()


def case_of(kind: str, number: int) -> Case:
    """The case that a mutant belongs to."""
    return KINDS[kind][number % len(KINDS[kind])]


def find_numbers(inputs: Path, case: Case) -> str:
    """What the command finds in the undamaged files.

    Raises:
        RuntimeError: It refuses them.
    """
    with _prepared(inputs, case) as here:
        code, found, *_ = _in_child(here, case)
        if code != 0 or not found:
            raise RuntimeError(f"{case.folder}: exit code {code}\n{_said(here)}")
        return found


def try_mutant(
    inputs: Path,
    kind: str,
    number: int,
    seed: int,
    undamaged: str,
    *,
    typed: bool = False,
    show: bool = False,
) -> Outcome:
    """Damage a copy of an input and give it to its command.

    Args:
        inputs: Folder of the undamaged files.
        kind: Kind of input.
        number: Which mutant.
        seed: Of the whole benchmark.
        undamaged: From :func:`find_numbers`.
        typed: By the real command line in place of a forked child.
        show: Print what the command says.
    """
    case = case_of(kind, number)
    rng = random.Random(f"{seed} {kind} {number}")
    with _prepared(inputs, case) as here:
        change = chosen(case.damages, here / "damaged", rng)
        blind = case.is_blind(change, inputs / case.folder)
        began = time.monotonic()
        if typed:
            code, found, peak = _by_command_line(here, case)
        else:
            code, found, peak = _in_child(here, case)
        seconds = time.monotonic() - began
        if show:
            print(f"{kind}:{number}  {change.what}\n$ histonic {' '.join(case.words)}\n{_said(here)}")
            print(*(log.read_text() for log in sorted((here / "tmp").glob("histonic-fault-*"))))
        result, told = _judge(here, code, found, undamaged, peak, blind)
    return Outcome(
        kind, number, change.what, result, told, code, round(seconds, 2), round(peak / 2**20), typed
    )


def _judge(here: Path, code: int, found: str, undamaged: str, peak: float, blind: bool) -> tuple[Result, str]:
    said = _said(here)
    if _is_outside(here):
        return "outside", "something outside of its folder was touched"
    if code == -signal.SIGALRM:
        return "hang", f"over {SECONDS:g} s"
    if code < 0:
        return "crash", signal.Signals(-code).name
    if peak > MOST_BYTES or "Memory ran out" in said:
        return "memory", f"{peak / 2**30:.1f} GB; {_place(here)}"
    if code == 70 or "Traceback (most recent call last)" in said:
        return "traceback", _place(here)
    if code in (1, 2):
        clear = ("found:" in said and "to do:" in said) or "failed  " in said or "error    " in said
        clear = clear or "Usage: " in said
        return ("refused" if clear else "unclear"), _last(said)
    if code != 0:
        return "unclear", f"exit code {code}"
    if found == undamaged or not found:
        # By the real command line numbers are not looked at: the forked child has done that.
        return "same", ""
    if found.startswith("refused"):
        return "refused", found
    if any(sign in said for sign in TELLING):
        return "told", _last(said)
    return ("blind" if blind else "numbers"), _last(said)


def _said(here: Path) -> str:
    files = [here / name for name in ("stdout", "stderr")]
    return "".join(file.read_text(errors="replace") for file in files if file.is_file())


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    found = [line for line in lines if line.startswith("found:") or line.startswith(("failed", "error"))]
    return (found or lines or [""])[-1][:200]


def _place(here: Path) -> str:
    """The error and the last line of the package in the log of a fault."""
    texts = [log.read_text(errors="replace") for log in sorted((here / "tmp").glob("histonic-fault-*"))]
    text = texts[0] if texts else _said(here)
    lines = re.findall(r'File "[^"]*/(histonic/[^"]+)", line (\d+)', text)
    error = [line for line in text.splitlines() if line.strip()][-1:] or [""]
    kind = re.match(r"[\w.]+", error[0])
    return (
        f"{kind[0] if kind else error[0][:60]} at {':'.join(lines[-1]) if lines else 'no place of histonic'}"
    )


def _in_child(here: Path, case: Case) -> tuple[int, str, float]:
    """Exit code (negative: the signal), numbers and most memory of a forked child."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _be_the_command(here, case)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    numbers = here / "numbers"
    return code, numbers.read_text() if code == 0 and numbers.is_file() else "", used.ru_maxrss * 1024.0


def _be_the_command(here: Path, case: Case) -> None:
    """Run the command in this process, which is the child, and end it."""
    code = 99
    try:
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(here / name, os.O_WRONLY | os.O_CREAT), number)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (int(mapped + ROOM_BYTES),) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
        os.chdir(here)
        tempfile.tempdir = str(here / "tmp")
        sys.argv = ["histonic", *case.words]
        code = _call_main()
        if code == 0:
            (here / "numbers").write_text(_digest(here, case))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _call_main() -> int:
    from histonic.app.cli import main

    try:
        main()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0
    return 0


def _digest(here: Path, case: Case) -> str:
    from histonic.core.errors import HistonicError

    try:
        found = repr(case.numbers(here))
    except HistonicError as error:
        return f"refused by the next reader: {error.found}"
    except Exception as error:  # noqa: BLE001 - a result that cannot be read is another one
        return f"unreadable: {error!r}"
    return hashlib.sha256(found.encode()).hexdigest()


def _by_command_line(here: Path, case: Case) -> tuple[int, str, float]:
    """The same by ``python -m histonic``; numbers are not looked at."""
    words = [sys.executable, "-m", "histonic", *case.words]
    with (here / "stdout").open("wb") as out, (here / "stderr").open("wb") as err:
        process = subprocess.Popen(
            words, cwd=here, stdout=out, stderr=err, env={**os.environ, "TMPDIR": str(here / "tmp")}
        )
        timer = threading.Timer(SECONDS + STARTUP_SECONDS, process.send_signal, (signal.SIGALRM,))
        timer.start()
        _, status, used = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, "", used.ru_maxrss * 1024.0
