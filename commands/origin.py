"""Who runs this process, and where: what the kernel says, and apart from it what the environment claims."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from ledger.events.command import Operator, Process

CLAIMS = ("USER", "LOGNAME", "SUDO_USER", "GITHUB_ACTOR", "GITLAB_USER_LOGIN")
START_TIME_FIELD = 22 - 3  # proc(5): field 22 of stat; fields are counted from 3 behind the parenthesised name
MAX_CLAIM = 256


def operator(environ: Mapping[str, str], redact: Callable[[str], str]) -> Operator:
    """Give the operator: the uid is the kernel's word, `claimed` is only the environment's."""
    uid = os.getuid()
    try:
        user: str | None = redact(pwd.getpwuid(uid).pw_name)
    except KeyError:
        user = None
    claimed = {name: redact(_text(environ[name]))[:MAX_CLAIM] for name in CLAIMS if environ.get(name)}
    return Operator(uid=uid, user=user, claimed=claimed)


def process() -> Process:
    """Identify this process so that it can be told from a later one with the same number."""
    pid = os.getpid()
    return Process(host=_text(socket.gethostname()), pid=pid, boot_id=_boot_id(), started_ticks=_started_ticks(pid))


def outcome_of_open(recorded: Process) -> str:
    """Say what became of a command without an end: `running`, `interrupted`, or `open` where this host cannot know."""
    if recorded.host != _text(socket.gethostname()) or recorded.boot_id is None:
        return "open"
    if recorded.boot_id != _boot_id():
        return "interrupted"  # the machine has started again since
    alive = _started_ticks(recorded.pid)
    return "running" if alive is not None and alive == recorded.started_ticks else "interrupted"


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _started_ticks(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(stat.rpartition(")")[2].split()[START_TIME_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def _text(value: str) -> str:
    """Make a name from outside fit for canonical JSON."""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
