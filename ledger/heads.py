"""The highest head seen of each ledger, kept outside of the ledger.

A chain cannot see that its tail was cut off, or that an old copy was put back: both are valid, shorter ledgers. So every
writer leaves the checkpoint it last saw here, and refuses a ledger that does not contain it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ledger import note
from ledger.errors import MalformedError
from ledger.note import Checkpoint

MAX_NOTE = 8192


def save(directory: Path, ledger: str, checkpoint: str) -> None:
    """Keep `checkpoint` unless a higher one is there. A failure is not fatal: an older head is still a true one."""
    current = load(directory, ledger)
    if current is not None and current.size > note.parse_checkpoint_body(note.parse_note(checkpoint).body).size:
        return
    temporary = directory / f".{ledger}.{os.getpid()}"
    with suppress(OSError):
        directory.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            os.write(descriptor, checkpoint.encode())
        finally:
            os.close(descriptor)
        temporary.replace(directory / ledger)


def load(directory: Path, ledger: str) -> Checkpoint | None:
    """Give the highest head seen, None where none was kept (or a crash left it torn). Its signature is not checked here."""
    text = load_text(directory, ledger)
    return note.parse_checkpoint_body(note.parse_note(text).body) if text else None


def load_text(directory: Path, ledger: str) -> str:
    """Give the highest head seen as the signed note that was kept; '' where there is none."""
    try:
        descriptor = os.open(directory / ledger, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            text = stream.read(MAX_NOTE).decode()
        note.parse_checkpoint_body(note.parse_note(text).body)
    except (OSError, UnicodeDecodeError, MalformedError):
        return ""
    return text
