"""`soup` as its user meets it: a home of its own, an empty directory to work in, a clean environment.

True here:

- Calling a `Soup` runs a command in this process, through the same `run` that the console script ends in: a process costs
  a third of a second. `process` runs the real script, `start` leaves it running; signals, limits and kills need those.
- Nothing of this machine's environment reaches a command but PATH.
- A `Soup` also reads what the commands left: the ledger's events, and every byte below its home.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from commands import cli
from ledger.events.base import Event
from ledger.reader import Reader, Record
from tests.simulator import ROOT

SCRIPT = Path(sys.executable).parent / "soup"
A, B, C = "a" * 64, "b" * 64, "c" * 64
BOM = ("bom", "emit", "--name", "m", "--version", "1")
ATTEST = ("attest", "emit", "--stage", "train", "--builder", "soup-cli")

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.raw)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Standard output, which must be one JSON object a line and nothing else."""
        return [json.loads(line) for line in self.raw.splitlines()]


@dataclass
class Soup:
    """A home and a working directory; call it with a command line."""

    home: Path
    work: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.db"

    @property
    def audit(self) -> Path:
        return self.home / "audit.jsonl"

    def with_env(self, **environ: str | Path) -> Soup:
        """The same user with other variables."""
        return replace(self, environ={**self.environ, **{name: str(value) for name, value in environ.items()}})

    def clean_environ(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home.parent),
            "SOUP_HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "LC_ALL": "C.UTF-8",
            **self.environ,
        }

    def __call__(self, *arguments: str | Path) -> Outcome:
        """Run in this process."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True)
        err = io.StringIO()
        before = Path.cwd()
        os.chdir(self.work)
        try:
            with (
                mock.patch.dict(os.environ, self.clean_environ(), clear=True),
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                code = cli.run([str(argument) for argument in arguments])
        finally:
            os.chdir(before)
        out.flush()
        return Outcome(code, out.buffer.getvalue(), err.getvalue())

    def ok(self, *arguments: str | Path) -> Outcome:
        """Run in this process, to exit code 0."""
        outcome = self(*arguments)
        assert outcome.code == 0, f"soup {' '.join(map(str, arguments))}: {outcome.code}\n{outcome.out}\n{outcome.err}"
        return outcome

    def start(self, *arguments: str | bytes | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start the real script."""
        return self._popen([SCRIPT, *arguments], options)

    def process(self, *arguments: str | bytes | Path, **options: Any) -> Outcome:
        """Run the real script to its end."""
        return finish(self.start(*arguments, **options))

    def python(self, code: str, *arguments: str | Path, **options: Any) -> Outcome:
        """Run a snippet in this home: a `soup` with a saboteur in it."""
        return finish(self._popen([sys.executable, "-c", code, *map(str, arguments)], options))

    def _popen(self, command: Sequence[str | bytes | Path], options: dict[str, Any]) -> subprocess.Popen[bytes]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # Whoever started the tests in the background has had interrupts ignored, which children inherit.
        before = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        return subprocess.Popen(command, cwd=self.work, env=self.clean_environ(), **{**streams, **before, **options})

    def killed_at(self, patch: str, *arguments: str | Path) -> None:
        """Run a command that is killed (SIGKILL, so nothing is tidied up) when it reaches `module:Class.method`."""
        outcome = self.python(_KILL, patch, *arguments)
        assert outcome.code == -signal.SIGKILL, f"{patch} was never reached: {outcome}"

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        with Reader.open_foreign(self.ledger) as reader:
            yield reader

    def records(self) -> list[Record]:
        with self.reader() as reader:
            return list(reader.records())

    def events(self, kind: type[E]) -> list[E]:
        """Every event of one kind, in order."""
        return [event for record in self.records() if isinstance(event := record.event(), kind)]

    def stored(self) -> bytes:
        """Every byte below the home, and every name: what a search for a secret must go through."""
        return b"\n".join(
            os.fsencode(path) + b"\n" + (path.read_bytes() if path.is_file() else b"")
            for path in sorted(self.home.rglob("*"))
        )

    def write(self, name: str, content: str | bytes) -> Path:
        """Put a file into the working directory."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


_KILL = """
import importlib, os, signal, sys
patch, *arguments = sys.argv[1:]
module, _, name = patch.partition(":")
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
setattr(owner, last, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
from commands.cli import main
main(arguments)
"""


def finish(process: subprocess.Popen[bytes]) -> Outcome:
    """Wait for a process, for as long as a slow machine needs and no longer."""
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Outcome(process.returncode, out or b"", (err or b"").decode(errors="replace"))


def digest(content: str | bytes) -> str:
    """SHA-256 in hex."""
    return sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def tree_of(directory: Path) -> dict[str, bytes | None]:
    """Every file below a directory with its bytes; None for what is no regular file."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in sorted(directory.rglob("*"))
    }
