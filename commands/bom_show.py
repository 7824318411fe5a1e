"""`soup bom show`, `diff` and `score`: what a bill of materials says, of whatever tool it is.

True here:

- The file is hostile until checked, and nothing in it reaches the terminal unneutralised.
- A summary says what is known and where it comes from, and of what everybody asks that it is unknown.
- A score names what is missing, and what would fill it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import terminal
from commands.cli import recorded
from commands.errors import Findings, InputError, quoted
from commands.record import Session

if TYPE_CHECKING:
    from projections.bom.difference import Change, Difference
    from projections.bom.read_facts import Document, Fact
    from projections.bom.score import Score

LISTS = ("g7", "ntia", "owasp")
MOST = 6  # values of one line of a summary; --json gives all
WIDEST = 160  # characters of a value in a summary
UNKNOWN = "unknown"

# The lines of a summary: label, and what fills it. "kind.name" of one thing; a line without any is said to be unknown.
SUMMARY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("description", ("model.description",)),
    ("supplier", ("model.supplier", "model.producer")),
    ("licence", ("model.licence", "model.licence_concluded")),
    ("digest", ("model.hash",)),
    ("size", ("model.size",)),
    ("task", ("model.task", "model.method")),
    ("architecture", ("model.architecture_family", "model.architecture", "model.type")),
    ("intended use", ("model.intended_use", "model.use_case")),
    ("limitations", ("model.limitation",)),
    ("metrics", ("model.metric",)),
    ("hyperparameters", ("model.hyperparameter",)),
    ("run", ("run.identifier", "run.started", "run.finished")),
    ("energy (kWh)", ("model.energy",)),
    ("CO2 (g)", ("model.co2",)),
)
THINGS: tuple[tuple[str, str], ...] = (("base", "base"), ("data", "data"), ("config", "configuration"))
COUNTED: tuple[tuple[str, str], ...] = (("file", "files"), ("package", "packages"), ("device", "devices"))


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print every fact as JSON.")
@recorded()
def show(session: Session, file: Path, as_json: bool) -> None:  # noqa: ARG001 - the bracket's first argument
    """Summarise a bill of materials: CycloneDX 1.4 to 1.7 or SPDX 2.3 and 3.0, as JSON."""
    document = read_file(file)
    if as_json:
        terminal.show_json(_plain(document))
        return
    for label, value in summary(document):
        _line(label, value)


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@recorded()
def diff(session: Session, old: Path, new: Path, as_json: bool) -> None:  # noqa: ARG001 - as above
    """Say what changed between two bills of materials, in facts; their formats may differ.

    Exit code 0: they say the same of the model. 6: they do not.
    """
    from projections.bom.difference import compare

    before, after = read_file(old), read_file(new)
    found = compare(before, after)
    if as_json:
        terminal.show_json(_difference(found))
    else:
        for line in _changes(found, before, after):
            click.echo(terminal.neutral(line))
    if found.changes:
        count = len(found.changes)
        raise Findings(f"{quoted(old)} and {quoted(new)} differ in {count} {'fact' if count == 1 else 'facts'}")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--list", "name", type=click.Choice([*LISTS, "all"]), default="all", show_default=True, help="Which list of fields."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@recorded()
def score(session: Session, file: Path, name: str, as_json: bool) -> None:  # noqa: ARG001 - as above
    """Hold a bill of materials against published lists of fields, and say what would fill the gaps.

    g7: the G7's and BSI's minimum elements of an SBOM for AI. ntia: the minimum elements of 2021. owasp: the weighted field
    list of OWASP's AIBOM generator, which is about CycloneDX. A value that only says "unknown" counts as missing.
    """
    from projections.bom.score import score as hold_against

    document = read_file(file)
    scores = [hold_against(document, each) for each in (LISTS if name == "all" else (name,))]
    if as_json:
        terminal.show_json({"file": str(file), "format": document.title, "lists": [_score(each) for each in scores]})
        return
    for each in scores:
        _show_score(each)


def read_file(file: Path) -> Document:
    """Read a bill of materials. Raises InputError."""
    from commands.observe import read_small
    from projections.bom.read import MAX_BYTES, read
    from projections.errors import InvalidDocumentError

    try:
        return read(read_small(file, MAX_BYTES))
    except InvalidDocumentError as error:
        raise InputError(
            f"{quoted(file)} cannot be read as a bill of materials: {error.finding}",
            "it must be CycloneDX 1.4 to 1.7, SPDX 2.3 or SPDX 3.0, as JSON",
        ) from None


def summary(document: Document) -> Iterator[tuple[str, str]]:
    """Give the lines of a summary: label and value."""
    yield "model", _said(document, "model.name", "model.version")
    for label, selectors in SUMMARY:
        yield label, _said(document, *selectors)
    for kind, label in THINGS:
        abouts = document.about(kind)
        for about in abouts[:MOST]:
            yield label, _thing(document, about)
        if not abouts:
            yield label, UNKNOWN
        if len(abouts) > MOST:
            yield label, f"and {len(abouts) - MOST} more"
    for kind, label in COUNTED:
        names = [about.partition("/")[2] for about in document.about(kind)]
        yield label, f"{len(names)}: {_few(names)}" if names else "none listed"
    yield "document", _joined((document.title, *_values(document, "document.created", "document.lifecycle")))
    yield "made by", _joined(_values(document, "document.author", "document.tool"))
    yield "ledger", _ledger(document)


def _said(document: Document, *selectors: str) -> str:
    return _few([_valued(fact) for fact in _facts(document, *selectors)]) or UNKNOWN


def _facts(document: Document, *selectors: str) -> Iterator[Fact]:
    for selector in selectors:
        kind, _, name = selector.partition(".")
        yield from document.of(kind, name)


def _values(document: Document, *selectors: str) -> list[str]:
    return [fact.value for fact in _facts(document, *selectors)]


def _valued(fact: Fact) -> str:
    """Give a value with its key, and with its origin where that is a digest's."""
    named = f"{fact.key}={fact.value}" if fact.key and fact.name != "hash" else fact.value
    if fact.name != "hash":
        return _short(named)
    return f"{fact.key} {fact.value} ({fact.origin or 'origin unknown'})"


def _thing(document: Document, about: str) -> str:
    """Say of a base, a data set or a configuration what pins it: version, digest, licence."""
    facts = [fact for fact in document.facts if fact.about == about]
    named = [fact.value for name in ("name", "version", "role") for fact in facts if fact.name == name]
    digests = [_valued(fact) for fact in facts if fact.name == "hash"]
    licences = [fact.value for fact in facts if fact.name == "licence"]
    return _joined((*named[:3], *(digests[:1] or ["no digest"]), *(licences[:1] or ["licence unknown"])))


def _ledger(document: Document) -> str:
    origin, position = document.value("document", "ledger.origin"), document.value("document", "ledger.position")
    if origin is None:
        return "none named: not made by soup, or without its properties"
    return f"{origin}, entry {position or UNKNOWN} (check it with `soup bom verify`)"


def _few(found: list[str]) -> str:
    values = list(dict.fromkeys(found))
    more = f", and {len(values) - MOST} more" if len(values) > MOST else ""
    return ", ".join(map(_short, values[:MOST])) + more


def _joined(values: Iterable[str]) -> str:
    return ", ".join(map(_short, values)) or UNKNOWN


def _short(value: str) -> str:
    return value if len(value) <= WIDEST else f"{value[: WIDEST - 4]} ..."


def _line(label: str, value: str) -> None:
    shown = click.style(f"{label:<16}", bold=True) if terminal.coloured() else f"{label:<16}"
    click.echo(f"{shown} {terminal.neutral(value)}")


def _plain(document: Document) -> dict[str, Any]:
    return {
        "format": document.title,
        "facts": [
            {
                "about": fact.about,
                "name": fact.name,
                **({"key": fact.key} if fact.key is not None else {}),
                "value": fact.value,
                "origin": fact.origin,
                "where": fact.where,
            }
            for fact in document.facts
        ],
        "unknown": sorted(".".join(blank) for blank in document.blanks),
    }


def _changes(found: Difference, before: Document, after: Document) -> Iterator[str]:
    from projections.bom.difference import cannot_say
    from projections.bom.read_terms import TERMS

    for change in found.changes:
        yield _change(change)
    if not found.changes:
        yield "no difference in facts"
    if found.issue:
        labels = dict.fromkeys(TERMS[change.name].label for change in found.issue)
        yield f"another issue of the document: {', '.join(labels)}"
    by_reason: dict[str, list[str]] = {}
    for change in found.not_comparable:
        by_reason.setdefault(cannot_say(change, before, after), []).append(change.label)
    for reason, labels_of in by_reason.items():
        yield f"not compared, since {reason}: {_few(list(dict.fromkeys(labels_of)))}"


def _change(change: Change) -> str:
    if change.kind == "added":
        return f"+ {change.label}: {_short(change.new or '')}".removesuffix(": ")
    if change.kind == "removed":
        return f"- {change.label}: {_short(change.old or '')}".removesuffix(": ")
    return f"~ {change.label}: {_short(change.old or '')} -> {_short(change.new or '')}"


def _difference(found: Difference) -> dict[str, Any]:
    import msgspec

    return {
        name: [msgspec.to_builtins(change) for change in getattr(found, name)]
        for name in ("changes", "issue", "not_comparable")
    }


def _show_score(found: Score) -> None:
    _line(found.list, f"{found.title}, {found.version} ({found.date})")
    if found.reason:
        _line("", f"not applicable: {found.reason}")
        return
    _line("present", f"{found.present} of {found.applicable}")
    if found.points is not None:
        _line("points", f"{found.points} of 100, profile {found.profile or 'none'}{_penalty(found)}")
    if found.points_with_placeholders is not None:
        _line("", f"{found.points_with_placeholders} by its own scorer, which counts values like 'unknown'")
    missing = [each for each in found.findings if each.state == "not known"]
    if missing:
        rows = [(each.id, each.name, each.reason or "", "; ".join(each.fill)) for each in missing]
        terminal.show_table(("missing", "element", "why", "filled by"), rows)
    spared = [each for each in found.findings if each.state == "not applicable"]
    for reason in dict.fromkeys(each.reason or "" for each in spared):
        _line("not applicable", f"{', '.join(each.id for each in spared if each.reason == reason)}: {reason}")
    click.echo()


def _penalty(found: Score) -> str:
    return f", times {found.penalty:g} for what is missing" if found.penalty not in (None, 1.0) else ""


def _score(found: Score) -> dict[str, Any]:
    import msgspec

    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {"present": found.present, "applicable": found.applicable}
