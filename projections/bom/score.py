"""How complete a bill of materials is, by the lists of fields that others have published.

What is true:

* A list is data (`fields/*.json`): its elements, source, version and date, and for each element what would fill it. No list is
  changed here to fit soup.
* An element is `present` with the pointer to where it stands, `not known`, or `not applicable` with the reason: the format has no
  field for it, or the list asks for it only of others. What a document merely calls unknown is not known.
* An element that is asked of each thing of a kind is present only if each has it; the ones that lack it are named.
* OWASP's list has weights. It is computed as its own scorer does (`projections.bom.score_owasp`).

It does not know who made the document, nor whether what it says is true.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

from projections.bom.read_facts import Document, Fact
from projections.bom.read_terms import FORMATS, TERMS, Format

State = Literal["present", "not known", "not applicable"]
LISTS = ("g7", "ntia", "owasp")

_MOST_NAMED = 5  # things that lack an element, by name


class Element(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One element of a list. A selector is `kind.name` or `kind.name=key`; with `each` (kinds of things) it is `name`.

    `path`, `tier` and `optional` are OWASP's; `fill` are options of `soup bom emit`, `--facts: PATH` a field of the facts file.
    """

    id: str
    group: str
    name: str
    fill: list[str]
    any: list[str] = []
    all: list[str] = []
    each: list[str] = []
    not_in: dict[Format, str] = {}
    path: str | None = None
    tier: Literal["critical", "important", "supplementary"] | None = None
    optional: bool = False


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A profile of OWASP's: the score and the fields that it asks for."""

    name: str
    minimum: int
    fields: list[str]


class FieldList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A published list of elements."""

    id: str
    title: str
    version: str
    date: str
    source: str
    elements: list[Element]
    weights: dict[str, int] = {}
    profiles: list[Profile] = []


class Finding(Struct, frozen=True, kw_only=True):
    """An element, and what became of it. `where` are RFC 6901 pointers into the document."""

    id: str
    group: str
    name: str
    state: State
    where: tuple[str, ...] = ()
    value: str | None = None
    reason: str | None = None
    fill: tuple[str, ...] = ()


class Score(Struct, frozen=True, kw_only=True):
    """A document held against one list. `points` (0 to 100) are there where the list has weights."""

    list: str
    title: str
    version: str
    date: str
    source: str
    findings: tuple[Finding, ...]
    points: float | None = None
    points_with_placeholders: float | None = (
        None  # what the list's own scorer says, where it takes "unknown" for a value
    )
    categories: dict[str, float] = {}
    penalty: float | None = None
    profile: str | None = None
    reason: str | None = None  # why the list does not apply at all

    @property
    def present(self) -> int:
        """How many elements are there."""
        return sum(finding.state == "present" for finding in self.findings)

    @property
    def applicable(self) -> int:
        """Of how many that could be."""
        return sum(finding.state != "not applicable" for finding in self.findings)


def score(document: Document, name: str) -> Score:
    """Hold `document` against the list `name`, one of `LISTS`."""
    wanted = field_list(name)
    if wanted.weights:
        from projections.bom.score_owasp import weigh

        return weigh(document, wanted)
    return Score(
        list=wanted.id,
        title=wanted.title,
        version=wanted.version,
        date=wanted.date,
        source=wanted.source,
        findings=tuple(_finding(document, element) for element in wanted.elements),
    )


@cache
def field_list(name: str) -> FieldList:
    """Give the list `name`."""
    raw = files("projections.bom").joinpath("fields", f"{name}.json").read_bytes()
    return msgspec.json.decode(raw, type=FieldList)


def _finding(document: Document, element: Element) -> Finding:
    found, reason = _each(document, element) if element.each else _somewhere(document, element)
    state: State = "not known" if found is None else "present"
    if state == "not known" and document.format in element.not_in:
        state, reason = "not applicable", element.not_in[document.format]
    present = found or []
    return Finding(
        id=element.id,
        group=element.group,
        name=element.name,
        state=state,
        where=tuple(dict.fromkeys(fact.where for fact in present)),
        value=present[0].value if present else None,
        reason=reason,
        fill=tuple(element.fill) if state == "not known" else (),
    )


def _somewhere(document: Document, element: Element) -> tuple[list[Fact] | None, str | None]:
    """Look for any of the selectors, or for all of them."""
    hits = [(selector, _select(document, selector)) for selector in element.any or element.all]
    found = [facts[0] for _, facts in hits if facts]
    if (element.all and len(found) == len(hits)) or (element.any and found):
        return found, None
    blank = [selector for selector, _ in hits if tuple(selector.partition("=")[0].split(".", 1)) in document.blanks]
    return None, "said to be unknown" if blank else None


def _select(document: Document, selector: str) -> list[Fact]:
    path, _, key = selector.partition("=")
    kind, _, name = path.partition(".")
    return [fact for fact in document.of(kind, name) if not key or fact.key == key]


def _each(document: Document, element: Element) -> tuple[list[Fact] | None, str | None]:
    """Look at each thing of some kinds for any of the names."""
    things = [about for kind in element.each for about in document.about(kind)]
    if not things:
        return None, f"the document lists no {' or '.join(element.each)}"
    first: dict[str, Fact] = {}
    for fact in document.facts:
        if fact.name in element.any:
            first.setdefault(fact.about, fact)
    lacking = [about for about in things if about not in first]
    if not lacking:
        return [first[about] for about in things], None
    more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
    return None, f"{len(lacking)} of {len(things)} lack it: {', '.join(lacking[:_MOST_NAMED])}{more}"


def unknown_selectors(wanted: FieldList) -> list[str]:
    """Give the selectors that name no fact: a list with any is not fit for use."""
    names = [
        (selector, selector if element.each else selector.partition("=")[0].partition(".")[2])
        for element in wanted.elements
        for selector in (*element.any, *element.all)
    ]
    kinds = [form for element in wanted.elements for form in element.not_in if form not in FORMATS]
    return [selector for selector, name in names if name not in TERMS] + kinds
