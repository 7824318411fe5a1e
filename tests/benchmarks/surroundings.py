"""What the measured commands run in: soup and soup-cli, each with a home of its own, and ledgers kept between runs.

What is true here:

- soup-cli is installed once, whole, into a virtual environment of its own; soup runs from the one that runs the benchmark.
- Neither sees the caller's home: HOME, SOUP_HOME and the working directory lie in a scratch directory, on the file system of
  the project, since a file system in memory would hide what a commit costs.
- Both have the same history: the same command line, as often; for soup-cli as lines of the form that it writes itself.
- Large ledgers are kept in `.cache/bench/<digest>`; the digest covers the schema, the byte format and the workloads, and what
  belongs to another digest is removed. One benchmark runs at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import WORKLOADS, Command, workload

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "bench"
PEER = ROOT / ".soup-cli"
PEER_REQUIREMENT = "soup-cli==0.77.0"
RECORDS = 1_000
DIGEST = "ab" * 32
BOM = (
    *("bom", "emit", "--name", "llama3-8b-finetuned", "--version", "1.0.0"),
    *("--base-model", "meta-llama/Llama-3.1-8B-Instruct", "--base-sha", DIGEST, "--config-sha", DIGEST),
    *("--data-sha", DIGEST, "--task", "sft", "--license", "apache-2.0"),
)
ONE_BOM = (*BOM, "--format", "cyclonedx", "--output", "./manifests/llama3-bom")
BOTH_BOMS = (*BOM, "--format", "both", "--output", "./manifests/llama3-bom")
FORMAT_FILES = (
    "ledger/schema.sql",
    "ledger/entry.py",
    "ledger/commit.py",
    "ledger/events/command.py",
    "ledger/events/document.py",
)


@dataclass(frozen=True, slots=True)
class Installation:
    """A `soup` to run, and the home that it knows."""

    program: Path
    home: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> Command:
        """Give a command line of it; each installation works in a directory of its own."""
        directory = self.home / "work"
        directory.mkdir(parents=True, exist_ok=True)
        return Command([self.program, *arguments], self.environment, directory)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a benchmark runs. `million` is 1,000,000, or fewer for a quick run."""

    scratch: Path
    kept: Path
    million: int

    def soup(self, home: Path) -> Installation:
        """Give soup, at home in `home`."""
        return Installation(
            Path(sys.executable).with_name("soup"), home, {"HOME": str(home), "SOUP_HOME": str(home / ".soup")}
        )

    def soup_with_records(self) -> Installation:
        """Give soup with 1,000 commands on the record; a fresh copy, since every command adds to it."""
        home = self.scratch / "soup"
        if not home.exists():
            shutil.copytree(self.home_of_commands(RECORDS), home)
        return self.soup(home)

    def peer_with_records(self) -> Installation:
        """Give soup-cli with 1,000 commands on the record, installed on first use."""
        peer = Installation(_installed_peer(), self.scratch / "peer", {"HOME": str(self.scratch / "peer")})
        audit = peer.home / ".soup" / "audit.jsonl"
        if not audit.exists():
            peer.command(*ONE_BOM).run()  # it writes the line that is repeated
            audit.write_text("".join(_repeated(audit.read_text(encoding="utf-8"), RECORDS)), encoding="utf-8")
        return peer

    def home_of_commands(self, count: int) -> Path:
        """Give a home whose ledger has `count` commands, and whose audit file has caught up."""
        with self._keeping(f"commands-{count}") as (home, is_new):
            if is_new:
                workload("commands", home / ".soup", count, json.dumps(["soup", *ONE_BOM]))
                # Writes all missing lines of the audit file; the cap keeps it in one piece, which is the harder case.
                self.soup(home).command("audit-log", "rotate", "--cap-mb", "1000000").run()
        return self.kept / f"commands-{count}"

    def ledger_of_events(self, count: int, size: int) -> Path:
        """Give a directory whose ledger has `count` events in commits of `size`."""
        with self._keeping(f"events-{count}-{size}") as (home, is_new):
            if is_new:
                workload("events", home, count, size)
        return self.kept / f"events-{count}-{size}"

    @contextmanager
    def _keeping(self, name: str) -> Iterator[tuple[Path, bool]]:
        """Give a directory to build in, which is kept only when the block has ended well."""
        if (self.kept / name).exists():
            yield self.kept / name, False
            return
        print(f"  making {name} ...", file=sys.stderr, flush=True)
        with TemporaryDirectory(dir=self.scratch) as building:
            home = Path(building) / name
            home.mkdir(mode=0o700)
            yield home, True
            home.rename(self.kept / name)


@contextmanager
def surroundings(million: int) -> Iterator[Surroundings]:
    """Make a scratch directory beside the kept ledgers; wait for another benchmark to end."""
    kept = CACHE / _digest()
    kept.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(CACHE / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for other in CACHE.iterdir():
            if other.is_dir() and other != kept:
                shutil.rmtree(other)
        with TemporaryDirectory(prefix="scratch-", dir=CACHE) as scratch:
            yield Surroundings(Path(scratch), kept, million)
    finally:
        os.close(descriptor)


def _digest() -> str:
    state = sha256()
    for path in (*(ROOT / name for name in FORMAT_FILES), WORKLOADS):
        state.update(path.read_bytes())
    return state.hexdigest()[:16]


def _installed_peer() -> Path:
    program = PEER / "bin" / "soup"
    if not program.exists():
        print(f"  installing {PEER_REQUIREMENT} into {PEER.name} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", PEER], check=True)
        pip = (PEER / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
        subprocess.run([*pip, "install", PEER_REQUIREMENT], check=True, stdout=subprocess.DEVNULL)
    return program


def _repeated(text: str, count: int) -> Iterator[str]:
    """Repeat its own line, a second apart."""
    record = json.loads(text.splitlines()[-1])
    begin = datetime.now(UTC) - timedelta(seconds=count)
    for second in range(count):
        yield json.dumps({**record, "timestamp": (begin + timedelta(seconds=second)).isoformat()}) + "\n"
