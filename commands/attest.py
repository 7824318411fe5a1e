"""`soup attest`: who made what from what, as a signed statement that others can verify without soup."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.cli import SETTINGS, recorded
from commands.errors import InputError, UsageProblem, quoted
from commands.keyring import read_trust
from commands.record import Session, printable
from commands.redaction import Redactor, own_redactor
from ledger import dsse
from ledger.entry import time_text
from ledger.events.artifact import ArtifactObserved
from ledger.events.base import Digest, Event
from ledger.events.command import CommandFinished, CommandStarted
from ledger.events.document import AttestationDeclared, BomDeclared, Dependency, DocumentSigned
from ledger.reader import Reader, Record

STAGES = ("extract", "train", "eval", "export", "publish")
BACKENDS = ("unsigned", "ed25519")
MAX_TEXT = 1024
LOOK_BACK = 1000
"""Commands that are looked at for the one that `--invocation` names, newest first."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The recorded command that did the work: its id, and when it began and ended."""

    command: str
    started_on: str
    finished_on: str


@click.group(context_settings=SETTINGS)
def attest() -> None:
    """Emit and verify in-toto attestations in DSSE envelopes."""


@attest.command()
@click.option("--stage", type=click.Choice(STAGES), required=True, help="What was done.")
@click.option("--subject", required=True, help="Name of the artifact; a file of this name is hashed.")
@click.option("--sha", metavar="SHA256", help="Its digest; needed where the file is not here.")
@click.option("--builder", required=True, help="Who did it: a URI, or a name that is marked as local.")
@click.option("--invocation", help="The command line that did it; recorded times are used when the ledger knows it.")
@click.option("--sign", type=click.Choice(BACKENDS), default="ed25519", show_default=True, help="Signature backend.")
@click.option("--output", type=click.Path(path_type=Path), help="A file; without it, standard output.")
@click.option("--force", is_flag=True, help="Replace a file that soup has not written.")
@recorded()
def emit(session: Session, **options: Any) -> None:
    """Emit an in-toto Statement v1 with SLSA provenance v1 in a DSSE envelope.

    Times and dependencies come from earlier events of the ledger, or are left out. On one's own machine this reaches
    SLSA Build L1: the provenance exists, but the one who builds is the one who signs.
    """
    from commands.emit import aim_all
    from commands.emit import emit as emit_documents

    wanted = aim_all([("attestation", options["output"])], session, force=options["force"])
    digest, observed = _subject(session, options["subject"], options["sha"])
    redactor = own_redactor()
    with session.reader() as reader:
        declared = decide(reader, options, digest, redactor, session.command)
    events: list[tuple[str, Event]] = [(session.stream, declared)]
    if observed is not None:
        events.insert(0, (f"model/{digest.sha256}", observed))
    commit = session.append(events)
    streams = [session.stream]
    signed = _sign(session, options["sign"], streams, commit.head.size)
    streams.append(f"document/{signed.payload_sha256}")
    commit = session.append([(streams[-1], signed)])
    (document,) = emit_documents(session, wanted, streams, commit.head.size)
    if options["output"] is not None:
        click.echo(f"{options['output']}  {document.sha256}", err=True)


@attest.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--key", "keys", multiple=True, metavar="PUBLIC", help="A trusted public key (file, vkey, hex, PEM, trust root)."
)
@click.option("--artifact", type=click.Path(path_type=Path), help="The artifact; its digest must be a subject's.")
@click.option("--json", "as_json", is_flag=True, help="Print the verified statement as JSON, and nothing else.")
@recorded(tolerant=True)
def verify(session: Session, file: Path, keys: tuple[str, ...], artifact: Path | None, as_json: bool) -> None:  # noqa: ARG001
    """Verify an envelope under a key that you trust, then read it.

    Exit code 0: valid under a given key. 3: no given key signed these bytes, or the artifact is another. 4: no key was
    given, or nobody signed. Without a trusted key the answer is never "valid".
    """
    from commands.attest_verify import summary, verified_statement

    statement = verified_statement(file, read_trust(keys).keys, artifact)
    if as_json:
        terminal.show_json(statement)
        return
    for line in summary(statement, artifact):
        click.echo(terminal.neutral(line))


def decide(
    reader: Reader, options: Mapping[str, Any], digest: Digest, redactor: Redactor, command: str
) -> AttestationDeclared:
    """Turn a request into a declaration; what happened before is looked up in the ledger, never made up."""
    texts = {name: _text(redactor, name, options[name]) for name in ("subject", "builder", "invocation")}
    if texts["subject"] is None or texts["builder"] is None:
        raise UsageProblem("--subject and --builder must not be empty")
    done = _find_invocation(reader, options["invocation"]) if options["invocation"] else None
    return AttestationDeclared(
        stage=options["stage"],
        subject=texts["subject"],
        digest=digest,
        builder=texts["builder"],
        invocation=texts["invocation"],
        invocation_id=f"urn:uuid:{done.command}" if done else None,
        started_on=done.started_on if done else None,
        finished_on=done.finished_on if done else None,
        dependencies=_dependencies(reader, digest.sha256, but=command),
        redactions=dict(redactor.counts),
    )


def _subject(session: Session, name: str, sha: str | None) -> tuple[Digest, ArtifactObserved | None]:
    from commands.emit import recorded_path
    from commands.observe import match, observe_file, parse_sha256

    declared = None if sha is None else parse_sha256(sha, "--sha")
    if not Path(name).exists():
        if declared is None:
            raise InputError(f"there is no file {quoted(name)}", "give its digest with --sha, or the path of the file")
        return Digest(sha256=declared, origin="declared"), None
    found = observe_file(Path(name))
    match(declared, found.sha256, "--sha", "--subject")
    event = ArtifactObserved(
        role="subject",
        path=recorded_path(session, Path(name)),
        kind="file",
        sha256=found.sha256,
        size=found.size,
        files=[],
    )
    return Digest(sha256=found.sha256, origin="observed"), event


def _text(redactor: Redactor, option: str, value: str | None) -> str | None:
    if value is None:
        return None
    text = printable(redactor.text(value)).strip()
    if not text or (option != "invocation" and len(text) > MAX_TEXT) or len(text) > 60_000:  # noqa: PLR2004 - an event's text
        raise UsageProblem(f"--{option} is empty or too long")
    return text


def _find_invocation(reader: Reader, invocation: str) -> Invocation | None:
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


def _dependencies(reader: Reader, sha256: str, *, but: str) -> list[Dependency]:
    """Give base, configuration and data of the newest bill of materials that observed this very artifact as its model."""
    for seen in reversed(list(reader.stream(f"model/{sha256}"))):
        if seen.command == but:
            continue
        records = list(reader.of_command(seen.command))
        for record in records:
            event = record.event()
            if isinstance(event, BomDeclared) and event.model is not None and event.model.sha256 == sha256:
                return list(_of_bom(event, record, records))
    return []


def _of_bom(declared: BomDeclared, record: Record, records: list[Record]) -> Iterator[Dependency]:
    names = {
        (event.role, event.sha256): event.path.rpartition("/")[2]
        for other in records
        if isinstance(event := other.event(), ArtifactObserved)
    }
    if declared.base is not None:
        yield Dependency(role="base", name=declared.base_model, digest=declared.base, position=record.position)
    if declared.config is not None:
        name = names.get(("config", declared.config.sha256))
        yield Dependency(role="config", name=name, digest=declared.config, position=record.position)
    for digest in declared.data:
        yield Dependency(role="data", name=names.get(("data", digest.sha256)), digest=digest, position=record.position)


def _sign(session: Session, backend: str, streams: list[str], position: int) -> DocumentSigned:
    """Sign the statement that the ledger gives: what is signed is what anybody can rebuild."""
    from projections.attestation.statement import PAYLOAD_TYPE, statement
    from projections.documents import sources

    if session.writer is None:
        raise InputError("attestations are emitted from one's own ledger only")
    with session.reader() as reader:
        payload = statement(sources(reader, session.writer.identity.origin, streams, position))
    signer = session.context.signer("author") if backend == "ed25519" else None
    return DocumentSigned(
        payload_sha256=hashlib.sha256(payload).hexdigest(),
        payload_type=PAYLOAD_TYPE,
        key=signer.key_id if signer else None,
        signature=signer.sign(dsse.pae(PAYLOAD_TYPE, payload)).hex() if signer else None,
    )
