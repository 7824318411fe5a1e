"""The facts that documents are made of, and nothing else they could be made of. One record; every renderer reads it.

What is true:

* Each fact knows its origin: `observed` (soup saw, hashed or measured it) or `declared` (an operator said so), and the ledger
  position behind it. What is not known is absent; nothing here has a default that a reader could take for knowledge.
* Where a thing was both observed and declared, the observation is the fact.
* A record that exists is sound: digests are 64 lower-case hex digits, times are UTC, texts are encodable as UTF-8, at
  most one model and one base, no path twice. Renderers need not look again.
* Identifiers inside a document (`Part.ref`) come from role and order, identifiers of a document from the entry that
  explains it. Neither ever contains a name, so no name can forge or break one.

It does not know the ledger, SQL, or any document format.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeVar
from uuid import UUID, uuid5

from msgspec import Struct

from ledger.events.artifact import ArtifactDescribed
from ledger.events.document import Parent
from ledger.events.energy import Energy
from ledger.events.environment import EnvironmentObserved
from ledger.events.facts import DatasetStated, Facts, Metric
from ledger.events.run import RunCompleted, RunStarted
from projections.errors import InvalidFactsError

T = TypeVar("T")
Origin = Literal["observed", "declared"]
Role = Literal["model", "base", "config", "data", "artifact"]
Kind = Literal["file", "directory"]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ROLES: tuple[Role, ...] = ("model", "base", "config", "data", "artifact")
_HASHED: dict[Kind, str] = {
    "file": "the file's bytes",
    "directory": "one line a file, sorted by path: its SHA-256 in hex, two spaces, its path, newline",
}
_NAMESPACE = UUID("3009799a-3dd1-4043-815c-497966d93d59")  # drawn once; UUIDv5 needs one (RFC 9562 section 6.6)


class Known(Struct, Generic[T], frozen=True):
    """A value, where it comes from, and the position (1-based) of the entry that says so."""

    value: T
    origin: Origin
    position: int


class Reference(Struct, frozen=True, kw_only=True):
    """Another document of this ledger about the same model: an attestation, by the digest of its envelope."""

    kind: Literal["attestation", "bom"]
    sha256: str
    name: str  # file name it was published under, or the document's kind
    position: int


class RunFacts(Struct, frozen=True, kw_only=True):
    """A recorded run. Times are those of its events; `outcome` is `running` where no end was recorded.

    `command` is the redacted command line that started it, `None` where the ledger does not hold it.
    """

    started: Known[RunStarted]
    started_at: datetime
    completed: Known[RunCompleted] | None = None
    finished_at: datetime | None = None
    outcome: Literal["completed", "failed", "running"] = "running"
    error: str | None = None
    command: tuple[str, ...] | None = None
    command_id: str | None = None


class Digest(Struct, frozen=True, kw_only=True):
    """A SHA-256 in lower-case hex, and whether soup computed it or was told it."""

    sha256: str
    origin: Origin

    def __post_init__(self) -> None:
        _require_sha256("digest", self.sha256)


class FileFact(Struct, frozen=True, kw_only=True):
    """One file of an observed directory: its path relative to it (slashes), and its `size` in bytes."""

    path: str
    sha256: str
    size: int

    def __post_init__(self) -> None:
        _require_text("file path", self.path)
        _require_sha256("file digest", self.sha256)
        _require_size("file size", self.size)


class Artifact(Struct, frozen=True, kw_only=True):
    r"""Something a model was made from, or the model itself.

    The digest of a directory is the SHA-256 over one line a file, sorted by path, "<hex>  <path>\n": the listing that
    Go's `dirhash.Hash1` hashes, in hex. `size` is in bytes; `files` is what soup saw in a directory, empty otherwise.
    """

    role: Role
    name: str
    digest: Digest | None = None
    size: int | None = None
    kind: Kind | None = None
    files: tuple[FileFact, ...] = ()
    position: int | None = None
    described: Known[ArtifactDescribed] | None = None
    stated: DatasetStated | None = None  # of a data set, where the facts file speaks of it

    def __post_init__(self) -> None:
        _require_text(f"{self.role} name", self.name)
        if self.size is not None:
            _require_size(f"{self.role} size", self.size)
        if self.files and self.kind != "directory":
            raise InvalidFactsError(f"{self.role} files", "only a directory has files")
        for path, count in Counter(file.path for file in self.files).items():
            if count > 1:
                raise InvalidFactsError(f"{self.role} files", f"{path!r} is listed twice")


class BomFacts(Struct, frozen=True, kw_only=True):
    """Everything one bill of materials says.

    `declared_at` is the time of the event that explains the document, `seed` that event's entry hash in hex; together
    with `ledger_origin`, `position` (1-based) and `command_id` they lead from the document back into the ledger.
    `task` and `license` are as the operator typed them.
    """

    name: str
    version: str
    declared_at: datetime
    seed: str
    ledger_origin: str
    position: int
    soup_version: str
    command_id: str
    base_model: str | None = None
    task: str | None = None
    license: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    base_revision: str | None = None
    stated: Known[Facts] | None = None
    run: RunFacts | None = None
    metrics: tuple[Known[Metric], ...] = ()
    energy: tuple[Known[Energy], ...] = ()
    environment: Known[EnvironmentObserved] | None = None
    parent: Known[Parent] | None = None
    references: tuple[Reference, ...] = ()

    @property
    def said(self) -> Facts:
        """What the facts file states; a record without content where there is none."""
        return self.stated.value if self.stated else Facts()

    def artifact(self, role: Role) -> Artifact | None:
        """Give the first artifact of a role."""
        return next((artifact for artifact in self.artifacts if artifact.role == role), None)

    @property
    def described(self) -> Known[ArtifactDescribed] | None:
        """What the headers of the model's own files say; else what a further artifact's say."""
        return next(
            (
                each.described
                for role in ("model", "artifact")
                for each in self.artifacts
                if each.role == role and each.described
            ),
            None,
        )

    @property
    def architecture_family(self) -> Known[str] | None:
        """For example `llama`: as the files say it, the base's where an adapter's do not, else as stated."""
        return self._of_files("architecture_family") or self._stated(self.said.model.architecture_family)

    @property
    def architecture(self) -> Known[str] | None:
        """For example `LlamaForCausalLM`."""
        of_run = self.run.started if self.run and self.run.started.value.architecture else None
        observed = Known(str(of_run.value.architecture), "observed", of_run.position) if of_run else None
        return self._of_files("architecture") or observed or self._stated(self.said.model.architecture)

    @property
    def revision(self) -> Known[str] | None:
        """The base model's exact revision."""
        if self.run and self.run.started.value.base_revision:
            return Known(self.run.started.value.base_revision, "observed", self.run.started.position)
        if self.base_revision:
            return Known(self.base_revision, "declared", self.position)
        described = self.described
        if described and described.value.base_revision:
            return Known(described.value.base_revision, "observed", described.position)
        return self._stated(self.said.base.revision)

    @property
    def licence(self) -> Known[str] | None:
        """The model's licence as the operator typed it; else as its own files say it."""
        if self.license:
            return Known(self.license, "declared", self.position)
        described = self.described
        if described and described.value.license:
            return Known(described.value.license, "observed", described.position)
        return None

    @property
    def hyperparameters(self) -> tuple[tuple[str, Known[str]], ...]:
        """Settings of the run, else of the adapter's configuration; then what was stated beside them. Sorted by name."""
        found: dict[str, Known[str]] = {
            name: Known(value, "declared", self.stated.position)
            for name, value in self.said.training.hyperparameters.items()
            if self.stated
        }
        described = self.described
        if described:
            found |= {
                name: Known(value, "observed", described.position) for name, value in described.value.settings.items()
            }
        if self.run:
            begun = self.run.started
            found |= {name: Known(value, "observed", begun.position) for name, value in begun.value.settings.items()}
        return tuple(sorted(found.items()))

    def _of_files(self, field: str) -> Known[str] | None:
        for role in ("model", "artifact", "base"):
            for artifact in self.artifacts:
                known = artifact.described if artifact.role == role else None
                value = getattr(known.value, field) if known else None
                if known and value:
                    return Known(value, "observed", known.position)
        return None

    def _stated(self, value: str | None) -> Known[str] | None:
        return Known(value, "declared", self.stated.position) if value and self.stated else None

    def __post_init__(self) -> None:
        for field in ("name", "version", "ledger_origin", "soup_version", "command_id"):
            _require_text(field, getattr(self, field))
        for field in ("base_model", "task", "license"):
            if getattr(self, field) is not None:
                _require_text(field, getattr(self, field))
        _require_sha256("seed", self.seed)
        if self.declared_at.utcoffset() != timedelta(0):
            raise InvalidFactsError("declared_at", f"{self.declared_at} is not in UTC")
        if self.position < 1:
            raise InvalidFactsError("position", f"{self.position} is below 1")
        for role in ("model", "base"):
            if sum(artifact.role == role for artifact in self.artifacts) > 1:
                raise InvalidFactsError("artifacts", f"more than one {role}")


class Part(Struct, frozen=True, kw_only=True):
    """An artifact under the names that a document gives it: `ref` identifies, `name` is for people."""

    ref: str
    name: str
    version: str | None
    artifact: Artifact

    @property
    def origin(self) -> str:
        """Where the digest comes from; `unknown` where there is none."""
        return self.artifact.digest.origin if self.artifact.digest else "unknown"

    @property
    def hashed(self) -> str | None:
        """What the digest was computed over, in words; None where that is not known."""
        return _HASHED[self.artifact.kind] if self.artifact.digest and self.artifact.kind else None

    @property
    def files(self) -> tuple[tuple[str, FileFact], ...]:
        """The files in the order of their directory's digest, each with its identifier."""
        ordered = sorted(self.artifact.files, key=lambda file: file.path)  # code points sort as their UTF-8 bytes do
        return tuple((f"{self.ref}-file-{index}", file) for index, file in enumerate(ordered, 1))


def parts(facts: BomFacts) -> tuple[Part, ...]:
    """Return what the document lists: the model first, always; then base, configuration and data in their own order.

    The model carries the name and version that the document is about, the base the name it was declared under. Either
    is there without a digest when nothing more is known of it.
    """
    named = {"model": (facts.name, facts.version), "base": (facts.base_model, None)}
    found: list[Part] = []
    for role in _ROLES:
        artifacts = [artifact for artifact in facts.artifacts if artifact.role == role]
        name, version = named.get(role, (None, None))
        if not artifacts and name is not None:
            artifacts = [Artifact(role=role, name=name)]
        found += [
            Part(
                ref=role if role in named else f"{role}-{index}",
                name=name or artifact.name,
                version=version,
                artifact=artifact,
            )
            for index, artifact in enumerate(artifacts, 1)
        ]
    return tuple(found)


def document_uuid(facts: BomFacts, media_kind: str) -> UUID:
    """Return the UUIDv5 (RFC 9562 section 5.5) of the `media_kind` document that the entry `facts.seed` explains."""
    return uuid5(_NAMESPACE, f"{facts.seed}/{media_kind}")


def _require_sha256(field: str, value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise InvalidFactsError(field, f"{value!r} is not 64 lower-case hex digits")


def _require_size(field: str, value: int) -> None:
    if value < 0:
        raise InvalidFactsError(field, f"{value} bytes")


def _require_text(field: str, value: str) -> None:
    if not value:
        raise InvalidFactsError(field, "is empty")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # a lone surrogate: no JSON parser agrees with another on it (RFC 8259, 8.2)
        raise InvalidFactsError(field, f"{value!r} is not Unicode text") from error
