"""SPDX 3.0.1: the graph of one document, as its elements are added.

What is true:

* An element is added once under an identifier made of role and order. Agents and licences are elements too: equal ones
  are one element.
* There is one creation info, and it names somebody: who the facts say made the document, else soup itself.
* Relationships are kept by their source and type, so that two never say the same thing twice.
* The graph is sorted by identifier; nothing in it depends on the order of sets.
* A licence that the SPDX License List lacks is a `LicenseRef-` with a text element behind it (SPDX 3.0.1, customIdToUri).

It does not know what a bill of materials consists of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from spdx_python_model import v3_0_1 as spdx

from ledger.events.facts import Contact, Organization
from projections.bom.licence import recognise
from projections.bom.spdx_profiles import Entry
from projections.bom.spdx_remarks import contact_text

Json = dict[str, Any]

NO_LICENCE = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense"

_LONGEST_NAME = 200  # characters of a licence's name; some metadata carry the whole text there
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")


class _Time(datetime):
    """A time whose year has four digits: whether strftime pads `%Y` is left to the C library, and the bindings use it."""

    def strftime(self, format: str) -> str:  # noqa: A002 - datetime's own name for it
        return super().strftime(format.replace("%Y", f"{self.year:04}"))


class Relation(NamedTuple):
    """What is to be said of all `targets` at once."""

    source: str
    kind: str
    targets: tuple[str, ...]
    completeness: str | None = None
    scope: str | None = None
    comment: str | None = None


class Graph:
    """The elements of one document, whose identifiers begin with `namespace`."""

    def __init__(self, namespace: str, created: datetime) -> None:
        self._namespace = namespace
        self._creation = spdx.CreationInfo(_id="_:creation", specVersion="3.0.1", created=_told(created))
        self._objects = spdx.SHACLObjectSet()
        self._agents: dict[bytes, str] = {}
        self._licences: dict[str, str] = {}
        self._unlisted = 0
        self.elements: list[str] = []

    def iri(self, ref: str) -> str:
        """Return the identifier of the element that the document calls `ref`."""
        return f"{self._namespace}#{ref}"

    def add(self, kind: type[spdx.Element], ref: str, **fields: Any) -> str:
        """Add an element with the `fields` that are something, and return its identifier."""
        known = {name: _told(value) for name, value in fields.items() if value is not None and value != []}
        element = kind(_id=self.iri(ref), creationInfo=self._creation, **known)
        self._objects.add(element)
        self.elements.append(self.iri(ref))
        return self.iri(ref)

    def created_by(self, agents: Sequence[str], tool: str) -> None:
        """Name who made the document, and with what."""
        self._creation.createdBy = list(agents)
        self._creation.createdUsing = [tool]

    def relate(self, relation: Relation) -> None:
        """Add a relationship; nothing where there is nothing to relate to."""
        if not relation.targets:
            return
        ref = f"{relation.source.rpartition('#')[2]}-{relation.kind}"
        kind = spdx.LifecycleScopedRelationship if relation.scope else spdx.Relationship
        scope = {"scope": spdx.LifecycleScopeType.NAMED_INDIVIDUALS[relation.scope]} if relation.scope else {}
        completeness = relation.completeness and spdx.RelationshipCompleteness.NAMED_INDIVIDUALS[relation.completeness]
        self.add(
            kind,
            ref,
            from_=relation.source,
            to=list(relation.targets),
            relationshipType=spdx.RelationshipType.NAMED_INDIVIDUALS[relation.kind],
            completeness=completeness,
            comment=relation.comment,
            **scope,
        )

    def annotate(self, ref: str, remarks: Iterable[Entry], kind: str = "remarks") -> None:
        """Lay remarks of a `kind` beside the element `ref`: one JSON object, a list where a key has several values."""
        told: dict[str, list[str]] = {}
        for remark in remarks:
            told.setdefault(f"soup:{remark.key}", []).append(remark.value)
        statement = {key: values[0] if len(values) == 1 else values for key, values in told.items()}
        self.add(
            spdx.Annotation,
            f"{ref}-{kind}",
            annotationType=spdx.AnnotationType.other,
            subject=self.iri(ref),
            contentType="application/json",
            statement=json.dumps(statement, sort_keys=True, ensure_ascii=False),
        )

    def organization(self, said: Organization) -> str:
        """Return the element of an organization."""
        contacts = [contact_text(contact) for contact in said.contacts if contact.name or contact.phone]
        return self._agent(
            msgspec.json.encode(said),
            spdx.Organization,
            name=said.name,
            externalIdentifier=_emails(said.contacts),
            externalRef=[external_ref("altWebPage", said.url)] if said.url else [],
            comment="\n".join(f"Contact: {contact}" for contact in contacts) or None,
        )

    def people(self, said: Iterable[Contact]) -> Iterator[str]:
        """Return the elements of those contacts that have a name or an address."""
        for contact in said:
            name = contact.name or contact.email
            if name:
                yield self._agent(
                    msgspec.json.encode(contact), spdx.Person, name=name, externalIdentifier=_emails([contact])
                )

    def software_agent(self, name: str) -> str:
        """Return the element of a program that acts."""
        return self._agent(b"software " + name.encode(), spdx.SoftwareAgent, name=name)

    def agent(self, name: str) -> str:
        """Return the element of somebody of whom only a name is known: neither person nor organization."""
        return self._agent(b"agent " + name.encode(), spdx.Agent, name=name)

    def licence(self, text: str | None) -> str:
        """Return the element of a licence; the standard's own for one that is not known."""
        if not text:
            return NO_LICENCE
        licence = recognise(text)
        if licence.kind == "name":
            return self._unlisted_licence(text)
        return self._expression(licence.text)

    def document(self) -> Json:
        """Return the whole as JSON-LD."""
        document: Json = spdx.JSONLDSerializer().serialize_data(self._objects, force_at_graph=True)
        document["@graph"].sort(key=lambda element: element.get("spdxId") or element["@id"])
        return document

    def _agent(self, key: bytes, kind: type[spdx.Element], **fields: Any) -> str:
        if key not in self._agents:
            self._agents[key] = self.add(kind, f"agent-{len(self._agents) + 1}", **fields)
        return self._agents[key]

    def _expression(self, text: str, custom: Iterable[Entry] = ()) -> str:
        if text not in self._licences:
            self._licences[text] = self.add(
                spdx.simplelicensing_LicenseExpression,
                f"licence-{len(self._licences) + 1}",
                simplelicensing_licenseExpression=text,
                simplelicensing_customIdToUri=dictionary(custom),
            )
        return self._licences[text]

    def _unlisted_licence(self, name: str) -> str:
        if name not in self._licences:
            self._unlisted += 1
            text = self.add(
                spdx.simplelicensing_SimpleLicensingText,
                f"licence-text-{self._unlisted}",
                name=name[:_LONGEST_NAME],
                simplelicensing_licenseText=name,
                comment="As declared; where it is a name only, the text of the licence was not recorded.",
            )
            reference = f"LicenseRef-soup-declared-{self._unlisted}"
            self._licences[name] = self._expression(reference, [Entry(reference, text)])
        return self._licences[name]


def dictionary(entries: Iterable[Entry]) -> list[Any]:
    """Return entries as the standard's own; a key alone where the value is empty."""
    return [
        spdx.DictionaryEntry(key=entry.key, value=entry.value) if entry.value else spdx.DictionaryEntry(key=entry.key)
        for entry in entries
    ]


def sha256(digest: str, comment: str | None = None) -> Any:
    """Return a digest as the standard's own."""
    known = {"comment": comment} if comment else {}
    return spdx.Hash(algorithm=spdx.HashAlgorithm.sha256, hashValue=digest, **known)


def external_ref(kind: str, locator: str, comment: str | None = None) -> Any:
    """Return a place to read more."""
    known = {"comment": comment} if comment else {}
    return spdx.ExternalRef(externalRefType=spdx.ExternalRefType.NAMED_INDIVIDUALS[kind], locator=[locator], **known)


def uri(text: str | None) -> str | None:
    """Return `text` where it is a URI in printable ASCII (RFC 3986, section 2)."""
    return text if text and _URI.fullmatch(text) else None


def _told(value: Any) -> Any:
    return _Time.fromisoformat(value.isoformat()) if isinstance(value, datetime) else value


def _emails(contacts: Iterable[Contact]) -> list[Any]:
    kind = spdx.ExternalIdentifierType.email
    addresses = dict.fromkeys(contact.email for contact in contacts if contact.email)
    return [spdx.ExternalIdentifier(externalIdentifierType=kind, identifier=address) for address in addresses]
