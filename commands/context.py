"""The composition root: where things are, what time it is, who signs. Nothing else is injected.

What is true here:

- Paths come from SOUP_HOME, SOUP_LEDGER and SOUP_AUDIT_LOG_PATH, read once; no other variable moves the ledger.
- The home is made with mode 0700, the keys with 0600, under a lock, so that two first commands make one pair of keys.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import secrets
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from commands.errors import InputError, Unrecordable, because, quoted
from commands.version import VERSION

if TYPE_CHECKING:
    from ledger.commit import Signer
    from ledger.keys import Role
    from ledger.writer import Writer

MAX_PASSPHRASE = 1024


@dataclass(frozen=True)
class Context:
    """The surroundings of one soup process."""

    home: Path
    ledger: Path
    audit_log: Path
    environ: Mapping[str, str]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Context:
        """Read the environment. Raises InputError where there is no home to be found."""
        environ = os.environ if environ is None else environ
        chosen = environ.get("SOUP_HOME")
        try:
            home = Path(chosen) if chosen else Path.home() / ".soup"
        except RuntimeError:
            raise InputError("there is no home directory", "set SOUP_HOME to a directory of yours") from None
        ledger = environ.get("SOUP_LEDGER", "")
        if ledger.startswith(("postgres://", "postgresql://")):
            raise InputError("this soup keeps its ledger in SQLite; PostgreSQL is not supported yet")
        return cls(
            home=home.absolute(),
            ledger=(Path(ledger) if ledger else home / "ledger.db").absolute(),
            audit_log=Path(environ.get("SOUP_AUDIT_LOG_PATH") or home / "audit.jsonl").absolute(),
            environ=environ,
        )

    @property
    def heads(self) -> Path:
        """Where the highest head seen of each ledger is kept."""
        return self.home / "heads"

    @property
    def projections(self) -> Path:
        """Where projection files (caches) are kept."""
        return self.home / "projections"

    def key_path(self, role: str) -> Path:
        """Where a key is kept."""
        return self.home / "keys" / f"{role}.key"

    @staticmethod
    def clock() -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    @staticmethod
    def new_id() -> str:
        """UUIDv7 (RFC 9562 section 5.7): sortable by the millisecond it was made."""
        bits = (
            (time.time_ns() // 1_000_000) << 80
            | 0x7 << 76
            | secrets.randbits(12) << 64
            | 0b10 << 62
            | secrets.randbits(62)
        )
        text = f"{bits:032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def open_writer(self, command: str) -> tuple[Writer, list[str]]:
        """Open the ledger for appending; make home, keys and genesis where they are missing.

        Gives the writer, and what there is to tell about first things. Raises Unrecordable.
        """
        from ledger.errors import UnwritableError
        from ledger.writer import open_or_found

        news: list[str] = []
        try:
            with self._initialising():
                if not all(os.path.lexists(self.key_path(role)) for role in ("author", "log")):
                    self._make_keys()
                    news.append(f"made the author's and the log's signing key in {self.home / 'keys'}; keep a copy")
            writer, founded = open_or_found(
                self.ledger,
                author=self.signer("author"),
                log=self.signer("log"),
                heads_directory=self.heads,
                clock=self.clock,
                command=command,
                version=VERSION,
            )
        except UnwritableError as error:
            raise Unrecordable(f"{error}", "nothing was done: a command that cannot be recorded does not run") from None
        except OSError as error:
            raise Unrecordable(
                f"cannot use the home {quoted(self.home)}: {because(error)}", "set SOUP_HOME to a directory of yours"
            ) from None
        if founded:
            news.append(f"founded the ledger {writer.identity.ledger} in {self.ledger}")
        return writer, news

    def signer(self, role: Role) -> Signer:
        """Open one of the two keys; a locked one with the passphrase."""
        from ledger.keys import load

        return load(self.key_path(role), role, self.passphrase)

    def passphrase(self) -> bytes | None:
        """Give the passphrase from SOUP_KEY_PASSPHRASE_FILE or a prompt; None where there is neither."""
        return self._passphrase_from_file() or _prompted()

    def _passphrase_from_file(self) -> bytes | None:
        from commands.observe import read_small

        path = self.environ.get("SOUP_KEY_PASSPHRASE_FILE")
        if not path:
            return None
        try:
            passphrase = read_small(Path(path), MAX_PASSPHRASE).strip(b"\r\n")
        except InputError as error:
            raise Unrecordable(f"no passphrase: {error}", error.hint) from None
        if not passphrase:
            raise Unrecordable(f"the passphrase file {quoted(path)} is empty")
        return passphrase

    def _make_keys(self) -> None:
        from ledger.keys import generate_pair

        (self.home / "keys").mkdir(mode=0o700, exist_ok=True)
        generate_pair(self.home / "keys", self._passphrase_from_file())

    @contextmanager
    def _initialising(self) -> Iterator[None]:
        """Hold the home's lock; released by the kernel if the process dies."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.home / ".lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


@cache
def _prompted() -> bytes | None:
    """Ask once, on a terminal only."""
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    return getpass.getpass("Passphrase of the soup keys: ").encode() or None
