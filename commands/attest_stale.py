"""Signatures that an emission leaves behind: a bundle written beside an envelope that is now replaced.

What is true here:

- Only a file that soup itself wrote together with the replaced envelope, and that nobody has touched since, is taken away:
  its bytes are those in the ledger, which gives them again. Anything else stays, and is named.
- Nothing is taken away before the new documents stand.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from commands.emit import restore_path
from commands.errors import InputError, OutputError, because, quoted
from commands.observe import observe_file
from commands.record import Session
from ledger.events.document import DocumentRendered


class Stale(NamedTuple):
    """A bundle: where it was written, and the SHA-256 of what was written there."""

    path: Path
    sha256: str


def bundles_beside(session: Session, output: Path | None) -> list[Stale]:
    """Give the bundles that were written together with the envelope that stands at `output` now."""
    if output is None:
        return []
    try:
        standing = observe_file(output).sha256
    except InputError:
        return []  # nothing stands there, or nothing of ours
    found: dict[Path, Stale] = {}
    with session.reader() as reader:
        for command in dict.fromkeys(record.command for record in reader.stream(f"document/{standing}")):
            for record in reader.of_command(command):
                event = record.event() if record.type == DocumentRendered.TYPE else None
                if isinstance(event, DocumentRendered) and event.kind == "attestation.bundle" and event.target:
                    try:
                        path = restore_path(event.target)
                    except OutputError:
                        continue
                    found[path] = Stale(path, event.sha256)
    return list(found.values())


def take_away(stale: Collection[Stale], written: Collection[Path]) -> list[str]:
    """Remove each stale bundle that was not just `written` anew. Gives what there is to say, a line each."""
    new = {os.path.realpath(path) for path in written}
    return [_take_away(one) for one in stale if os.path.realpath(one.path) not in new and _stands(one.path)]


def _stands(path: Path) -> bool:
    return os.path.lexists(path)


def _take_away(one: Stale) -> str:
    left = f"{quoted(one.path)} holds the signature of an earlier statement"
    try:
        if not stat.S_ISREG(one.path.lstat().st_mode) or observe_file(one.path).sha256 != one.sha256:
            return f"warning: {left}; it was changed since, so it stays: remove it"
        one.path.unlink()
    except InputError as error:
        return f"warning: {left}; it stays: {error}"
    except OSError as error:
        return f"warning: {left}; it stays: {because(error)}"
    return f"removed {quoted(one.path)}: it held the signature of the statement that was replaced"
