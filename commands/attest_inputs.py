"""What an attestation speaks of: subjects and dependencies that soup hashes, is told of, or finds in its ledger.

What is true here:

- Every digest has one origin: *observed* (soup read the bytes, now or in an earlier event) or *declared* (typed).
- What happened before is looked up, never made up: times, command and dependencies come from events, or are left out.
- A text that goes into a statement has been redacted, fits an event, and has no control characters in it.

Not known here: predicates, signatures, targets.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

from commands.errors import InputError, UsageProblem, quoted
from commands.record import Session, printable
from commands.redaction import Redactor, own_redactor
from commands.runs import Run, completed
from ledger.entry import time_text
from ledger.events.artifact import ArtifactObserved, Role
from ledger.events.attestation import AttestedArtifact, DependencyRole, Kind, ReferencedDocument, UsedArtifact
from ledger.events.base import Digest, FileDigest
from ledger.events.command import CommandFinished, CommandStarted
from ledger.events.document import BomDeclared, BomDeclared2, DocumentRendered
from ledger.events.run import RunCompleted
from ledger.reader import Reader, Record

MAX_TEXT = 1024
MAX_INVOCATION = 60_000
LOOK_BACK = 1000
"""Commands that are looked at for the one that `--invocation` names, newest first."""
ROLES: dict[str, Role] = {
    "base": "base", "adapter": "artifact", "model": "artifact", "tokenizer": "artifact", "config": "config",
    "data": "data", "evaluation": "data", "code": "artifact", "other": "artifact",
}  # fmt: skip
"""Roles of a dependency, and the role under which an observation of it is recorded."""
_TYPED = re.compile(r"sha256:[0-9A-Fa-f]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Invocation(NamedTuple):
    """The recorded command that did the work: its id, when it began and ended, and its line where it is asked for."""

    command: str
    started_on: str | None
    finished_on: str | None
    line: str | None = None


@dataclass(slots=True)
class Texts:
    """Redact what was typed, and refuse what a statement cannot hold. Counts what was hidden."""

    redactor: Redactor = field(default_factory=own_redactor)

    def __call__(self, option: str, value: str) -> str:
        """Give a name: 1 to 1024 characters on one line. Raises UsageProblem."""
        text = printable(self.redactor.text(value)).strip()
        if _CONTROL.search(text):
            raise UsageProblem(f"{option} has a control character in it: {quoted(text[:80])}", "type it on one line")
        if not 0 < len(text) <= MAX_TEXT:
            raise UsageProblem(f"{option} must have 1 to {MAX_TEXT} characters")
        return text

    def invocation(self, value: str) -> str:
        """Give a command line, which may be long and have several lines. Raises UsageProblem."""
        text = printable(self.redactor.text(value)).strip()
        if not 0 < len(text) <= MAX_INVOCATION:
            raise UsageProblem(f"--invocation must have 1 to {MAX_INVOCATION} characters")
        return text

    def shown(self, value: str) -> str:
        """Give a text from elsewhere that is not refused: a variable, a file's name."""
        return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", printable(self.redactor.text(value)))


class Looked(NamedTuple):
    """A path after soup has looked, or a digest that was typed (`event` is None then)."""

    digest: Digest
    kind: Kind | None
    event: ArtifactObserved | None


def subjects(session: Session, names: Sequence[str], shas: Sequence[str], texts: Texts) -> list[tuple[str, Looked]]:
    """Hash each subject that is here, and take the typed digest of one that is not. Raises UsageProblem, InputError."""
    from commands.observe import parse_sha256

    typed = [parse_sha256(sha, "--sha") for sha in shas]
    if typed and len(typed) != len(names):
        raise UsageProblem(
            f"{len(names)} --subject but {len(typed)} --sha", "give as many digests as subjects, in the same order"
        )
    found: dict[str, Looked] = {}
    for index, name in enumerate(names):
        text = texts("--subject", name)
        if text in found:
            raise UsageProblem(f"the subject {quoted(text)} is given twice", "name each subject once")
        found[text] = _look_at_subject(session, name, typed[index] if typed else None, texts)
    return list(found.items())


def dependencies(session: Session, values: Sequence[str], texts: Texts) -> list[tuple[UsedArtifact, Looked]]:
    """Read `ROLE=PATH` and `ROLE=sha256:HEX`. Raises UsageProblem, InputError."""
    from commands.observe import parse_sha256

    found = []
    for value in values:
        role, equals, what = value.partition("=")
        if role not in ROLES or not equals or not what:
            raise UsageProblem(f"--dependency {quoted(value)} is not ROLE=PATH", f"roles: {', '.join(ROLES)}")
        if _TYPED.fullmatch(what):
            looked = Looked(Digest(sha256=parse_sha256(what, "--dependency"), origin="declared"), None, None)
            name = None
        else:
            looked = _look(session, Path(what), ROLES[role], texts)
            name = texts.shown(what.rstrip("/").rpartition("/")[2] or what)[:MAX_TEXT]
        used = UsedArtifact(
            role=cast("DependencyRole", role), name=name, digest=looked.digest, kind=looked.kind, position=None
        )
        found.append((used, looked))
    return found


def of_run(run: Run, ended: Record, stage: str, texts: Texts) -> tuple[AttestedArtifact, list[UsedArtifact]]:
    """Give a run's output as a subject, and what `stage` used of the run; `ended` is the entry of the run's completion."""
    end, begun, position = completed(run), run.started, run.record.position
    output = texts.shown(end.output.rstrip("/").rpartition("/")[2])[:MAX_TEXT] or run.id
    subject = AttestedArtifact(name=output, digest=end.digest, kind="directory")
    base = UsedArtifact(role="base", name=begun.base, digest=begun.base_digest, kind=None, position=position)
    config = UsedArtifact(role="config", name=None, digest=begun.config, kind=None, position=position)
    data = [
        UsedArtifact(
            role="data" if each.role == "training" else "evaluation",
            name=each.name,
            digest=Digest(sha256=each.sha256, origin="observed"),
            kind="file",
            position=position,
        )
        for each in begun.data
    ]
    adapter = UsedArtifact(role="adapter", name=output, digest=end.digest, kind="directory", position=ended.position)
    used = {
        "train": [base, config, *data],
        "eval": [base, config, *(each for each in data if each.role == "evaluation")],
        "export": [adapter, base],
        "publish": [],
    }
    return subject, used[stage]


def end_of_run(reader: Reader, run: Run) -> Record:
    """Give the entry that completed a run. Raises InputError for a run without an output."""
    completed(run)
    return next(record for record in reader.stream(run.stream) if record.type == RunCompleted.TYPE)


def invocation_of_run(reader: Reader, run: Run, ended: Record | None) -> Invocation:
    """Give the command that ran it, with the times of the run's own beginning and end, where those are asked for."""
    started = next((record.event() for record in reader.stream(f"command/{run.record.command}")), None)
    line = None
    if isinstance(started, CommandStarted):
        line = shlex.join(word if isinstance(word, str) else f"base64:{word.base64}" for word in started.argv)
    if ended is None:
        return Invocation(run.record.command, None, None, line)
    return Invocation(run.record.command, time_text(run.record.time), time_text(ended.time), line)


def find_invocation(reader: Reader, invocation: str) -> Invocation | None:
    """Find the newest command that succeeded with exactly this command line, after redaction."""
    try:
        words = own_redactor().argv(shlex.split(invocation))
    except ValueError:  # an unbalanced quote: no command line, so no recorded one
        return None
    statement = "SELECT started, finished FROM command_index ORDER BY started DESC LIMIT ?"
    for started, finished in reader.execute(statement, (LOOK_BACK,)).fetchall():
        begin = reader.record(started)
        event = begin.event() if begin else None
        if begin is None or not isinstance(event, CommandStarted) or event.argv != words:
            continue
        end = reader.record(finished) if finished else None
        outcome = end.event() if end else None
        if end is None or not isinstance(outcome, CommandFinished) or outcome.exit_code != 0:
            continue  # what failed, or has not ended, made nothing to attest
        return Invocation(begin.command, time_text(begin.time), time_text(end.time))
    return None


class Bom(NamedTuple):
    """A bill of materials of a subject: its declaration, and everything that its command recorded."""

    record: Record
    declared: BomDeclared | BomDeclared2
    records: list[Record]


def newest_bom(reader: Reader, sha256: str, run: Run | None, *, but: str) -> Bom | None:
    """Give the newest bill of materials whose model is this very artifact; one about the run counts as well."""
    for command in _bom_commands(reader, sha256, run):
        if command == but:
            continue
        records = list(reader.of_command(command))
        for record in records:
            event = record.event() if record.type.startswith("bom.declared/") else None
            if (
                isinstance(event, BomDeclared | BomDeclared2)
                and event.model is not None
                and event.model.sha256 == sha256
            ):
                return Bom(record, event, records)
    return None


def used_by_bom(bom: Bom) -> Iterator[UsedArtifact]:
    """Give base, configuration and data of a bill of materials."""
    seen: dict[tuple[str, str], ArtifactObserved] = {
        (event.role, event.sha256): event for each in bom.records if (event := _observed(each)) is not None
    }
    declared, position = bom.declared, bom.record.position

    def used(role: DependencyRole, digest: Digest, name: str | None = None) -> UsedArtifact:
        event = seen.get((role, digest.sha256))
        name = name or (event.path.rstrip("/").rpartition("/")[2] if event else None)
        return UsedArtifact(role=role, name=name, digest=digest, kind=event.kind if event else None, position=position)

    if declared.base is not None:
        yield used("base", declared.base, declared.base_model)
    if declared.config is not None:
        yield used("config", declared.config)
    for digest in declared.data:
        yield used("data", digest)


def documents_of_bom(bom: Bom) -> list[ReferencedDocument]:
    """Give the documents in which a bill of materials left the house."""
    return [
        ReferencedDocument(
            kind=event.kind,
            name=(event.target or event.kind).rpartition("/")[2],
            media_type=event.media_type,
            sha256=event.sha256,
            position=record.position,
        )
        for record in bom.records
        if record.type == DocumentRendered.TYPE
        and isinstance(event := record.event(), DocumentRendered)
        and event.kind.startswith("bom.")
        and not event.kind.endswith(".statement")
    ]


def _bom_commands(reader: Reader, sha256: str, run: Run | None) -> Iterator[str]:
    """Give the commands that may have declared it, newest first: those that saw the artifact, or spoke of the run."""
    seen = [(record.position, record.command) for record in reader.stream(f"model/{sha256}")]
    if run is not None:
        # A bill of materials about a run observes nothing; it can only be younger than the run.
        later = "SELECT rowid FROM entries WHERE rowid > ? AND topic = ?"
        for (position,) in reader.execute(later, (run.record.position, BomDeclared2.TYPE)).fetchall():
            record = reader.record(position)
            event = record.event() if record else None
            if record is not None and isinstance(event, BomDeclared2) and event.run == run.id:
                seen.append((position, record.command))
    yield from dict.fromkeys(command for _, command in sorted(seen, reverse=True))


def _observed(record: Record) -> ArtifactObserved | None:
    event = record.event() if record.type == ArtifactObserved.TYPE else None
    return event if isinstance(event, ArtifactObserved) else None


def _look_at_subject(session: Session, name: str, typed: str | None, texts: Texts) -> Looked:
    from commands.observe import match

    path = Path(name)
    if not _exists(path):
        if typed is None:
            raise InputError(f"there is no file {quoted(name)}", "give its digest with --sha, or the path of the file")
        return Looked(Digest(sha256=typed, origin="declared"), None, None)
    looked = _look(session, path, "subject", texts)
    match(typed, looked.digest.sha256, "--sha", "--subject")
    return looked


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, or a NUL in it: nothing is there
        return False


def _look(session: Session, path: Path, role: Role, texts: Texts) -> Looked:
    from commands.emit import recorded_path
    from commands.observe import ObservedDirectory, observe

    found = observe(path)
    directory = isinstance(found, ObservedDirectory)
    event = ArtifactObserved(
        role=role,
        path=recorded_path(session, path),
        kind="directory" if directory else "file",
        sha256=found.sha256,
        size=found.size,
        files=[
            FileDigest(path=texts.shown(file.path), sha256=file.sha256, size=file.size)
            for file in (found.files if isinstance(found, ObservedDirectory) else ())
        ],
    )
    return Looked(Digest(sha256=found.sha256, origin="observed"), event.kind, event)
