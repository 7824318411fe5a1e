"""The road of the data: files, records, examples, tokens, the split, packs.

What is true here:

- a row is kept whole or rejected for one named reason, and counted; none is repaired or dropped silently. Only a plain
  document that is too long is cut, into pieces that lose no token, and that is counted too;
- the format of a file is that of its first row that has one, or the one that was asked for;
- rows trained on keep the order of reading, whatever was held out from between them;
- data of which no token carries loss is an error.

It does not know torch, the tokenizer's library, or the order in which units are shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trainer import schedule
from trainer.config import FORMATS_OF, Config, files
from trainer.data import formats, manifest, packing, tokens
from trainer.data import template as templates
from trainer.data.batch import Pack, Pair, Unit, rows_of, shape
from trainer.data.formats import Conversation, Example, Passage, Preference
from trainer.data.reasons import Reason, UnfitError
from trainer.data.records import Record, Source
from trainer.data.tokens import Row, Tokens
from trainer.errors import DataError
from trainer.observations import ChatTemplate, DataBound, DataFile, Portion, Rejection

NAMED_LINES = 10  # how many places a rejection names
_TRIED = 100  # rows in which a format is looked for


@dataclass(frozen=True, slots=True)
class Kept:
    """A row that was kept: where it stood, its digest, and the units it became."""

    path: str
    at: int
    digest: bytes
    held_out: bool
    units: tuple[Row | Pair, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Its sequences."""
        return tuple(row for unit in self.units for row in rows_of(unit))


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is trained on and what is evaluated on, in the order of reading, and the account of all that was read."""

    train: tuple[Unit, ...]
    evaluation: tuple[Unit, ...]
    kept: tuple[Kept, ...]
    bound: DataBound

    def manifest(self) -> Iterator[bytes]:
        """Yield a line of canonical JSON for each kept row: its place, its digest, its side; `rows_root` is over them."""
        for row in self.kept:
            line = {"at": row.at, "held_out": row.held_out, "path": row.path, "sha256": row.digest.hex()}
            yield json.dumps(line, separators=(",", ":"), sort_keys=True).encode() + b"\n"


@dataclass(slots=True)
class _File:
    """The account of one file while it is read."""

    source: Source
    role: str
    format: str
    rows: int = 0
    rejected: dict[Reason, list[int]] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)

    def account(self) -> DataFile:
        rows = [row for kept in self.kept for row in kept.rows]
        return DataFile(
            role=self.role,
            path=self.source.path,
            format=self.format,
            sha256=self.source.sha256,
            size=self.source.size,
            rows=self.rows,
            kept=len(self.kept),
            tokens=sum(len(row.ids) for row in rows),
            supervised=sum(row.supervised for row in rows),
        )

    def rejections(self) -> tuple[Rejection, ...]:
        return tuple(
            Rejection(why.value, len(at), tuple(at[:NAMED_LINES]), self.source.path)
            for why, at in sorted(self.rejected.items())
        )


def read(config: Config, vocabulary: Tokens) -> Dataset:
    """Read the files of `config.data`; raise `DataError` where one cannot be read or nothing is left to train on.

    Raises `ConfigError` where conversations cannot be rendered in this tokenizer's tokens.
    """
    road = _Road(config, vocabulary)
    accounts = [road.file(path, "training") for path in files(config.data.train)]
    accounts += [road.file(path, "evaluation") for path in files(config.data.eval)]
    return _bound(config, accounts, road)


class _Road:
    """What every row passes: chosen once for the run."""

    def __init__(self, config: Config, vocabulary: Tokens) -> None:
        self.task, self.data, self.tokens = config.task, config.data, vocabulary
        self.template: templates.Template | None = None
        self.everything = False
        if self.task != "pretrain":
            self.template = templates.choose(self.data.chat_template, vocabulary)
        elif vocabulary.end is None:
            raise DataError(files(self.data.train)[0], "the tokenizer has no token that ends a document")
        if self.task == "sft":
            self.everything = not self.data.train_on_responses_only
        self.below = manifest.threshold(self.data.val_split)
        self.origins = manifest.Origins()
        self.cut = 0

    @property
    def told(self) -> ChatTemplate | None:
        """What is told of the template."""
        chosen = self.template
        return None if chosen is None else ChatTemplate(chosen.name, chosen.sha256, chosen.note)

    def file(self, path: str, role: str) -> _File:
        """Read one file."""
        source = Source(path, formats.COLUMNS | manifest.DECLARED)
        name, records = self._format(source)
        account = _File(source, role, name)
        for record in records:
            account.rows += 1
            try:
                account.kept.append(self._kept(account, record))
            except UnfitError as unfit:
                account.rejected.setdefault(unfit.reason, []).append(record.at)
        return account

    def _format(self, source: Source) -> tuple[str, Iterator[Record]]:
        """Return the format of a file's rows, and all of its records."""
        records = source.records()
        name: str = self.data.format
        if name == "auto":
            tried: list[Record] = []
            found = None
            for record in records:
                tried.append(record)
                found = formats.detected(record.value)
                if found or len(tried) == _TRIED:
                    break
            if found is None and tried:
                raise DataError(source.path, _unknown(tried))
            name, records = found or FORMATS_OF[self.task][0], _again(tried, records)
        if name not in FORMATS_OF[self.task]:
            raise DataError(
                source.path, f"its rows are {name}; task {self.task} learns from {', '.join(FORMATS_OF[self.task])}"
            )
        return name, records

    def _kept(self, account: _File, record: Record) -> Kept:
        if isinstance(record.value, Reason):
            raise UnfitError(record.value)
        example = formats.example(account.format, record.value)
        self.tokens.demand_plain(example.text)
        units = self._units(example)
        if not any(row.supervised for unit in units for row in rows_of(unit)):
            raise UnfitError(Reason.NOTHING_LEARNT)
        digest = manifest.leaf(example)
        held_out = account.role == "evaluation" or manifest.is_held_out(digest, self.below)
        if not held_out:
            size = sum(len(text.encode()) for text in example.text)
            self.origins.count(manifest.declared(record.value), size)
        self.cut += len(units) > 1
        return Kept(account.source.path, record.at, digest, held_out, units)

    def _units(self, example: Example) -> tuple[Row | Pair, ...]:
        match example:
            case Conversation():
                return (self._conversation(example),)
            case Preference():
                return (self._pair(example),)
            case Passage():
                return tuple(self._pieces(example))

    def _conversation(self, example: Conversation) -> Row:
        if not self.everything and all(role != "assistant" for role, _ in example.turns):
            raise UnfitError(Reason.NOTHING_LEARNT)
        return self._fit(tokens.row(self.tokens, self._segments(example.turns), self.everything))

    def _pair(self, example: Preference) -> Pair:
        chosen, rejected = (
            _last_alone(self._segments((*example.prompt, ("assistant", answer))))
            for answer in (example.chosen, example.rejected)
        )
        if chosen[0] != rejected[0]:
            raise UnfitError(Reason.NOT_MASKED)
        return Pair(*(self._fit(tokens.row(self.tokens, segments)) for segments in (chosen, rejected)))

    def _pieces(self, example: Passage) -> Iterator[Row]:
        """Yield a document in pieces of at most max_length; all of it is learnt, and its end with it."""
        beginning = [] if self.tokens.beginning is None else [self.tokens.beginning]
        whole = tokens.row(self.tokens, [(example.passage, True)]).ids
        ids = [*beginning, *whole, *([] if self.tokens.end is None else [self.tokens.end])]
        for at in range(0, len(ids), self.data.max_length):
            piece = type(whole)("i", ids[at : at + self.data.max_length])
            yield Row(piece, bytes([1]) * len(piece))

    def _segments(self, turns: Sequence[formats.Turn]) -> templates.Segments:
        if self.template is None:  # pretrain renders nothing, and its formats hold no conversation
            raise UnfitError(Reason.NOT_RENDERED)
        return self.template.segments(turns)

    def _fit(self, row: Row) -> Row:
        if len(row.ids) > self.data.max_length:
            raise UnfitError(Reason.TOO_LONG)
        return row


def _last_alone(segments: templates.Segments) -> templates.Segments:
    """Return the prompt as one segment, the last answer as the only one learnt, and what follows it."""
    last = max(at for at, (_, learnt) in enumerate(segments) if learnt)
    prompt = "".join(text for text, _ in segments[:last])
    return [(prompt, False), (segments[last][0], True), *((text, False) for text, _ in segments[last + 1 :])]


def _again(tried: list[Record], rest: Iterator[Record]) -> Iterator[Record]:
    yield from tried
    yield from rest


def _unknown(tried: Sequence[Record]) -> str:
    """Say why no format was found."""
    rows = [record.value for record in tried if isinstance(record.value, Mapping)]
    if not rows:
        first = tried[0]
        reason = first.value.value if isinstance(first.value, Reason) else Reason.NOT_FIELDS.value
        return f"no row of the first {len(tried)} is fit to train on: {reason} (line {first.at})"
    known = "; ".join(f"{name}: {', '.join(shape.keys)}" for name, shape in formats.FORMATS.items())
    found = ", ".join(sorted(str(key)[:40] for key in rows[0])[:10])
    return f"no format has the keys of its first row ({found!a}); known are {known}"


def _bound(config: Config, accounts: Sequence[_File], road: _Road) -> Dataset:
    everything = tuple(row for account in accounts for row in account.kept)
    trained = [row for row in everything if not row.held_out]
    rejections = tuple(rejection for account in accounts for rejection in account.rejections())
    _demand_rows(config, accounts, trained, rejections)
    held_out = [row for row in everything if row.held_out]
    train, evaluation = (_units_of(config, rows) for rows in (trained, held_out))
    digests = {row.digest for row in trained}
    bound = DataBound(
        files=tuple(account.account() for account in accounts),
        rows=sum(account.rows for account in accounts),
        kept=len(everything),
        rejections=rejections,
        training=_portion(trained, train, schedule.computed([shape(unit) for unit in train], config.training)),
        evaluation=_portion(held_out, evaluation, _in_order(evaluation, config.training.batch_size)),
        template=road.told,
        cut=road.cut,
        overlap=sum(row.digest in digests for row in held_out),
        languages=road.origins.shares("language"),
        sources=road.origins.shares("source"),
        rows_sha256=_rows_sha256(everything),
        rows_root=manifest.root(row.digest for row in everything).hex(),
    )
    return Dataset(train, evaluation, everything, bound)


def _demand_rows(
    config: Config, accounts: Sequence[_File], trained: Sequence[Kept], rejections: Sequence[Rejection]
) -> None:
    if trained:
        return
    path = files(config.data.train)[0]
    if kept := sum(len(account.kept) for account in accounts if account.role == "training"):
        raise DataError(path, f"data.val_split holds out each of its {kept} rows; set it to 0")
    seen = sum(account.rows for account in accounts if account.role == "training")
    reasons = "; ".join(f"{r.count} rejected: {r.reason} (line {r.lines[0]})" for r in rejections)
    raise DataError(path, f"no row of {seen} is fit to train on{': ' * bool(reasons)}{reasons}")


def _units_of(config: Config, rows: Sequence[Kept]) -> tuple[Unit, ...]:
    units = tuple(unit for row in rows for unit in row.units)
    if not config.training.packing:
        return units
    alone = [unit for unit in units if isinstance(unit, Row)]
    lengths = [len(row.ids) for row in alone]
    return tuple(Pack(tuple(alone[at] for at in pack)) for pack in packing.packs(lengths, config.data.max_length))


def _portion(kept: Sequence[Kept], units: Sequence[Unit], computed: int) -> Portion:
    unique = {row.digest: row for row in kept}
    sequences = [sequence for row in kept for sequence in row.rows]
    return Portion(
        rows=len(kept),
        unique_rows=len(unique),
        units=len(units),
        tokens=sum(len(row.ids) for row in sequences),
        unique_tokens=sum(len(sequence.ids) for row in unique.values() for sequence in row.rows),
        supervised=sum(row.supervised for row in sequences),
        computed=computed,
    )


def _in_order(units: Sequence[Unit], size: int) -> int:
    shapes = [shape(unit) for unit in units]
    return sum(schedule.area(shapes[at : at + size]) for at in range(0, len(shapes), size))


def _rows_sha256(kept: Sequence[Kept]) -> str:
    """Digest a line for each sequence of each kept row: its token ids as a list, a space, its mask in hexadecimal."""
    digest = hashlib.sha256()
    for row in kept:
        for sequence in row.rows:
            digest.update(f"{sequence.ids.tolist()} {sequence.learnt.hex()}\n".encode())
    return digest.hexdigest()
