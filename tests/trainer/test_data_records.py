"""Files into records, whatever is in the file. Needs no torch."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import records
from trainer.data.reasons import MAX_ROW_BYTES, Reason
from trainer.data.records import Source
from trainer.errors import DataError

ROWS = [{"text": "one"}, {"text": "two, three"}, {"text": 'four "five"\nsix'}]


def read(path: Path, columns: frozenset[str] = frozenset({"text"})) -> tuple[Source, list[tuple[int, object]]]:
    source = Source(str(path), columns)
    return source, [(record.at, record.value) for record in source.records()]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def as_json_lines(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def as_json(path: Path) -> None:
    path.write_text(json.dumps(ROWS, indent=2))


def as_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text"])
        writer.writeheader()
        writer.writerows(ROWS)


def as_parquet(path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'soup-ledger[train]'")
    import duckdb

    # Written by another library than the one that reads.
    values = ", ".join("('" + row["text"].replace("'", "''") + "', 7)" for row in ROWS)
    duckdb.connect().execute(
        f"COPY (SELECT * FROM (VALUES {values}) AS rows(text, other)) TO '{path}' (FORMAT parquet)"
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", as_json_lines),
        ("a.json", as_json),
        ("a.json", as_json_lines),
        ("a.CSV", as_csv),
        ("a.parquet", as_parquet),
    ],
)
def test_the_same_rows_come_out_of_every_kind_of_file(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    source, found = read(tmp_path / name)
    assert [value for _, value in found] == ROWS
    content = (tmp_path / name).read_bytes()
    assert (source.sha256, source.size) == (hashlib.sha256(content).hexdigest(), len(content))


def test_a_paragraph_is_a_document(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", b"\n\none\ntwo\n  \n\nthree\r\n\r\nfour\xff\n\nfive")
    assert read(path)[1] == [
        (3, {"text": "one\ntwo"}),
        (7, {"text": "three"}),
        (9, Reason.NOT_UTF8),
        (11, {"text": "five"}),
    ]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1, max_size=8)))
def test_no_line_of_a_text_file_is_lost(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = written(tmp_path_factory.mktemp("text") / "a.txt", "\n".join(lines).encode())
    texts = [value["text"] for _, value in read(path)[1] if isinstance(value, dict)]
    # What bytes call blank and what Python calls blank differ for U+0085 and its like: those are text.
    kept = [line for line in lines if line.encode().strip()]
    assert [line for text in texts for line in text.split("\n")] == [line for line in kept if line]


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    for name, content in (
        ("a.jsonl", b'{"text": "x"}'),
        ("a.json", b'[{"text": "x"}]'),
        ("a.csv", b"text\nx\n"),
        ("a.txt", b"x"),
    ):
        assert [value for _, value in read(written(tmp_path / name, mark + content))[1]] == [{"text": "x"}]


BAD_LINES: dict[Reason, list[bytes]] = {
    Reason.NOT_UTF8: [b'{"text": "\xff"}'],
    Reason.NOT_JSON: [
        b"hello",
        b"{",
        b'{"a": 1, "a": 1}',
        b'{"a": NaN}',
        b"[" * 100_000,
        b"1" * 5000,
        b'{"a": Infinity}',
    ],
    Reason.TOO_LARGE: [b'"' + b"x" * MAX_ROW_BYTES + b'"', b'"' + b"x" * (3 * MAX_ROW_BYTES) + b'"'],
}


@pytest.mark.parametrize(
    ("reason", "line"), [(r, line) for r, lines in BAD_LINES.items() for line in lines], ids=lambda v: str(v)[:30]
)
def test_a_bad_line_costs_itself_alone(tmp_path: Path, reason: Reason, line: bytes) -> None:
    good = b'{"text": "x"}'
    path = written(tmp_path / "a.jsonl", b"\n".join([good, b"", line, good]))
    assert read(path)[1] == [(1, {"text": "x"}), (3, reason), (4, {"text": "x"})]


def test_a_bad_element_of_an_array_costs_itself_alone(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", b'[{"a": {"b": 1, "b": 2}}, {"c": [NaN]}, {"d": 1}]')
    assert read(path)[1] == [(1, Reason.NOT_JSON), (2, Reason.NOT_JSON), (3, {"d": 1})]


def test_a_bad_line_of_csv_costs_itself_alone(tmp_path: Path) -> None:
    content = b'a,b\n1,2\n1,2,3\n1\n\xff,2\n"x"y,2\n\n"p\nq",2\n' + b"x" * (MAX_ROW_BYTES + 5) + b",1\n5,6\n7,\0\n"
    found = read(written(tmp_path / "a.csv", content))[1]
    assert found == [
        (2, {"a": "1", "b": "2"}),
        (3, Reason.NOT_CSV),
        (4, Reason.NOT_CSV),
        (5, Reason.NOT_UTF8),
        (6, Reason.NOT_CSV),
        (8, {"a": "p\nq", "b": "2"}),
        (10, Reason.TOO_LARGE),
        (11, {"a": "5", "b": "6"}),
        (12, {"a": "7", "b": "\0"}),
    ]


def test_a_quote_that_never_ends_is_not_held_in_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b'a\n"' + b"line\n" * (MAX_ROW_BYTES // 4))
    reasons = [value for _, value in read(path)[1] if isinstance(value, Reason)]
    assert reasons[0] == Reason.TOO_LARGE


def test_the_limit_of_the_csv_module_is_left_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    read(written(tmp_path / "a.csv", b"text\n" + b"x" * 200_000 + b"\n"))
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("a.json", b'"text"', "not an array of rows"),
        ("a.json", b"[", "not JSON"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b"[\xff]", "not UTF-8 (byte 1)"),
        ("a.csv", b"a,a\n1,2\n", "two columns have one name"),
        ("a.csv", b'a"b,"c"d\n', "its first line is not CSV"),
        ("a.csv", b"\xff\n", "its first line is not CSV"),
        ("a.jsonl.gz", b"", "its name ends in none of .jsonl, .json, .csv, .parquet, .txt"),
        ("rows", b"", "its name ends in none of"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str, content: bytes, finding: str) -> None:
    with pytest.raises(DataError) as refusal:
        read(written(tmp_path / name, content))
    assert finding in str(refusal.value)


def test_an_array_too_large_to_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_ARRAY_BYTES", 10)
    with pytest.raises(DataError, match="write JSON lines"):
        read(written(tmp_path / "a.json", b"[1,1,1,1,1]"))


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jsonl")
    (tmp_path / "folder.jsonl").mkdir()
    for name, finding in (("fifo", "not a regular file"), ("folder", "not a regular file"), ("absent", "No such file")):
        with pytest.raises(DataError, match=finding):
            read(tmp_path / f"{name}.jsonl")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", b'{"text": "x"}\n' * 3)
    reading = Source(str(path), frozenset()).records()
    next(reading)
    with path.open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(DataError, match="changed while it was read"):
        list(reading)


# Parquet.


@pytest.fixture
def pa() -> Any:
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'soup-ledger[train]'")


def parquet(path: Path, table: Any, **options: Any) -> Path:
    from pyarrow.parquet import write_table

    write_table(table, path, **options)
    return path


def test_without_pyarrow_parquet_is_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow: pip install 'soup-ledger\[train\]'"):
        read(written(tmp_path / "a.parquet", b"PAR1"))


def test_nested_columns_of_parquet_are_rows_like_any_other(tmp_path: Path, pa: Any) -> None:
    messages = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], None]
    path = parquet(tmp_path / "a.parquet", pa.table({"messages": messages, "image": [b"x", b"y"]}))
    assert read(path, frozenset({"messages"}))[1] == [(1, {"messages": messages[0]}), (2, {"messages": None})]


def test_a_table_that_unpacks_to_far_more_than_its_file_is_refused(
    tmp_path: Path, pa: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_SPARE", 0)
    repeated = pa.table({"text": ["x" * 1_000_000] * 100})
    # A dictionary holds the text once; the file says nothing of what its repetitions come to.
    for options in ({"use_dictionary": True}, {"use_dictionary": False, "compression": "zstd"}):
        path = parquet(tmp_path / "a.parquet", repeated, **options)
        with pytest.raises(DataError, match="unpacks to more than 1000 times its size"):
            read(path)


def test_bytes_that_are_no_parquet_are_refused_in_a_line(tmp_path: Path, pa: Any) -> None:
    whole = io.BytesIO()
    from pyarrow.parquet import write_table

    write_table(pa.table({"text": ["x"] * 50}), whole)
    for content in (b"", b"PAR1", b"PAR1" * 5, whole.getvalue()[:-9], whole.getvalue().replace(b"text", b"t\xff\xfet")):
        with pytest.raises(DataError) as refusal:
            read(written(tmp_path / "a.parquet", content))
        assert "\n" not in str(refusal.value)
