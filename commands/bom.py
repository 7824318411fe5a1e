"""`soup bom`: bills of materials from what soup observed and what the operator declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.cli import SETTINGS, recorded
from commands.errors import AlteredEvidence, Findings, Incomplete, UsageProblem, quoted
from commands.record import Session, printable
from ledger.events.artifact import STREAM_OF_ROLE, ArtifactDeclared, ArtifactObserved, Role
from ledger.events.base import Digest, Event, FileDigest
from ledger.events.document import BomDeclared

FORMATS = {"cyclonedx": ("bom.cyclonedx",), "spdx": ("bom.spdx",), "both": ("bom.cyclonedx", "bom.spdx")}
MAX_NAME = 1024
MAX_DOCUMENT = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Input:
    """One thing a model was made of, as asked for: a typed digest, a path to look at, or both."""

    role: Role
    path: Path | None
    declared: str | None
    path_option: str
    digest_option: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An input after soup has looked: its digest, and the event that says so."""

    role: Role
    digest: Digest
    event: ArtifactObserved | ArtifactDeclared


@click.group(context_settings=SETTINGS)
def bom() -> None:
    """Emit and verify bills of materials (CycloneDX 1.6, SPDX 2.3)."""


@bom.command()
@click.option("--name", required=True, help="Name of the model.")
@click.option("--version", required=True, help="Version of the model.")
@click.option("--base-model", help="The model it was fine-tuned from, for example meta-llama/Llama-3.1-8B-Instruct.")
@click.option("--task", help="How it was trained: sft, dpo, pretrain ...")
@click.option("--license", help="Licence of the model, an SPDX identifier or expression.")
@click.option("--model", type=click.Path(path_type=Path), help="The model's file or directory; every file is hashed.")
@click.option("--base-path", type=click.Path(path_type=Path), help="The base model's file or directory.")
@click.option("--base-sha", metavar="SHA256", help="The base model's digest, as declared.")
@click.option("--config", type=click.Path(path_type=Path), help="The training configuration.")
@click.option("--config-sha", metavar="SHA256", help="Its digest, as declared.")
@click.option(
    "--data", type=click.Path(path_type=Path), multiple=True, help="A data set's file or directory (repeat for more)."
)
@click.option("--data-sha", metavar="SHA256", multiple=True, help="A data set's digest, as declared (repeat for more).")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="cyclonedx", show_default=True, help="Which document."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="A file; for `both` a prefix. Without it, standard output."
)
@click.option("--force", is_flag=True, help="Replace a file that soup has not written.")
@recorded()
def emit(session: Session, **options: Any) -> None:
    """Record a model's facts, and emit its bill of materials.

    A path is observed: soup reads and hashes it. A typed digest is declared. Where both are given they must agree.
    The document says of each digest which of the two it is.
    """
    from commands.emit import aim_all
    from commands.emit import emit as emit_documents

    wanted = aim_all(_targets(options["form"], options["output"]), session, force=options["force"])
    inputs = _inputs(options)
    seen = [_look(session, wish) for wish in inputs]
    events = decide(session.stream, options, seen, _redact(session))
    commit = session.append(events)
    streams = list(dict.fromkeys([session.stream, *(stream for stream, _ in events)]))
    documents = emit_documents(session, wanted, streams, commit.head.size, _check)
    for wish, document in zip(wanted, documents, strict=True):
        if wish.target is not None:
            click.echo(f"{wish.target.path}  {document.sha256}", err=True)


@bom.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Also run the libraries' strict validators (slow).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@recorded()
def verify(session: Session, file: Path, strict: bool, as_json: bool) -> None:
    """Check a document against the ledger, and hash again what it was made from.

    Exit code 0: rebuilt byte for byte, and nothing has changed. 3: the document or an input was altered. 4: not in this
    ledger. 6: it is genuine, but inputs are out of reach.
    """
    from commands.bom_verify import verify_document

    report = verify_document(session, file, kinds=("bom.cyclonedx", "bom.spdx"), strict=strict)
    if as_json:
        terminal.show_json(report)
    else:
        for line in report["lines"]:
            click.echo(terminal.neutral(line))
    if report["altered"]:
        raise AlteredEvidence(report["altered"][0])
    if not report["known"]:
        raise Incomplete(
            f"{quoted(file)} is not a document of this ledger",
            "point SOUP_LEDGER at the ledger that emitted it; its position and origin stand in the document",
        )
    if report["unreachable"]:
        raise Findings(f"the document is genuine; {len(report['unreachable'])} of its inputs could not be hashed again")


def decide(stream: str, options: dict[str, Any], seen: Sequence[Seen], redact: Any) -> list[tuple[str, Event]]:
    """Turn a request and what was seen into events. Pure but for counting what `redact` hides."""
    by_role = {
        role: [item.digest for item in seen if item.role == role] for role in ("model", "base", "config", "data")
    }
    texts = {name: redact(name, options[name]) for name in ("name", "version", "base_model", "task", "license")}
    declared = BomDeclared(
        **texts,
        model=next(iter(by_role["model"]), None),
        base=next(iter(by_role["base"]), None),
        config=next(iter(by_role["config"]), None),
        data=by_role["data"],
        redactions=redact.counts(),
    )
    events: list[tuple[str, Event]] = [
        (f"{STREAM_OF_ROLE[item.role]}/{item.digest.sha256}", item.event) for item in seen
    ]
    return [*events, (stream, declared)]


class _redact:  # noqa: N801 - reads as the verb it is
    """Redact a named text option, and refuse one that would be no name afterwards."""

    def __init__(self, session: Session) -> None:
        from commands.redaction import own_redactor

        self._redactor = own_redactor()
        self._session = session

    def __call__(self, option: str, value: str | None) -> str | None:
        if value is None:
            return None
        text = printable(self._redactor.text(value)).strip()
        if not text or len(text) > MAX_NAME:
            raise UsageProblem(f"--{option.replace('_', '-')} must have 1 to {MAX_NAME} characters")
        return text

    def counts(self) -> dict[str, int]:
        """Give hits by rule."""
        return dict(self._redactor.counts)


def _inputs(options: dict[str, Any]) -> list[Input]:
    """Pair paths with typed digests, checking the digests' form before anything is read."""
    from commands.observe import parse_sha256

    def parsed(option: str, text: str | None) -> str | None:
        return None if text is None else parse_sha256(text, option)

    paths, digests = options["data"], [parsed("--data-sha", text) for text in options["data_sha"]]
    if paths and digests and len(paths) != len(digests):
        raise UsageProblem(
            f"{len(paths)} --data but {len(digests)} --data-sha",
            "give as many digests as paths, in the same order, or only one of the two kinds",
        )
    count = max(len(paths), len(digests))
    rows = [
        Input("model", options["model"], None, "--model", "--model-sha"),
        Input("base", options["base_path"], parsed("--base-sha", options["base_sha"]), "--base-path", "--base-sha"),
        Input("config", options["config"], parsed("--config-sha", options["config_sha"]), "--config", "--config-sha"),
    ]
    rows += [
        Input("data", paths[n] if paths else None, digests[n] if digests else None, "--data", "--data-sha")
        for n in range(count)
    ]
    return [row for row in rows if row.path is not None or row.declared is not None]


def _look(session: Session, wish: Input) -> Seen:
    """Hash a path, or take the operator's word."""
    from commands.emit import recorded_path
    from commands.observe import ObservedDirectory, match, observe

    if wish.path is None:
        digest = Digest(sha256=str(wish.declared), origin="declared")
        return Seen(wish.role, digest, ArtifactDeclared(role=wish.role, sha256=digest.sha256))
    found = observe(wish.path)
    match(wish.declared, found.sha256, wish.digest_option, wish.path_option)
    directory = isinstance(found, ObservedDirectory)
    event = ArtifactObserved(
        role=wish.role,
        path=recorded_path(session, wish.path),
        kind="directory" if directory else "file",
        sha256=found.sha256,
        size=found.size,
        files=[
            FileDigest(path=printable(session.redactor.text(file.path)), sha256=file.sha256, size=file.size)
            for file in (found.files if isinstance(found, ObservedDirectory) else ())
        ],
    )
    return Seen(wish.role, Digest(sha256=found.sha256, origin="observed"), event)


def _targets(form: str, output: Path | None) -> list[tuple[str, Path | None]]:
    from projections.kinds import DOCUMENTS

    kinds = FORMATS[form]
    if output is None:
        if len(kinds) > 1:
            raise UsageProblem(f"--format {form} writes {len(kinds)} files", "name a prefix with --output")
        return [(kinds[0], None)]
    if len(kinds) == 1:
        return [(kinds[0], output)]
    return [(kind, output.with_name(output.name + DOCUMENTS[kind].suffix)) for kind in kinds]


def _check(kind: str, document: bytes) -> None:
    from projections.bom.validate import check

    check("spdx" if kind == "bom.spdx" else "cyclonedx", document)
