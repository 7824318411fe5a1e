"""What changed between two bills of materials, in terms of facts and whatever their formats are.

What is true:

* Things are matched by name; one that was renamed and kept its digest is the same thing. A thing that only one
  document has is one change.
* What tells issues of a document apart (identifier, time, tool, ledger position) is listed, and is no change of facts.
* A fact that only one document states is no change where the other's format has no field for it: then it cannot be compared.
* `Difference.changes` is empty exactly where nobody reading both documents would learn of a different model.

It does not know which of two documents is right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct

from projections.bom.read_facts import Document, Fact
from projections.bom.read_terms import FORMATS, ISSUE, KINDS, LOCAL, TERMS, Format

# What only repeats other facts: the base is a thing itself.
_ECHOES = frozenset({"derived_from", "used_by", "hashed"})
_WORTH_TELLING = ("version", "hash", "name")

Identity = tuple[str, str, str | None]


class Change(Struct, frozen=True, kw_only=True):
    """A fact (or, with an empty `name`, a whole thing) that is not the same in both. `old` and `new` are values."""

    kind: Literal["added", "removed", "changed"]
    about: str
    name: str = ""
    key: str | None = None
    old: str | None = None
    new: str | None = None

    @property
    def label(self) -> str:
        """What changed, for people: `model: licence`, `data/train.jsonl: digest (sha256)`."""
        if not self.name:
            return self.about
        origin = self.name.removesuffix(" origin")
        words = TERMS[origin].label + (", origin" if origin != self.name else "")
        return f"{self.about}: {words}" + (f" ({self.key})" if self.key else "")


class Difference(Struct, frozen=True, kw_only=True):
    """What changed, what tells two issues apart, and what one of the formats has no field for."""

    changes: tuple[Change, ...]
    issue: tuple[Change, ...]
    not_comparable: tuple[Change, ...]


def compare(old: Document, new: Document) -> Difference:
    """Give what changed from `old` to `new`."""
    names = _renamed(old, new)
    before = [fact for fact in old.facts if _counts(fact, old, new)]
    after = [_under(fact, names) for fact in new.facts if _counts(fact, old, new)]
    found = [*_things(before, after), *_values(before, after, same_format=old.format == new.format)]
    issue = [change for change in found if change.name in ISSUE]
    rest = [change for change in found if change.name not in ISSUE]
    told = [change for change in rest if _comparable(change, old.format, new.format)]
    others = [change for change in rest if not _comparable(change, old.format, new.format)]
    return Difference(
        changes=tuple(told),
        issue=tuple(issue),
        not_comparable=tuple(others),
    )


def cannot_say(change: Change, old: Document, new: Document) -> str:
    """Say which format has no field for a change that cannot be compared."""
    lacking = new if change.old is not None else old
    return f"{FORMATS[lacking.format]} {lacking.spec_version} has no field for it"


def _counts(fact: Fact, old: Document, new: Document) -> bool:
    return fact.name not in _ECHOES and (fact.name not in LOCAL or old.format == new.format)


def _renamed(old: Document, new: Document) -> dict[str, str]:
    """Give the old names of things that have a new one and the digest of just one thing that has gone."""
    gone, come = (_digests(one, {fact.about for fact in other.facts}) for one, other in ((old, new), (new, old)))
    return {
        names[0]: gone[digest][0]
        for digest, names in come.items()
        if len(names) == 1 and len(gone.get(digest, ())) == 1
    }


def _digests(document: Document, elsewhere: set[str]) -> dict[tuple[str, str | None, str], list[str]]:
    found: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for fact in document.facts:
        if fact.name == "hash" and fact.about not in elsewhere:
            found[fact.kind, fact.key, fact.value].append(fact.about)
    return found


def _under(fact: Fact, names: dict[str, str]) -> Fact:
    if fact.about not in names and (fact.name != "depends_on" or fact.value not in names):
        return fact
    value = names.get(fact.value, fact.value) if fact.name == "depends_on" else fact.value
    return Fact(
        about=names.get(fact.about, fact.about),
        name=fact.name,
        key=fact.key,
        value=value,
        where=fact.where,
        origin=fact.origin,
    )


def _things(before: Iterable[Fact], after: Iterable[Fact]) -> Iterator[Change]:
    """Give things that only one of the documents has, each with the value that says most about it."""
    old, new = _by_thing(before), _by_thing(after)
    for about, facts in old.items():
        if about not in new:
            yield Change(kind="removed", about=about, old=_telling(facts))
    for about, facts in new.items():
        if about not in old:
            yield Change(kind="added", about=about, new=_telling(facts))


def _by_thing(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        found.setdefault(fact.about, []).append(fact)
    return found


def _telling(facts: list[Fact]) -> str:
    return next((fact.value for name in _WORTH_TELLING for fact in facts if fact.name == name), "")


def _values(before: list[Fact], after: list[Fact], *, same_format: bool) -> Iterator[Change]:
    """Give what changed about things that both documents have."""
    common = {fact.about for fact in before} & {fact.about for fact in after}
    things = {fact.about for fact in (*before, *after)}
    old, new = (_grouped(facts, common) for facts in (before, after))
    for identity in dict.fromkeys((*old, *new)):
        about, name, key = identity
        was, now = old.get(identity, {}), new.get(identity, {})
        gone, come = [value for value in was if value not in now], [value for value in now if value not in was]
        if name == "depends_on":  # that a dependency came or went is told once, as the thing it is
            gone, come = (
                [value for value in values if value in common or value not in things] for values in (gone, come)
            )
        if len(gone) == len(come) == 1:
            yield Change(kind="changed", about=about, name=name, key=key, old=gone[0], new=come[0])
        else:
            yield from (Change(kind="removed", about=about, name=name, key=key, old=value) for value in gone)
            yield from (Change(kind="added", about=about, name=name, key=key, new=value) for value in come)
        if same_format and not gone and not come:
            yield from _origins(identity, was, now)


def _grouped(facts: Iterable[Fact], things: set[str]) -> dict[Identity, dict[str, str | None]]:
    found: dict[Identity, dict[str, str | None]] = {}
    for fact in facts:
        if fact.about in things:
            found.setdefault((fact.about, fact.name, fact.key), {})[fact.value] = fact.origin
    return found


def _origins(identity: Identity, was: dict[str, str | None], now: dict[str, str | None]) -> Iterator[Change]:
    """Give a value that stayed and that somebody else vouches for: a digest declared then, observed now."""
    about, name, key = identity
    for value, origin in was.items():
        other = now.get(value)
        if origin and other and origin != other:
            yield Change(kind="changed", about=about, name=f"{name} origin", key=key, old=origin, new=other)


def _comparable(change: Change, old: Format, new: Format) -> bool:
    if old == new or change.kind == "changed":
        return True
    fields = TERMS[change.name].fields if change.name else KINDS.get(change.about.partition("/")[0], frozenset(FORMATS))
    lacking = new if change.kind == "removed" else old
    return lacking in fields & KINDS.get(change.about.partition("/")[0], frozenset(FORMATS))
