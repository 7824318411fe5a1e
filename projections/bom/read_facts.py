"""What a bill of materials of any tool says, as a flat list of facts; and how facts are picked out of untrusted JSON.

What is true:

* A fact is one value: what it is `about` (`model`, `data/train.jsonl`), its `name` from the closed table of `read_terms`, a `key`
  where a name holds many (a hyperparameter's, a hash algorithm's), and the RFC 6901 pointer to where it stands.
* Values are text and spelled one way in all formats: numbers as shortest decimals, times in UTC, energy in kWh, CO2 in grams.
* What a document calls unknown (`NOASSERTION`, "unknown", an empty text) is no fact. Where it stood is kept in `blanks`.
* `origin` is there only where soup's own properties say so; other people's documents do not tell.
* The accessors (`record`, `items`, `text`) are total: a value of the wrong type is read as absent, never an exception.

It does not know the formats (`read_cyclonedx`, `read_spdx2`, `read_spdx3` do), and it believes nothing it reads.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from projections.bom.read_terms import FORMATS, HEADINGS, TERMS, Format

Json = dict[str, Any]

ORIGINS = ("observed", "declared")
# What a statement in general ("all that was stated") does not speak of: soup works these out, or somebody else says them.
_NOT_STATED = frozenset(
    {"built", "size", "hash", "link", "contact", "depends_on", "parent", "licence", "purpose", "role"}
)

_UNKNOWN = re.compile(
    r"(?i)(unknown|no[ _-]?assertion|n/?a|not[ _-]?(known|specified|available|provided)|tbd|todo|\?+)?"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)([Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?)?")
_LEDGER_KEY = re.compile(r"(\A|:)soup:(ledger:|command\Z|same-as\Z)")
_NI = re.compile(r"ni:///sha-256;([A-Za-z0-9_-]{43})")
_MAX_EXPONENT = 40


class Fact(Struct, frozen=True, kw_only=True):
    """One value, what it is about, and where it stands (an RFC 6901 pointer into the document)."""

    about: str
    name: str
    value: str
    where: str
    key: str | None = None
    origin: str | None = None  # observed or declared, where the document says so

    @property
    def kind(self) -> str:
        """What kind of thing it is about: model, base, data, package ..."""
        return self.about.partition("/")[0]


class Document(Struct, frozen=True, kw_only=True):
    """A bill of materials. `content` is the JSON as it was parsed; `blanks` are the (kind, name) said to be unknown."""

    format: Format
    spec_version: str
    facts: tuple[Fact, ...]
    content: Json
    blanks: frozenset[tuple[str, str]] = frozenset()

    @property
    def title(self) -> str:
        """Format and version in words."""
        return f"{FORMATS[self.format]} {self.spec_version}"

    def of(self, kind: str, name: str) -> list[Fact]:
        """Give the facts of one name about one kind of things."""
        return [fact for fact in self.facts if fact.name == name and fact.kind == kind]

    def value(self, kind: str, name: str) -> str | None:
        """Give the first value of a name."""
        return next((fact.value for fact in self.of(kind, name)), None)

    def about(self, kind: str) -> list[str]:
        """Give the things of one kind, in the document's order."""
        return list(dict.fromkeys(fact.about for fact in self.facts if fact.kind == kind))


class Collector:
    """Takes facts as they are found. The same value twice about the same thing is one fact."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str, str | None, str], Fact] = {}
        self._blanks: set[tuple[str, str]] = set()
        self._origins: dict[tuple[str, str, str | None], str] = {}
        self._dropped: set[tuple[str, str]] = set()

    def add(self, about: str, name: str, value: object, where: str, *, key: str | None = None) -> None:
        """Take a value, unless it is of no readable type or says that nothing is known."""
        name = "trace" if name == "property" and _LEDGER_KEY.search(key or "") else name
        if name not in TERMS:
            raise KeyError(name)
        said = text(value)
        if said is None or has_surrogate(said + (key or "")):
            return
        if is_unknown(said):
            self._blanks.add((about.partition("/")[0], name))
            return
        fact = Fact(about=about, name=name, value=said, where=where, key=key)
        self._facts.setdefault((about, name, key, said), fact)

    def add_all(self, about: str, name: str, values: object, where: str) -> None:
        """Take each value of an array, or a single one."""
        for index, value in enumerate(many(values)):
            self.add(about, name, value, f"{where}/{index}" if isinstance(values, list) else where)

    def drop(self, about: str, name: str) -> None:
        """Forget the facts of one name about a thing."""
        self._dropped.add((about, name))

    def originate(self, about: str, name: str, origin: str | None, key: str | None = None) -> None:
        """Say where a fact about a thing comes from; without `key` all of that name, as `*` all that nothing else is said of."""
        if origin in ORIGINS:
            self._origins[about, name, key] = origin

    def _origin(self, fact: Fact) -> str | None:
        told = ((fact.name, fact.key), (fact.name, None), *(() if fact.name in _NOT_STATED else (("*", None),)))
        return next((self._origins[where] for rest in told if (where := (fact.about, *rest)) in self._origins), None)

    def add_lines(self, about: str, name: str, values: object, where: str) -> None:
        """Take a text line by line. SPDX has one field for several facts, which then stand under headings of their own."""
        for value in many(values):
            for line in string(value).splitlines():
                heading, colon, rest = line.partition(": ")
                known = HEADINGS.get(heading) if colon else None
                self.add(about, known or name, rest if known else line, where)

    def facts(self) -> tuple[Fact, ...]:
        """Everything taken so far, in order, with its origin where one was told."""
        return tuple(
            replace(fact, origin=origin) if (origin := self._origin(fact)) else fact
            for fact in self._facts.values()
            if (fact.about, fact.name) not in self._dropped
        )

    def blanks(self) -> frozenset[tuple[str, str]]:
        """Give what was said to be unknown."""
        return frozenset(self._blanks)


class Names:
    """Gives each thing a name of its own: `data/train.jsonl`, and `data/train.jsonl#2` for another of that name."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def give(self, kind: str, name: str | None) -> str:
        """Name a thing."""
        wanted = given = f"{kind}/{name or '(no name)'}"
        while given in self._given:
            self._given[wanted] += 1
            given = f"{wanted}#{self._given[wanted]}"
        self._given[given] = 1
        return given


def record(value: object) -> Json:
    """Give an object; anything else is read as an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Give an array; anything else is read as an empty one."""
    return value if isinstance(value, list) else []


def many(value: object) -> list[Any]:
    """Give the values of an array, or the one value that stands in its place."""
    return value if isinstance(value, list) else [] if value is None else [value]


def records(value: object, where: str) -> Iterator[tuple[Json, str]]:
    """Give the objects of an array with their pointers."""
    for index, each in enumerate(items(value)):
        if isinstance(each, dict):
            yield each, f"{where}/{index}"


def text(value: object) -> str | None:
    """Give a scalar as one line of text: numbers in their shortest decimal form, booleans as yes and no."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value)


def string(value: object) -> str:
    """Give a text, empty where the value is none."""
    return value if isinstance(value, str) else ""


def is_unknown(value: str) -> bool:
    """Tell whether a text only says that nothing is known."""
    return _UNKNOWN.fullmatch(value.strip()) is not None


def number(value: object, factor: int = 1) -> str | None:
    """Give a number, or the text of one, times `factor` as a plain decimal: `1.250e1` is `12.5`."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        return None
    try:
        decimal = Decimal(value) * factor
    except ArithmeticError:  # no number, or one beyond what Decimal computes with
        return None
    if not decimal.is_finite() or abs(decimal.adjusted()) > _MAX_EXPONENT:
        return None
    plain = f"{decimal:f}"
    return (plain.rstrip("0").rstrip(".") or "0") if "." in plain else plain


def time(value: object) -> str | None:
    """Give a time in UTC to the second, a day as a day, other text as it stands."""
    said = text(value)
    if said is None or not (match := _TIME.fullmatch(said)):
        return said
    if not match[2]:
        return match[1]
    try:
        moment = datetime.fromisoformat(said.replace("z", "Z"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return said


def day(value: object) -> str | None:
    """Give a time; midnight exactly as the day alone, since SPDX cannot write a day without a time."""
    said = time(value)
    return said.removesuffix("T00:00:00Z") if said else said


def hash_key(algorithm: object) -> str:
    """Spell an algorithm as one: `SHA-256`, `SHA256` and `sha256` are `sha256`, `SHA3-256` is `sha3-256`."""
    name = string(algorithm).lower().replace("_", "-")
    return re.sub(r"^sha-?(1|224|256|384|512)$", r"sha\1", name) or "unnamed"


def has_surrogate(value: str) -> bool:
    """Tell whether a string has a lone surrogate (RFC 8259 section 8.2), which no UTF-8 output can carry."""
    return not value.isascii() and _SURROGATE.search(value) is not None


def content_digest(url: object) -> object:
    """Give `sha256:HEX` for a name of bytes, `ni:///sha-256;...` (RFC 6920); anything else as it stands."""
    match = _NI.fullmatch(string(url))
    return f"sha256:{urlsafe_b64decode(match[1] + '=').hex()}" if match else url


def labelled(first: object, **more: object) -> str | None:
    """Give a text and what belongs to it: `Stereotypes Mitigation: review`."""
    rest = (f"{label.capitalize()}: {said}" for label, value in more.items() if (said := text(value)))
    return joined((first, *rest))


def joined(parts: Iterable[object], separator: str = " ") -> str | None:
    """Join the texts among some values; None where there is none."""
    return separator.join(said for part in parts if (said := text(part))) or None
