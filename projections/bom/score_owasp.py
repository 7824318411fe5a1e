"""The score that OWASP's AIBOM generator gives a document, computed as its own scorer does.

What is true:

* The paths, weights, penalties, profiles and the rounding are those of its `src/models/scoring.py` and `registry.py`, commit
  c5a3f2f. It reads only `components[0]`, and where a path finds nothing it looks for the field's name in a fixed order of places.
  Of its JSON paths, those that begin with `$.component.` and the one with `||` can never match; they are left out here.
* It counts every value, "unknown" too. Here a placeholder is not known; where that makes a difference, both scores are given.
* It reads CycloneDX only; of another format the list says nothing.

It does not know facts: it looks at the JSON itself, as the original does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from projections.bom.read_facts import Document, Json, is_unknown, items, record, records, text
from projections.bom.score import Element, FieldList, Finding, Score

_STEP = re.compile(r"(?P<name>[A-Za-z]+)\[(?P<field>[a-z]+)=(?P<value>[^\]]+)\]|(?P<plain>[A-Za-z]+|\d+)")
_CONSIDERATIONS = {
    "technicalLimitations": ("technicalLimitations", "limitations"),
    "safetyRiskAssessment": ("ethicalConsiderations", "safetyRiskAssessment"),
    "energyConsumption": ("environmentalConsiderations", "energyConsumption"),
}
_REFERENCES = {
    "downloadLocation": ("distribution", "website"),
    "vcs": ("vcs",),
    "website": ("website",),
    "paper": ("documentation",),
}
_NOTHING: tuple[Any, ...] = (None, "", [])
_MANY_CRITICAL, _SOME_CRITICAL, _MANY_IMPORTANT = 3, 2, 5

Hit = tuple[str, Any]  # the pointer, and what stands there


def weigh(document: Document, wanted: FieldList) -> Score:
    """Score a document by the weighted list."""
    if document.format != "cyclonedx":
        reason = "the list is about CycloneDX documents: emit one with --format cyclonedx"
        findings = [_finding(each, None, reason) for each in wanted.elements]
        return _score(wanted, findings, reason=reason)
    hits = {each.id: _look(document.content, each) for each in wanted.elements}
    known = {name: hit if hit and not _is_placeholder(hit[1]) else None for name, hit in hits.items()}
    findings = [_finding(each, known[each.id], _reason(each, hits[each.id])) for each in wanted.elements]
    points, categories, penalty = _points(wanted, known)
    published = _points(wanted, hits)[0]
    return _score(
        wanted,
        findings,
        points=points,
        points_with_placeholders=published if published != points else None,
        categories=categories,
        penalty=penalty,
        profile=_profile(document.content, wanted, points),
    )


def _score(wanted: FieldList, findings: list[Finding], **more: Any) -> Score:
    return Score(
        list=wanted.id,
        title=wanted.title,
        version=wanted.version,
        date=wanted.date,
        source=wanted.source,
        findings=tuple(findings),
        **more,
    )


def _finding(element: Element, hit: Hit | None, reason: str | None) -> Finding:
    asked = reason is None or not (element.optional or reason.startswith("the list"))
    return Finding(
        id=element.id,
        group=element.group,
        name=element.name,
        state="present" if hit else "not known" if asked else "not applicable",
        where=(hit[0],) if hit else (),
        value=text(hit[1]) if hit else None,
        reason=None if hit else reason,
        fill=() if hit or not asked else tuple(element.fill),
    )


def _reason(element: Element, hit: Hit | None) -> str | None:
    if hit:
        return "said to be unknown"
    return "counted only where it is present" if element.optional else None


def _points(wanted: FieldList, hits: Mapping[str, Hit | None]) -> tuple[float, dict[str, float], float]:
    """Give the score, its parts by category, and the factor that missing fields cost."""
    categories: dict[str, float] = {}
    for category, weight in wanted.weights.items():
        asked = [each for each in wanted.elements if each.group == category and (hits[each.id] or not each.optional)]
        present = sum(hits[each.id] is not None for each in asked)
        categories[category] = round(present / len(asked) * 100 / 100 * weight, 1) if asked else 0.0
    missing = [each.tier for each in wanted.elements if not each.optional and hits[each.id] is None]
    critical, important = missing.count("critical"), missing.count("important")
    penalty = 0.8 if critical > _MANY_CRITICAL else 0.9 if critical >= _SOME_CRITICAL else 1.0
    penalty *= 0.95 if important >= _MANY_IMPORTANT else 1.0
    return round(sum(categories.values()) * penalty, 1), categories, penalty


def _profile(content: Json, wanted: FieldList, points: float) -> str | None:
    """Give the highest profile that is reached: by points, and by fields in the fixed places alone."""
    for profile in wanted.profiles:
        hits = [_anywhere(content, name) for name in profile.fields]
        if points >= profile.minimum and all(hit and not _is_placeholder(hit[1]) for hit in hits):
            return profile.name
    return None


def _look(content: Json, element: Element) -> Hit | None:
    found = _at(content, element.path) if element.path else None
    return found or _anywhere(content, element.id)


def _at(content: Json, path: str) -> Hit | None:
    """Follow a path; a value that is null, an empty text or an empty list is none."""
    value: Any = content
    where = ""
    for step in path.split("/"):
        match = _STEP.match(step)
        if match is None:
            raise ValueError(path)
        if match["plain"] is not None:
            value, where = _child(value, match["plain"]), f"{where}/{match['plain']}"
        else:
            listed, where = record(value).get(match["name"]), f"{where}/{match['name']}"
            hits = (
                (each, there)
                for each, there in records(listed, where)
                if str(each.get(match["field"])) == match["value"]
            )
            value, where = next(hits, (None, where))
    return None if value in _NOTHING else (where, value)


def _child(value: Any, step: str) -> Any:
    if step.isdigit():
        return items(value)[int(step)] if int(step) < len(items(value)) else None
    return record(value).get(step)


def _anywhere(content: Json, name: str) -> Hit | None:
    """Look for a field by its name, place after place."""
    metadata = record(content.get("metadata"))
    component = record(next(iter(items(content.get("components"))), None))
    first = "/components/0"
    places: tuple[Callable[[], Hit | None], ...] = (
        lambda: _key(content, name, ""),
        lambda: _key(metadata, name, "/metadata"),
        lambda: _property(metadata, name, "/metadata"),
        lambda: _key(component, name, first),
        lambda: _property(component, name, first),
        lambda: _in_card(record(component.get("modelCard")), name, f"{first}/modelCard"),
        lambda: next(_referenced(component, name, first), None),
    )
    return next((hit for place in places if (hit := place())), None)


def _key(holder: Json, name: str, where: str) -> Hit | None:
    return (f"{where}/{name}", holder[name]) if name in holder else None


def _property(holder: Json, name: str, where: str) -> Hit | None:
    for each, there in records(holder.get("properties"), f"{where}/properties"):
        if each.get("name") in (name, f"spdx:{name}"):
            return there, each.get("value")
    return None


def _in_card(card: Json, name: str, where: str) -> Hit | None:
    parameters, said = record(card.get("modelParameters")), record(card.get("considerations"))
    mapped = (
        (f"{where}/considerations/{section}", said[section])
        for section in _CONSIDERATIONS.get(name, ())
        if said.get(section)
    )
    return (
        _key(card, name, where)
        or _key(parameters, name, f"{where}/modelParameters")
        or next(mapped, None)
        or _key(said, name, f"{where}/considerations")
    )


def _referenced(component: Json, name: str, where: str) -> Iterator[Hit]:
    for each, there in records(component.get("externalReferences"), f"{where}/externalReferences"):
        if each.get("type") in _REFERENCES.get(name, ()) and each.get("url"):
            yield there, each.get("url")


def _is_placeholder(value: Any) -> bool:
    """Tell whether a value only says that nothing is known, in a list or an object too."""
    if isinstance(value, list):
        return all(map(_is_placeholder, value))
    if isinstance(value, dict):
        said = value.get("license", value)
        values = (
            [said.get(key) for key in ("id", "name", "expression", "url", "type", "ref")]
            if isinstance(said, dict)
            else []
        )
        texts = [each for each in values if isinstance(each, str)]
        return bool(texts) and all(map(is_unknown, texts))
    return value is None or (isinstance(value, str) and is_unknown(value))
