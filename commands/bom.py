"""`soup bom`: bills of materials from what soup observed and what the operator declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from commands import terminal
from commands.bom_inputs import Seen, demand_different, inputs, look, parent
from commands.bom_show import diff, score, show
from commands.cli import SETTINGS, recorded
from commands.errors import AlteredEvidence, Findings, Incomplete, UsageProblem, quoted
from commands.record import Session, printable
from commands.runs import Run, completed, find_run
from commands.signing import Signing, from_options, sign, signing_options
from ledger.events.artifact import ArtifactObserved
from ledger.events.base import Digest, Event
from ledger.events.document import BomDeclared2, DocumentRendered, Parent
from ledger.events.facts import FactsDeclared
from ledger.reader import Reader

FORMATS: dict[str, tuple[str, ...]] = {
    "cyclonedx": ("bom.cyclonedx",),
    "spdx": ("bom.spdx",),
    "spdx3": ("bom.spdx3",),
    "both": ("bom.cyclonedx", "bom.spdx"),
    "all": ("bom.cyclonedx", "bom.spdx", "bom.spdx3"),
}
SPEC_VERSIONS = {"1.6": "bom.cyclonedx", "1.7": "bom.cyclonedx17"}
KINDS = ("bom.cyclonedx", "bom.cyclonedx17", "bom.spdx", "bom.spdx3")
MAX_NAME = 1024
A_PATH = click.Path(path_type=Path)


@click.group(context_settings=SETTINGS)
def bom() -> None:
    """Emit, read and verify bills of materials (CycloneDX 1.6 and 1.7, SPDX 2.3 and 3.0.1)."""


for member in (show, diff, score):
    bom.add_command(member)


@bom.command()
@click.option("--name", help="Name of the model (default with --run: that of the run).")
@click.option("--version", help="Version of the model (default with --run: 0+ and the beginning of its digest).")
@click.option("--base-model", help="The model it was fine-tuned from, for example meta-llama/Llama-3.1-8B-Instruct.")
@click.option("--base-revision", help="The base model's exact revision, for example a commit.")
@click.option("--task", help="How it was trained: sft, dpo, pretrain ...")
@click.option("--license", help="Licence of the model, an SPDX identifier or expression.")
@click.option(
    "--run", metavar="RUN", help="Take everything from a recorded run: its id, the beginning of it, or `last`."
)
@click.option("--model", type=A_PATH, help="The model's file or directory; every file is hashed, headers are read.")
@click.option("--base-path", type=A_PATH, help="The base model's file or directory.")
@click.option("--base-sha", metavar="SHA256", help="The base model's digest, as declared.")
@click.option("--config", type=A_PATH, help="The training configuration.")
@click.option("--config-sha", metavar="SHA256", help="Its digest, as declared.")
@click.option("--data", type=A_PATH, multiple=True, help="A data set's file or directory (repeat for more).")
@click.option("--data-sha", metavar="SHA256", multiple=True, help="A data set's digest, as declared (repeat for more).")
@click.option("--artifact", type=A_PATH, multiple=True, help="A further file or directory of the release (repeat).")
@click.option("--facts", type=A_PATH, help="What no tool can know: intended use, limits, people ... (YAML or JSON).")
@click.option("--energy", type=A_PATH, help="Energy and CO2 of the training, with method and source (YAML or JSON).")
@click.option("--with-environment", is_flag=True, help="List the Python packages installed here, and the hardware.")
@click.option("--parent", "parent_path", type=A_PATH, help="The bill of materials of what this was made from.")
@click.option(
    "--format", "form", type=click.Choice(list(FORMATS)), default="cyclonedx", show_default=True, help="Which document."
)
@click.option(
    "--spec-version", type=click.Choice(list(SPEC_VERSIONS)), default="1.6", show_default=True, help="Of CycloneDX."
)
@click.option("--output", type=A_PATH, help="A file; for `both` and `all` a prefix. Without it, standard output.")
@click.option("--force", is_flag=True, help="Replace a file that soup has not written.")
@signing_options(default=None)
@recorded()
def emit(session: Session, **options: Any) -> None:
    """Record a model's facts, and emit its bill of materials.

    A path is observed: soup reads and hashes it. A typed digest is declared. Where both are given they must agree.
    The document says of each fact which of the two it is. With --sign each document gets a signed in-toto statement
    beside it (FILE.intoto.json).
    """
    from commands.emit import aim_all
    from commands.emit import emit as emit_documents

    signing = _signing(options)
    kinds = tuple(
        SPEC_VERSIONS[options["spec_version"]] if kind == "bom.cyclonedx" else kind for kind in FORMATS[options["form"]]
    )
    wanted = aim_all(
        _targets(kinds, options["form"], options["output"], signed=signing is not None), session, force=options["force"]
    )
    with session.reader() as reader:
        run = find_run(reader, options["run"]) if options["run"] else None
    options |= _of_run(run, options) if run else {}
    _demand_named(options)
    seen = [look(session, wish) for wish in inputs(options)]
    demand_different(seen)
    events = decide(session.stream, options, seen, run, _redact(session), _others(options))
    # A second snapshot: hashing took long, and an open one keeps the WAL from shrinking.
    with session.reader() as reader:
        streams = list(dict.fromkeys([session.stream, *(stream for stream, _ in events), *_context(reader, run, seen)]))
    for name in unmatched(events, run):
        click.echo(
            f"soup: warning: the facts file speaks of the data {quoted(name)}, which is none of the data given",
            err=True,
        )
    commit = session.append(events)
    position = commit.head.size
    if signing is not None:
        position = _sign_all(session, signing, kinds, streams, position)
    documents = emit_documents(session, wanted, streams, position, _check)
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

    report = verify_document(session, file, kinds=KINDS, strict=strict)
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


def decide(
    stream: str,
    options: Mapping[str, Any],
    seen: Sequence[Seen],
    run: Run | None,
    redact: Any,
    others: Sequence[Event | Parent],
) -> list[tuple[str, Event]]:
    """Turn a request and what was seen into events. Pure but for counting what `redact` hides."""
    by_role: dict[str, list[Digest]] = {
        role: [item.digest for item in seen if item.role == role]
        for role in ("model", "base", "config", "data", "artifact")
    }
    if run is not None:
        end = completed(run)
        by_role |= {
            "model": [end.digest],
            "base": [run.started.base_digest],
            "config": [run.started.config],
            "data": [Digest(sha256=each.sha256, origin="observed") for each in run.started.data],
        }
    texts = {
        name: redact(name, options[name])
        for name in ("name", "version", "base_model", "base_revision", "task", "license")
    }
    declared = BomDeclared2(
        **texts,
        model=next(iter(by_role["model"]), None),
        base=next(iter(by_role["base"]), None),
        config=next(iter(by_role["config"]), None),
        data=by_role["data"],
        artifacts=by_role["artifact"],
        parent=next((other for other in others if isinstance(other, Parent)), None),
        run=run.id if run else None,
        redactions=redact.counts(),
    )
    events = [event for item in seen for event in item.events]
    events += [(stream, other) for other in others if not isinstance(other, Parent)]
    return [*events, (stream, declared)]


def unmatched(events: Sequence[tuple[str, Event]], run: Run | None) -> list[str]:
    """Give the data sets that a facts file speaks of, and that are no input by name or digest: nothing would say them."""
    stated = [data.match for _, event in events if isinstance(event, FactsDeclared) for data in event.facts.data]
    if not stated:
        return []
    known = {data.name for data in run.started.data} if run else set()
    for _, event in events:
        if isinstance(event, ArtifactObserved):
            known |= {event.sha256, event.path.rstrip("/").rpartition("/")[2]}
        elif isinstance(event, BomDeclared2):
            known |= {digest.sha256 for digest in event.data}
    return [name for name in stated if name not in known]


def _others(options: Mapping[str, Any]) -> list[Any]:
    """Read the files of facts, energy and the parent document, and look at the environment, as far as asked for."""
    found: list[Any] = []
    if options["facts"] is not None:
        from commands.facts_file import load as load_facts
        from commands.redaction import own_redactor

        found.append(load_facts(options["facts"], own_redactor()))
    if options["energy"] is not None:
        from commands.energy_file import load as load_energy

        found.append(load_energy(options["energy"]))
    if options["with_environment"]:
        from commands.inspect.environment import observe_environment

        found.append(observe_environment())
    if options["parent_path"] is not None:
        found.append(parent(options["parent_path"]))
    return found


_FROM_RUN = {
    "model": "--model", "base_path": "--base-path", "base_sha": "--base-sha", "base_model": "--base-model",
    "base_revision": "--base-revision", "config": "--config", "config_sha": "--config-sha", "data": "--data",
    "data_sha": "--data-sha", "task": "--task",
}  # fmt: skip


def _of_run(run: Run, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a run says of itself. Raises UsageProblem where the command line says it, too."""
    typed = [option for name, option in _FROM_RUN.items() if options[name]]
    if typed:
        raise UsageProblem(
            f"{', '.join(typed)} cannot stand beside --run", "the run has recorded what it used; leave them out"
        )
    end = completed(run)
    return {
        "name": options["name"] or run.started.name or end.output.rstrip("/").rpartition("/")[2] or run.id,
        "version": options["version"] or f"0+{end.digest.sha256[:12]}",
        "base_model": run.started.base,
        "base_revision": run.started.base_revision,
        "task": run.started.task,
    }


def _demand_named(options: Mapping[str, Any]) -> None:
    for name in ("name", "version"):
        if options[name] is None:
            raise UsageProblem(f"--{name} is missing", "name the model and its version, or give --run RUN")


def _context(reader: Reader, run: Run | None, seen: Sequence[Seen]) -> Iterator[str]:
    """Give the streams of other commands that the document may speak of: the run, and attestations of the same model."""
    if run is not None:
        yield run.stream
        yield f"command/{run.record.command}"
    models = [completed(run).digest.sha256] if run else [item.digest.sha256 for item in seen if item.role == "model"]
    for sha256 in models:
        for command in dict.fromkeys(record.command for record in reader.stream(f"model/{sha256}")):
            for record in reader.of_command(command):
                event = record.event() if record.type == DocumentRendered.TYPE else None
                if isinstance(event, DocumentRendered) and event.kind == "attestation":
                    yield record.stream


def _signing(options: Mapping[str, Any]) -> Signing | None:
    """Give how to sign; None where nobody asked for it."""
    signing = from_options(options)
    if not options["sign"]:
        return None
    if options["output"] is None:
        raise UsageProblem("--sign writes a statement beside each document", "name a file or prefix with --output")
    return signing


def _sign_all(session: Session, signing: Signing, kinds: Sequence[str], streams: list[str], position: int) -> int:
    """Sign a statement about each document, as the ledger gives it now; add the streams that hold the signatures."""
    from commands.emit import origin_of
    from projections.attestation.envelope import PAYLOAD_TYPE
    from projections.bom.statement import payload
    from projections.documents import sources

    for kind in kinds:
        with session.reader() as reader:
            body = payload(kind, sources(reader, origin_of(session), streams, position))
        signed = sign(session, signing, PAYLOAD_TYPE, body)
        streams.append(f"document/{signed.payload_sha256}")
        position = session.append([(streams[-1], signed)]).head.size
    return position


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


def _targets(kinds: Sequence[str], form: str, output: Path | None, *, signed: bool) -> list[tuple[str, Path | None]]:
    from projections.kinds import DOCUMENTS

    if output is None:
        if len(kinds) > 1:
            raise UsageProblem(f"--format {form} writes {len(kinds)} files", "name a prefix with --output")
        return [(kinds[0], None)]
    targets: list[tuple[str, Path | None]] = [
        (kind, output if len(kinds) == 1 else output.with_name(output.name + DOCUMENTS[kind].suffix)) for kind in kinds
    ]
    if signed:
        targets += [
            (f"{kind}.statement", path.with_name(f"{path.name}.intoto.json"))
            for kind, path in targets
            if path is not None
        ]
    return targets


def _check(kind: str, document: bytes) -> None:
    from projections.bom.validate import check

    if kind in KINDS:  # a signed statement holds one that has been checked
        check(kind.removeprefix("bom."), document)  # type: ignore[arg-type]  # by KINDS
