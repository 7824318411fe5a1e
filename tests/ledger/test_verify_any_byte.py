"""Any bit of any byte of any column of any row of any table, SQLite's own included: a flip is found."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ledger.errors import LedgerError
from tests.simulator import (
    TABLES,
    Saboteur,
    SmallLedger,
)


@pytest.fixture(scope="module")
def cells(template: SmallLedger) -> Sequence[tuple[str, int, str]]:
    """Every table, row (counted from 0) and column; what SQLite keeps for itself is a table like the others."""
    connection = sqlite3.connect(template.path)
    try:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
        ]
        assert set(names) == set(TABLES)
        found = []
        for name in names:
            (rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            found += [(name, row, column) for row in range(rows) for column in columns]
        return found
    finally:
        connection.close()


def flip(ledger: SmallLedger, cell: tuple[str, int, str], offset: int, bit: int) -> bool:
    """Flip one bit of one column of one row. False where a constraint of the table itself forbids it."""
    table, row, column = cell
    saboteur = Saboteur(ledger)
    try:
        with saboteur.open() as connection:
            key = f"(SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {row})"
            kind, value, raw = connection.execute(
                f'SELECT typeof("{column}"), "{column}", CAST("{column}" AS BLOB) FROM {table} WHERE rowid = {key}'
            ).fetchone()
            if kind == "null":
                new, mark = offset, "?"
            elif kind == "integer":
                new, mark = value ^ 1 << (offset * 8 + bit) % 62, "?"
            else:
                at = offset % len(raw)
                new = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
                mark = "?" if kind == "blob" else "CAST(? AS TEXT)"
            connection.execute(f'UPDATE {table} SET "{column}" = {mark} WHERE rowid = {key}', (new,))
    except sqlite3.IntegrityError:
        return False
    return True


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped")


def assert_found(template: SmallLedger, bench: Path, cell: tuple[str, int, str], offset: int, bit: int) -> bool:
    ledger = template.copy_to(bench)
    if not flip(ledger, cell, offset, bit):
        return False
    with pytest.raises(LedgerError):
        ledger.verify()
    return True


@settings(max_examples=200, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data(), offset=st.integers(0, 2000), bit=st.integers(0, 7))
def test_a_flipped_bit_of_any_byte_of_any_column_is_found(
    template: SmallLedger,
    bench: Path,
    cells: Sequence[tuple[str, int, str]],
    data: st.DataObject,
    offset: int,
    bit: int,
) -> None:
    assume(assert_found(template, bench, data.draw(st.sampled_from(cells)), offset, bit))


@pytest.mark.slow
def test_a_flip_in_every_cell_of_every_table_is_found(
    template: SmallLedger, bench: Path, cells: Sequence[tuple[str, int, str]]
) -> None:
    tried = sum(assert_found(template, bench, cell, offset, bit) for cell in cells for offset, bit in ((0, 0), (1, 3)))
    assert tried > len(cells)
