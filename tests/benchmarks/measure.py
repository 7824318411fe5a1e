"""Measuring: whole processes, in interleaved pairs, by wall clock and by the kernel's own accounts.

What is true here:

- A process is measured from before it is started until the kernel has reaped it: interpreter, imports, work and exit.
- Two that are compared run in turns (A B A B ...), so that a neighbour on the machine disturbs both alike; each ran once before.
- CPU is user and system time of the process and its children, by wait4(2): it hardly depends on how busy the machine is.
- Memory is the sum, over a process and its descendants, of the most that each ever had resident (VmHWM in proc(5)): an upper
  bound, since pages that they share are counted in each. `ru_maxrss` would inherit the peak of whoever started the process.

Not known here: what is being measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryFile
from time import perf_counter
from typing import Any, Self

PAIRED_RUNS = 7
LONG_RUNS = 5
SAMPLE_SECONDS = 0.02
WORKLOADS = Path(__file__).with_name("workloads.py")
# Nothing of the caller's environment gets in but what finds programs and the kernel's temporary directory.
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}


class FailedError(Exception):
    """A measured process ended with another exit code than 0."""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: seconds by the wall, seconds of CPU, bytes resident at the peak (0: not watched)."""

    wall: float
    cpu: float
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """A command line, what it adds to the environment, and the directory it runs in."""

    argv: Sequence[str | Path]
    environment: Mapping[str, str]
    directory: Path

    def run(self, *, watch: bool = False) -> Run:
        """Run once, output thrown away. Raises FailedError with the last line that it said."""
        return _measure(self, watch=watch)[0]

    def output(self) -> str:
        """Run once and give what it printed. Raises FailedError."""
        return _measure(self, watch=False)[1]


@dataclass(frozen=True, slots=True)
class Sample:
    """Values of repeated measurements."""

    values: Sequence[float]

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """First and third quartile; the value itself where there is only one."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        first, _, third = quantiles(self.values, n=4, method="inclusive")
        return first, third


@dataclass(frozen=True, slots=True)
class Runs:
    """Repeated runs of one command."""

    runs: Sequence[Run]

    @property
    def wall(self) -> Sample:
        """Seconds by the wall."""
        return Sample([run.wall for run in self.runs])

    @property
    def cpu(self) -> Sample:
        """Seconds of CPU."""
        return Sample([run.cpu for run in self.runs])

    @property
    def peak(self) -> int:
        """Bytes resident in the worst run."""
        return max(run.peak for run in self.runs)


def interleave(*commands: Command, runs: int = PAIRED_RUNS) -> list[Runs]:
    """Run commands in turns, after one round that is not counted (it writes byte code and fills the page cache)."""
    measured: list[list[Run]] = [[] for _ in commands]
    for command in commands:
        command.run()
    for _ in range(runs):
        for command, into in zip(commands, measured, strict=True):
            into.append(command.run())
    return [Runs(each) for each in measured]


def watched(command: Command) -> int:
    """Give the bytes that a command had resident at its peak, in a run of its own: watching costs time."""
    return command.run(watch=True).peak


def workload(name: str, *arguments: str | int | Path) -> tuple[dict[str, Any], int]:
    """Run a function of workloads.py in a fresh process; give its answer and the bytes resident at its peak."""
    argv: list[str | Path] = [sys.executable, WORKLOADS, name, *map(str, arguments)]
    run, output = _measure(Command(argv, {}, Path.cwd()), watch=True)
    answer: dict[str, Any] = json.loads(output)
    return answer, run.peak


def _measure(command: Command, *, watch: bool) -> tuple[Run, str]:
    with TemporaryFile() as out, TemporaryFile() as err:
        begin = perf_counter()
        process = subprocess.Popen(  # reaped below, for its rusage
            [str(word) for word in command.argv],
            env={**ENVIRONMENT, **command.environment},
            cwd=command.directory,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        with _Watch(process.pid) if watch else _Blind() as resident:
            _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output, said = (_read(stream) for stream in (out, err))
    if process.returncode:
        last = (said.strip() or output.strip() or "said nothing").splitlines()[-1]
        raise FailedError(f"{Path(command.argv[0]).name} exited {process.returncode}: {last[:200]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, resident.peak), output


def _read(stream: Any) -> str:
    stream.seek(0)
    return bytes(stream.read()).decode("utf-8", "replace")


class _Blind:
    """Watches nothing: a short command would notice being watched."""

    peak = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _Watch:
    """Looks at a process and its descendants every 20 milliseconds, while it is entered."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peaks: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def peak(self) -> int:
        return sum(self._peaks.values())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            for pid in _tree(self._root):
                # Not the greatest reading: between fork and exec a child still shows its parent's.
                self._peaks[pid] = _high_water(pid) or self._peaks.get(pid, 0)


def _tree(root: int) -> list[int]:
    found, pending = [], [root]
    while pending:
        pid = pending.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            pending.extend(map(int, _text(children).split()))
    return found


def _high_water(pid: int) -> int:
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # it has ended meanwhile
