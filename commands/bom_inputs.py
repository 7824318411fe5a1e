"""What a bill of materials is asked to say, looked at: paths are hashed and described, typed digests are taken as declared.

What is true here:

- Every digest has one origin. Where a path and a typed digest are both given, they must agree.
- Files are read once for their digest; headers are read again, through the same checks, to describe them.
- What a run recorded is not looked at again: its digests stand in its own events.

Not known here: formats, targets, and how anything is rendered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.errors import InputError, UsageProblem, quoted
from commands.record import Session, printable
from ledger.events.artifact import STREAM_OF_ROLE, ArtifactDeclared, ArtifactDescribed, ArtifactObserved, Role
from ledger.events.base import Digest, Event, FileDigest
from ledger.events.document import Parent

MAX_PARENT = 64 * 1024 * 1024
DESCRIBED: frozenset[Role] = frozenset({"model", "base", "artifact"})
"""Roles whose headers are worth reading."""


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
    """An input after soup has looked: its digest, the event that says so, and what its headers say."""

    role: Role
    digest: Digest
    event: ArtifactObserved | ArtifactDeclared
    described: ArtifactDescribed | None = None

    @property
    def events(self) -> Iterator[tuple[str, Event]]:
        """Give the events, with their stream."""
        stream = f"{STREAM_OF_ROLE[self.role]}/{self.digest.sha256}"
        yield stream, self.event
        if self.described is not None:
            yield stream, self.described


def inputs(options: Mapping[str, Any]) -> list[Input]:
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
    rows += [Input("artifact", path, None, "--artifact", "") for path in options["artifact"]]
    return [row for row in rows if row.path is not None or row.declared is not None]


def look(session: Session, wish: Input) -> Seen:
    """Hash a path and read its headers, or take the operator's word."""
    from commands.emit import recorded_path
    from commands.inspect import describe
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
    described = describe(wish.path, found.sha256, session.redactor) if wish.role in DESCRIBED else None
    return Seen(wish.role, Digest(sha256=found.sha256, origin="observed"), event, described)


def demand_different(seen: Sequence[Seen]) -> None:
    """Refuse one artifact under two roles of the same kind: the same bytes cannot be listed twice."""
    artifacts = [item for item in seen if item.role in ("model", "artifact")]
    for index, item in enumerate(artifacts):
        if any(item.digest.sha256 == other.digest.sha256 for other in artifacts[:index]):
            where = item.event.path if isinstance(item.event, ArtifactObserved) else item.digest.sha256
            raise UsageProblem(f"{quoted(where)} is given twice", "name each artifact once")


def parent(path: Path) -> Parent:
    """Read which document another bill of materials is. Raises InputError for a file that is none."""
    from commands.observe import read_small
    from ledger.canonical import sha256

    raw = read_small(path, MAX_PARENT)
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        for form, found in _IDENTITIES.items():
            identity = found(document)
            if identity is not None:
                text = printable(identity).strip()[:1024] or None
                return Parent(sha256=sha256(raw).hex(), format=form, id=text)  # type: ignore[arg-type]  # a key of the table
    raise InputError(
        f"{quoted(path)} is no bill of materials", "give --parent a CycloneDX, SPDX 2.3 or SPDX 3 document in JSON"
    )


def _cyclonedx(document: dict[str, Any]) -> str | None:
    if document.get("bomFormat") != "CycloneDX":
        return None
    serial = document.get("serialNumber")
    return serial if isinstance(serial, str) else ""


def _spdx2(document: dict[str, Any]) -> str | None:
    if not str(document.get("spdxVersion", "")).startswith("SPDX-2."):
        return None
    namespace = document.get("documentNamespace")
    return namespace if isinstance(namespace, str) else ""


def _spdx3(document: dict[str, Any]) -> str | None:
    graph = document.get("@graph")
    for element in graph if isinstance(graph, list) else ():
        if isinstance(element, dict) and element.get("type") == "SpdxDocument":
            identity = element.get("spdxId")
            return identity if isinstance(identity, str) else ""
    return None


_IDENTITIES = {"cyclonedx": _cyclonedx, "spdx": _spdx2, "spdx3": _spdx3}
