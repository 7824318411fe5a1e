"""What a CycloneDX component says of one part: facts to the library's objects.

What is true:

* A value stands in the field that the standard has for it; one without a field becomes a property `soup:...`. None is lost,
  and none is made up.
* Each component lists its fields by origin: `soup:origin:observed` names those that soup saw, `soup:origin:declared` those
  that an operator typed. `soup:ledger:position` leads to the entry behind the part.
* Whatever an operator typed for an address is an address afterwards: a URL that is none stands percent-encoded behind its
  scheme (`%68` reads back as `h`), an e-mail address that is none stands in its contact's name. Validators of URLs and
  addresses disagree, so both grammars here are narrower than theirs (RFC 3986 without IP literals; RFC 5321 in ASCII).

It does not know which parts a document lists, nor in which order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.contact import OrganizationalContact, OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from packageurl import PackageURL

from ledger.events.artifact import ArtifactDescribed
from ledger.events.facts import Contact, DatasetStated, Link, Organization
from projections.bom.licence import recognise
from projections.facts import BomFacts, Known, Origin, Part, Reference, Role

Json = dict[str, Any]
Said = dict[str, Any]  # arguments of the library's Component

_TYPES: dict[Role, ComponentType] = {
    "model": ComponentType.MACHINE_LEARNING_MODEL,
    "base": ComponentType.MACHINE_LEARNING_MODEL,
    "config": ComponentType.DATA,
    "data": ComponentType.DATA,
    "artifact": ComponentType.FILE,
}
_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URI = re.compile(
    rf"[A-Za-z][A-Za-z0-9+.-]*:"
    rf"(?://(?:(?:(?!@){_PCHAR})*@)?(?:(?![:@]){_PCHAR})*(?::[0-9]{{0,5}})?(?:/{_PCHAR}*)*|/?(?:{_PCHAR}+(?:/{_PCHAR}*)*)?)"
    rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
)
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=[^@]{{1,64}}@.{{1,253}}\Z){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_OPERATOR = re.compile(r"\b(?:and|or|with)\b|\(", re.IGNORECASE)  # of licence expressions: SPDX 2.3, annex D
_LONGEST_NAME = 200  # characters of a licence's name; packages put whole licence texts into that field
_DATASET_FIELDS = (
    "role", "types", "released", "built", "confidentiality", "personal_information", "anonymization", "collection",
    "preprocessing", "noise", "known_bias", "availability", "update_mechanism", "intended_use", "sensors", "languages",
)  # fmt: skip


class _Told(NamedTuple):
    """What is known of a part besides its digest: by origin, and what has no field."""

    observed: Said
    declared: Said
    more: list[tuple[str, str]]


def component(facts: BomFacts, part: Part, prefix: str = "") -> Component:
    """Return the part as a component under the reference `prefix` + its own."""
    artifact = part.artifact
    told = _TOLD[artifact.role](facts, part)
    fields: Said = {"name": part.name} | told.declared | told.observed
    fields |= {
        name: told.declared[name] + told.observed[name]
        for name in told.declared.keys() & told.observed.keys()  # of the fields, only lists can be on both sides
    }
    origins: list[tuple[str, Origin]] = [(_json_name(name), "declared") for name in told.declared]
    origins += [(_json_name(name), "observed") for name in told.observed]
    named = part.name if artifact.role == "base" else fields["name"]  # a base's name is split in two
    more = [
        ("soup:digest:origin", part.origin),
        *_present("soup:digest:of", part.hashed),
        *_present("soup:size", artifact.size),
        *_present("soup:ledger:position", artifact.position),
        *_present("soup:artifact:name", None if artifact.name == named else artifact.name),
        *told.more,
        *(described(artifact.described) if artifact.described else ()),
        *origin_properties(origins),
    ]
    return Component(
        type=_TYPES[artifact.role],
        bom_ref=prefix + part.ref,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=artifact.digest.sha256)] if artifact.digest else [],
        properties=[Property(name=name, value=value) for name, value in more],
        **fields,
    )


def origin_properties(origins: Iterable[tuple[str, Origin]]) -> list[tuple[str, str]]:
    """Return one property an origin, naming the fields it holds for; a list may hold entries of both."""
    named: dict[Origin, set[str]] = {"declared": set(), "observed": set()}
    for field, origin in origins:
        named[origin].add(field)
    return [(f"soup:origin:{origin}", ", ".join(sorted(fields))) for origin, fields in named.items() if fields]


def licence(typed: str) -> DisjunctiveLicense | LicenseExpression:
    """Return a licence as SPDX spells it, or under the name that was typed."""
    known, declared = recognise(typed), LicenseAcknowledgement.DECLARED
    if known.kind == "expression":
        return LicenseExpression(known.text, acknowledgement=declared)
    if known.kind == "id":
        return DisjunctiveLicense(id=known.text, acknowledgement=declared)
    return DisjunctiveLicense(name=known.text, acknowledgement=declared)


def package_licences(typed: str) -> list[Json]:
    """Return the licence of a package's metadata as JSON; a whole text is one text, under its first words."""
    plain = typed.strip()
    if not plain:
        return []
    if len(plain) > _LONGEST_NAME or "\n" in plain:
        name = plain.splitlines()[0].strip()[:_LONGEST_NAME]
        return [{"license": {"name": name, "text": {"content": typed}, "acknowledgement": "declared"}}]
    if " " in plain and not _OPERATOR.search(plain):  # a name such as "BSD License": no need to load the parser for it
        return [{"license": {"name": plain, "acknowledgement": "declared"}}]
    known = recognise(plain)
    if known.kind == "expression":
        return [{"expression": known.text, "acknowledgement": "declared"}]
    return [{"license": {known.kind: known.text, "acknowledgement": "declared"}}]


def organisation(said: Organization) -> OrganizationalEntity:
    """Return an organization with its contacts."""
    return OrganizationalEntity(
        name=said.name, urls=[XsUri(uri(said.url))] if said.url else [], contacts=contacts(said.contacts)
    )


def contacts(said: Iterable[Contact]) -> list[OrganizationalContact]:
    """Return those contacts of whom anything is said."""
    return [OrganizationalContact(**fields) for fields in map(contact_json, said) if fields]


def organisation_json(said: Organization) -> Json:
    """Return an organization as JSON, for the places that the library has no class for."""
    people = [fields for fields in map(contact_json, said.contacts) if fields]
    return (
        {"name": said.name} | ({"url": [uri(said.url)]} if said.url else {}) | ({"contact": people} if people else {})
    )


def contact_json(said: Contact) -> dict[str, str]:
    """Return a contact's fields; empty where nothing is said."""
    email, name = said.email, said.name
    if email and not _ADDRESS.fullmatch(email):
        email, name = None, " ".join(filter(None, (name, f"<{email}>")))
    return {key: value for key, value in {"name": name, "email": email, "phone": said.phone}.items() if value}


def uri(typed: str) -> str:
    """Return `typed` as a URI (RFC 3986) whatever was typed; decoding the percent-encoded gives it back."""
    if _URI.fullmatch(typed):
        return typed
    mapped = quote(typed, safe="%:/?#[]@!$&'()*+,;=~")  # IRI to URI: RFC 3987 section 3.1
    if _URI.fullmatch(mapped):
        return mapped
    scheme, colon, rest = typed.partition(":")
    return f"{scheme}{colon}{quote(rest, safe='')}"


def content_uri(sha256: str) -> str:
    """Return the name of the bytes with this digest, wherever they lie: `ni:///sha-256;...` (RFC 6920)."""
    from base64 import urlsafe_b64encode

    return f"ni:///sha-256;{urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip('=')}"


def purl_of(typed: str | None) -> PackageURL | None:
    """Return a package URL, or None where `typed` is none."""
    try:
        found = PackageURL.from_string(typed) if typed else None
        return found if found and found.to_string() else None
    except (ValueError, TypeError):  # the latter: a name that packageurl reads, and cannot write
        return None


def described(known: Known[ArtifactDescribed]) -> Iterable[tuple[str, str]]:
    """Give what an artifact's headers say of it, each under `soup:described:`."""
    said = known.value
    yield "soup:ledger:described", str(known.position)
    for name in (
        "format", "parameters", "tensors", "architecture_family", "architecture", "name", "license", "base_model",
        "base_revision", "context_length", "vocabulary", "tokenizer", "quantization",
    ):  # fmt: skip
        yield from _present(f"soup:described:{_dashed(name)}", getattr(said, name))
    yield from ((f"soup:described:dtype:{name}", str(count)) for name, count in said.dtypes.items())
    yield from ((f"soup:described:setting:{name}", value) for name, value in said.settings.items())
    yield from (("soup:described:note", note) for note in said.notes)


def _model(facts: BomFacts, part: Part) -> _Told:
    said = facts.said.model
    references = [
        *map(_link, said.links),
        *_reference_to(facts.said.security.policy, ExternalReferenceType.OTHER, "security policy"),
        *_reference_to(facts.said.security.vulnerabilities, ExternalReferenceType.ADVISORIES, "vulnerabilities"),
    ]
    declared = {
        "name": part.name,
        "version": part.version,
        "group": said.group,
        "description": said.description,
        "purl": purl_of(said.purl),
        "supplier": organisation(said.supplier) if said.supplier else None,
        "manufacturer": organisation(said.manufacturer) if said.manufacturer else None,
        "authors": contacts(said.authors),
        "copyright": said.copyright,
        "external_references": references,
        "tags": said.types,
    }
    more = [
        *_present("soup:task", facts.task),
        *_present("soup:released", said.released),
        *_present("soup:purl", None if declared["purl"] else said.purl),
    ]
    observed = {"external_references": [*map(_document, facts.references), *_parent(facts)]}
    return _told(declared, more, observed=observed, licence_of=facts.licence)


def _base(facts: BomFacts, part: Part) -> _Told:
    said = facts.said.base
    group, name = _split(part.name)
    revision = facts.revision
    declared = {
        "group": group,
        "name": name,
        "description": said.description,
        "copyright": said.copyright,
        "purl": purl_of(said.purl),
        "supplier": organisation(said.supplier) if said.supplier else None,
        "external_references": [*_reference_to(said.url, ExternalReferenceType.WEBSITE)],
        "version": revision.value if revision and revision.origin == "declared" else None,
    }
    observed = {"version": revision.value if revision and revision.origin == "observed" else None}
    more = [
        *_present("soup:released", said.released),
        *_present("soup:purl", None if declared["purl"] else said.purl),
    ]
    seen = part.artifact.described
    licence_of = (
        Known(seen.value.license, seen.origin, seen.position)
        if seen and seen.value.license
        else Known(said.license, "declared", facts.stated.position)
        if said.license and facts.stated
        else None
    )
    return _told(declared, more, observed=observed, licence_of=licence_of)


def _data(facts: BomFacts, part: Part) -> _Told:
    said = part.artifact.stated
    declared: Said = {}
    more: list[tuple[str, str]] = []
    licence_of = None
    if said:
        declared = {
            "name": said.name,
            "version": said.version,
            "description": said.description,
            "copyright": said.copyright,
            "purl": purl_of(said.purl),
            "supplier": organisation(said.supplier) if said.supplier else None,
            "external_references": [*_reference_to(said.url, ExternalReferenceType.DISTRIBUTION)],
        }
        more = [*_stated_of_data(said), *_present("soup:purl", None if declared["purl"] else said.purl)]
        position = facts.stated.position if facts.stated else facts.position
        licence_of = Known(said.license, "declared", position) if said.license else None
    return _told(declared, [*more, *_read_of_data(facts, part)], licence_of=licence_of)


def _config(facts: BomFacts, _part: Part) -> _Told:
    said = facts.said.config
    declared = {
        "version": said.version,
        "description": said.description,
        "copyright": said.copyright,
        "supplier": organisation(said.supplier) if said.supplier else None,
    }
    position = facts.stated.position if facts.stated else facts.position
    return _told(declared, [], licence_of=Known(said.license, "declared", position) if said.license else None)


def _plain(_facts: BomFacts, _part: Part) -> _Told:
    return _Told({}, {}, [])


_TOLD: dict[Role, Callable[[BomFacts, Part], _Told]] = {
    "model": _model,
    "base": _base,
    "config": _config,
    "data": _data,
    "artifact": _plain,
}


def _told(
    declared: Said, more: list[tuple[str, str]], *, observed: Said | None = None, licence_of: Known[str] | None = None
) -> _Told:
    """Leave out what is not known, and put the licence on the side it comes from."""
    sides: dict[Origin, Said] = {"observed": dict(observed or {}), "declared": dict(declared)}
    if licence_of:
        sides[licence_of.origin]["licenses"] = [licence(licence_of.value)]
    known = {side: {name: value for name, value in said.items() if value} for side, said in sides.items()}
    return _Told(known["observed"], known["declared"], more)


def _stated_of_data(said: DatasetStated) -> Iterable[tuple[str, str]]:
    for field in _DATASET_FIELDS:
        value = getattr(said, field)
        for each in value if isinstance(value, list) else [value]:
            yield from _present(f"soup:dataset:{_dashed(field)}", each)


def _read_of_data(facts: BomFacts, part: Part) -> Iterable[tuple[str, str]]:
    """Give what the run counted in this very data set."""
    digest = part.artifact.digest
    for read in facts.run.started.value.data if facts.run and digest else ():
        if digest and read.sha256 == digest.sha256:
            yield "soup:run:data:role", read.role
            for field in ("rows", "kept", "tokens", "supervised"):
                yield f"soup:run:data:{field}", str(getattr(read, field))


def _link(said: Link) -> ExternalReference:
    return ExternalReference(
        type=ExternalReferenceType(said.type),
        url=XsUri(uri(said.url)),
        comment=said.comment,
        hashes=_hashes(said.sha256),
    )


def _reference_to(
    url: str | None, kind: ExternalReferenceType, comment: str | None = None
) -> Iterable[ExternalReference]:
    if url:
        yield ExternalReference(type=kind, url=XsUri(uri(url)), comment=comment)


def _document(said: Reference) -> ExternalReference:
    return ExternalReference(
        type=ExternalReferenceType(said.kind),
        url=XsUri(content_uri(said.sha256)),
        comment=f"{said.name} (ledger position {said.position})",
        hashes=_hashes(said.sha256),
    )


def _parent(facts: BomFacts) -> Iterable[ExternalReference]:
    if facts.parent:
        said = facts.parent.value
        yield ExternalReference(
            type=ExternalReferenceType.BOM,
            url=XsUri(said.id if said.id and _URI.fullmatch(said.id) else content_uri(said.sha256)),
            comment=f"the bill of materials of what this was made from ({said.format}{f', {said.id}' if said.id else ''})",
            hashes=_hashes(said.sha256),
        )


def _hashes(sha256: str | None) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []


def _split(name: str) -> tuple[str | None, str]:
    """Return group and name of `org/name`; any other form is a name as it stands. No hub is concluded from it."""
    group, slash, rest = name.partition("/")
    return (group, rest) if slash and group and rest and "/" not in rest else (None, name)


def _present(name: str, value: object) -> Iterable[tuple[str, str]]:
    if value is not None and value != "":
        yield name, str(value)


def _json_name(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _dashed(field: str) -> str:
    return field.replace("_", "-")
