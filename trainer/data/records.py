"""Files into records, one parsed value a row, whatever is in the file.

What is true here:

- the bytes that are hashed are the bytes that are parsed: a file is opened once, and one that changes meanwhile is
  refused;
- only regular files are read; a record has its place, counted from 1: the line it begins on, or its number in an array
  or a table;
- a record that cannot be parsed is a `Reason` in its place, and the next one is read; nothing is repaired;
- memory is bounded: a record by `MAX_ROW_BYTES`, an array by `MAX_ARRAY_BYTES`, a table that unpacks to more than
  `MAX_EXPANSION` times its file is refused before it is unpacked.

It does not know what the fields of a record mean.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import BinaryIO, NoReturn

from trainer.data.reasons import MAX_ROW_BYTES, Reason, UnfitError
from trainer.errors import DataError

MAX_ARRAY_BYTES = 128 << 20
MAX_EXPANSION = 1000
_SPARE = 64 << 20  # what a small table may unpack to whatever the ratio
_ROWS_AT_ONCE = 64  # of a table
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Record:
    """What stands at one place of a file: a parsed value, or why there is none."""

    at: int
    value: object  # a Reason where it could not be parsed


class Source:
    """One file of rows. `sha256` and `size` are of its bytes, and known once `records` has come to its end."""

    def __init__(self, path: str, columns: frozenset[str]) -> None:
        """Name the file and, for a table, the `columns` that are worth unpacking."""
        self.path = path
        self.columns = columns
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The digest of what has been read."""
        return self._digest.hexdigest()

    def records(self) -> Iterator[Record]:
        """Yield every record; raise `DataError` if the file as a whole cannot be read."""
        suffix = PurePath(self.path).suffix.lower()
        if suffix not in _READERS:
            raise DataError(self.path, f"its name ends in none of {', '.join(_READERS)}")
        try:
            with _open(self.path) as file:
                before = _identity(file)
                yield from _READERS[suffix](self, file)
                if _identity(file) != before:
                    raise DataError(self.path, "changed while it was read")
        except OSError as error:
            raise DataError(self.path, error.strerror or "cannot be read") from error

    def observe(self, piece: bytes) -> None:
        """Count and hash a piece of the file."""
        self._digest.update(piece)
        self.size += len(piece)

    def lines(self, file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
        """Yield each line with its number, None for one too large to hold."""
        number = 0
        while piece := file.readline(MAX_ROW_BYTES + 1):
            self.observe(piece)
            number += 1
            line: bytes | None = piece if len(piece) <= MAX_ROW_BYTES else None
            while not piece.endswith(b"\n") and (piece := file.readline(MAX_ROW_BYTES + 1)):
                self.observe(piece)
                line = None
            yield number, line.removeprefix(_BOM) if line is not None and number == 1 else line


def _json_lines(source: Source, file: BinaryIO) -> Iterator[Record]:
    """Read a row a line; a blank line is none."""
    for number, line in source.lines(file):
        if line is None:
            yield Record(number, Reason.TOO_LARGE)
        elif line.strip():
            try:
                yield Record(number, json.loads(_text(line), object_pairs_hook=_once, parse_constant=_no_constant))
            except UnfitError as unfit:
                yield Record(number, unfit.reason)
            except (ValueError, RecursionError):
                yield Record(number, Reason.NOT_JSON)


def _json_array(source: Source, file: BinaryIO) -> Iterator[Record]:
    """Read a row an element of one array. Many files of this name hold JSON lines: they begin with a brace."""
    beginning = file.read(4096).removeprefix(_BOM).lstrip()
    file.seek(0)
    if beginning.startswith(b"{"):
        yield from _json_lines(source, file)
        return
    content = file.read(MAX_ARRAY_BYTES + 1)
    source.observe(content)
    if len(content) > MAX_ARRAY_BYTES:
        raise DataError(source.path, f"one array of more than {MAX_ARRAY_BYTES} bytes; write JSON lines (.jsonl)")
    try:
        text = content.removeprefix(_BOM).decode("utf-8")
        array = json.loads(text, object_pairs_hook=_marked, parse_constant=_Unsound)
    except UnicodeDecodeError as error:
        raise DataError(source.path, f"not UTF-8 (byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(source.path, f"not JSON: {str(error)[:200]}") from error
    if not isinstance(array, list):
        raise DataError(source.path, "not an array of rows")
    for number, value in enumerate(array, start=1):
        yield Record(number, value if _is_sound(value) else Reason.NOT_JSON)


def _table_of_text(source: Source, file: BinaryIO) -> Iterator[Record]:
    """CSV as in RFC 4180, with a first line of names. A record is placed at the line that it begins on."""
    lines = _CsvLines(source.lines(file))
    cells = csv.reader(lines, strict=True)
    limit = csv.field_size_limit(MAX_ROW_BYTES)  # the module's own is process-wide, and 131,072
    try:
        names = _names(source.path, cells)
        while True:
            lines.begin()
            place = lines.number + 1
            try:
                row = next(cells)
            except StopIteration:
                return
            except UnfitError as unfit:
                yield Record(place, unfit.reason)
            except csv.Error:
                yield Record(place, Reason.NOT_CSV)
            else:
                if row:  # a blank line is none
                    yield Record(
                        place, dict(zip(names, row, strict=True)) if len(row) == len(names) else Reason.NOT_CSV
                    )
    finally:
        csv.field_size_limit(limit)


def _names(path: str, cells: Iterator[list[str]]) -> list[str]:
    try:
        names = next(cells, [])
    except (csv.Error, UnfitError) as error:
        raise DataError(path, "its first line is not CSV") from error
    if len(set(names)) != len(names):
        raise DataError(path, "two columns have one name")
    return names


class _CsvLines:
    """The lines of a CSV file as the csv module wants them. Not a generator: after an error it can be asked again."""

    def __init__(self, lines: Iterator[tuple[int, bytes | None]]) -> None:
        self._lines = lines
        self._size = 0
        self.number = 0

    def begin(self) -> None:
        """Count the bytes of a new record."""
        self._size = 0

    def __iter__(self) -> _CsvLines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        self._size += MAX_ROW_BYTES + 1 if line is None else len(line)
        if line is None or self._size > MAX_ROW_BYTES:
            raise UnfitError(Reason.TOO_LARGE)
        return _text(line)


def _paragraphs(source: Source, file: BinaryIO) -> Iterator[Record]:
    """Read a document a paragraph: lines up to a blank one, placed at its first line, without its last line break."""
    begun, size, held = 0, 0, list[bytes]()
    for number, line in _with_end(source.lines(file)):
        if line is not None and not line.strip():
            if begun:
                yield Record(begun, _passage(held) if size <= MAX_ROW_BYTES else Reason.TOO_LARGE)
            begun, size, held = 0, 0, []
            continue
        begun = begun or number
        size += MAX_ROW_BYTES + 1 if line is None else len(line)
        if size <= MAX_ROW_BYTES and line is not None:
            held.append(line)


def _with_end(lines: Iterator[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes | None]]:
    """Yield `lines` and a blank one, so that the last paragraph ends like the others."""
    yield from lines
    yield 0, b"\n"


def _passage(lines: list[bytes]) -> object:
    try:
        return {"text": _text(b"".join(lines)).rstrip("\r\n")}
    except UnfitError as unfit:
        return unfit.reason


def _table_of_columns(source: Source, file: BinaryIO) -> Iterator[Record]:
    """Apache Parquet, by pyarrow. Only the columns that a format knows are unpacked."""
    try:
        import pyarrow as pa  # type: ignore[import-not-found,unused-ignore]  # an extra, without types
        from pyarrow.parquet import ParquetFile  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise DataError(source.path, "reading parquet needs pyarrow: pip install 'soup-ledger[train]'") from error
    while piece := file.read(1 << 20):
        source.observe(piece)
    file.seek(0)
    try:
        table = ParquetFile(file)
        columns = _columns(source, table.metadata, table.schema_arrow.names)
        at = unpacked = 0
        for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            unpacked += batch.nbytes
            _demand_size(source, unpacked)
            for row in batch.to_pylist():
                at += 1
                yield Record(at, row)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(source.path, f"not parquet: {str(error).strip().partition(chr(10))[0][:200]}") from error


def _columns(source: Source, metadata: object, names: list[str]) -> list[str]:
    """Return the columns worth reading, having believed the file's own account of their size."""
    if len(set(names)) != len(names):
        raise DataError(source.path, "two columns have one name")
    wanted = [name for name in names if name in source.columns]
    unpacked = sum(
        chunk.total_uncompressed_size
        for group in range(metadata.num_row_groups)  # type: ignore[attr-defined]  # pyarrow has no types
        for chunk in map(metadata.row_group(group).column, range(metadata.num_columns))  # type: ignore[attr-defined]
        if chunk.path_in_schema.split(".")[0] in wanted
    )
    _demand_size(source, max(unpacked, metadata.num_rows))  # type: ignore[attr-defined]
    return wanted


def _demand_size(source: Source, unpacked: int) -> None:
    if unpacked > source.size * MAX_EXPANSION + _SPARE:
        raise DataError(source.path, f"unpacks to more than {MAX_EXPANSION} times its size")


# How a file's name ends -> how it is read. A new one is a function and a line.
_READERS: Mapping[str, Callable[[Source, BinaryIO], Iterator[Record]]] = {
    ".jsonl": _json_lines,
    ".json": _json_array,
    ".csv": _table_of_text,
    ".parquet": _table_of_columns,
    ".txt": _paragraphs,
}


def _open(path: str) -> BinaryIO:
    """Open a regular file and nothing else; O_NONBLOCK so that a FIFO is refused and not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(path, "not a regular file")
    return os.fdopen(descriptor, "rb")


def _identity(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnfitError(Reason.NOT_UTF8) from error


class _Unsound:
    """Stands, in a parsed array, for what no two readers agree on: NaN, or an object with a key twice."""

    def __init__(self, _name: str = "") -> None:
        pass


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice: readers disagree on which value counts (RFC 8259, section 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _marked(pairs: list[tuple[str, object]]) -> object:
    """Do as `_once`, but leave a mark, so that one bad row does not cost the array."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Unsound()


def _no_constant(_name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads and RFC 8259 (section 6) does not know."""
    raise ValueError


def _is_sound(value: object) -> bool:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case _Unsound():
                return False
            case dict() as inner:
                waiting.extend(inner.values())
            case list() as inner:
                waiting.extend(inner)
    return True
