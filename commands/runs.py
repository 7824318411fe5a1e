"""Finding a recorded run by what a person types: its id, the beginning of it, or `last`.

The ledger's unique index on streams answers; no table of runs is kept, so none can lie.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from commands.errors import InputError, UsageProblem, quoted
from ledger.events.run import RunCompleted, RunFailed, RunStarted
from ledger.reader import Reader, Record

_ID = re.compile(r"[A-Za-z0-9._:-]{1,200}", re.ASCII)
_RUNS = """
SELECT originator_id, rowid FROM entries
WHERE originator_id >= ? AND originator_id < ? AND originator_version = 1 ORDER BY rowid DESC LIMIT ?
"""


class Run(NamedTuple):
    """A run's beginning and its end, where it has one."""

    id: str
    record: Record
    started: RunStarted
    ended: RunCompleted | RunFailed | None

    @property
    def stream(self) -> str:
        """The run's own stream."""
        return f"run/{self.id}"


def find_run(reader: Reader, text: str) -> Run:
    """Give the one run that `text` means. Raises UsageProblem for no id, InputError for none or several."""
    if text != "last" and not _ID.fullmatch(text):
        raise UsageProblem(f"{quoted(text)} is no run id", "give the id, the beginning of it, or: last")
    beginning = "run/" if text == "last" else f"run/{text}"
    found = [
        stream
        for stream, _ in reader.execute(_RUNS, (beginning, f"{beginning}\x7f", 1 if text == "last" else 3)).fetchall()
    ]
    exact = [stream for stream in found if stream == beginning]
    if len(exact or found) != 1:
        several = f"several runs begin with {quoted(text)}" if found else f"this ledger has no run {quoted(text)}"
        raise InputError(several, "type more of the id" if found else 'see which there are: soup query "FROM runs"')
    return _run(reader, (exact or found)[0])


def completed(run: Run) -> RunCompleted:
    """Give the end of a run that has an output. Raises InputError for one that failed, or has not ended."""
    if isinstance(run.ended, RunCompleted):
        return run.ended
    why = f"failed at step {run.ended.step}" if run.ended else "has not ended"
    raise InputError(f"the run {run.id} {why}, so it has no output to speak of")


def _run(reader: Reader, stream: str) -> Run:
    started: tuple[Record, RunStarted] | None = None
    ended: RunCompleted | RunFailed | None = None
    for record in reader.stream(stream):
        if record.type == RunStarted.TYPE and started is None:
            event = record.event()
            assert isinstance(event, RunStarted)  # noqa: S101 - by the closed table
            started = record, event
        elif record.type in (RunCompleted.TYPE, RunFailed.TYPE):
            end = record.event()
            assert isinstance(end, RunCompleted | RunFailed)  # noqa: S101 - by the closed table
            ended = end
    if started is None:
        raise InputError(f"the stream {stream} holds no beginning of a run", "verify the ledger: soup ledger verify")
    return Run(stream.removeprefix("run/"), started[0], started[1], ended)
