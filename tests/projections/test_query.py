"""A query reads and does nothing else; its answer is exact in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.reader import Reader
from projections import catalog, formats
from projections.engine import View, ViewBusyError
from projections.query import AsOfError, list_views, parse_as_of, run, write_parquet
from projections.statement import MAX_SQL, NotReadingError, QueryError, inspect
from tests.projections import ledgers
from tests.simulator import FIRST_TICK, TICK, SmallLedger


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    return ledgers.make(tmp_path_factory.mktemp("query"))


@pytest.fixture(scope="module")
def reader(ledger: SmallLedger):
    with Reader.open_foreign(ledger.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def view(reader: Reader):
    with View.of_prefix(reader, reader.size) as opened:
        yield opened


def ask(view: View, sql: str) -> list[tuple[object, ...]]:
    return list(run(view, sql))


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def test_the_list_of_views_is_the_table_with_a_line_each():
    assert [name for name, _ in list_views()] == list(catalog.VIEWS)
    assert all(line and "\n" not in line for _, line in list_views())


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM events", [(ledgers.SIZE,)]),
        ("FROM audit_log SELECT position", [(4,), (12,), (17,)]),
        ("TABLE keys LIMIT 0", []),
        ("VALUES (1, 'a'), (2, 'b')", [(1, "a"), (2, "b")]),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) FROM n", [(1,), (2,), (3,)]),
        ("SELECT * FROM range(2), LATERAL (SELECT 7)", [(0, 7), (1, 7)]),
        ("FROM (PIVOT (SELECT outcome FROM audit_log) ON outcome IN ('done') USING count(*))", [(1,)]),
        ("SELECT 1 AS a, 2 AS a", [(1, 2)]),
        ("select ';' ; -- done;", [(";",)]),
        ("/* why */ SELECT 1 -- because", [(1,)]),
        ("SELECT view_name FROM duckdb_views() WHERE NOT internal AND view_name = 'keys'", [("keys",)]),
    ],
)
def test_what_reads_is_answered(view: View, sql: str, rows: list[tuple[object, ...]]):
    assert ask(view, sql) == rows


@pytest.mark.parametrize(
    "sql", ["DESCRIBE audit_log", "SHOW TABLES", "SUMMARIZE artifacts", "EXPLAIN SELECT 1", "explain analyze FROM keys"]
)
def test_what_describes_is_answered(view: View, sql: str):
    assert ask(view, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "INSERT INTO entries SELECT * FROM entries",
        "DELETE FROM entries",
        "UPDATE entries SET type = 'x'",
        "WITH gone AS (DELETE FROM entries RETURNING *) FROM gone",
        "SELECT (WITH gone AS (DELETE FROM entries RETURNING *) SELECT count(*) FROM gone)",
        "WITH more AS (INSERT INTO entries FROM entries RETURNING *) FROM more",
        "WITH other AS (UPDATE entries SET type = 'x' RETURNING *) FROM other",
        "WITH out AS (COPY entries TO '/tmp/x') FROM out",
        "EXPLAIN ANALYZE DELETE FROM entries",
        "EXPLAIN ANALYZE COPY entries TO '/tmp/x'",
        "EXPLAIN CREATE TABLE x(i INT)",
        "EXPLAIN (FORMAT json) SELECT 1",
        "COPY entries TO '/tmp/x'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "DROP VIEW events",
        "ATTACH '/tmp/x.duckdb'",
        "DETACH memory",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 4",
        "RESET threads",
        "SET VARIABLE x = 1",
        "PRAGMA database_list",
        "PRAGMA enable_profiling",
        "CALL enable_logging()",
        "CALL pragma_version()",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "EXPORT DATABASE '/tmp/x'",
        "IMPORT DATABASE '/tmp/x'",
        "CONNECT 'x'",
        "PIVOT entries ON type USING count(*)",
        "FROM read_text('/etc/passwd')",
        "FROM read_csv('/etc/passwd')",
        "FROM read_parquet('/etc/passwd')",
        "FROM glob('/*')",
        "FROM system.main.glob('/*')",
        "SELECT (SELECT count(*) FROM glob('/*'))",
        "FROM query('DELETE FROM entries')",
        "FROM query_table('entries')",
        "FROM json_execute_serialized_sql('x')",
        "FROM duckdb_secrets()",
        "FROM duckdb_settings()",
        "FROM arrow_scan(1, 2, 3)",
        "FROM enable_logging('QueryLog')",
        "FROM truncate_duckdb_logs()",
        "FROM checkpoint()",
        "SELECT * FROM events WHERE position = ?",
        "SELECT 1" + " " * MAX_SQL,
        "SELECT '\x00'",
    ],
)  # fmt: skip
def test_what_does_more_than_read_is_refused_in_one_line(view: View, sql: str):
    before = ask(view, "SELECT count(*), max(hash) FROM events")
    with pytest.raises(QueryError) as refused:
        ask(view, sql)
    assert "\n" not in str(refused.value)
    assert ask(view, "SELECT count(*), max(hash) FROM events") == before


def test_a_refusal_says_what_is_refused(view: View):
    with pytest.raises(NotReadingError, match="DELETE changes something"):
        inspect(view, "WITH gone AS (DELETE FROM entries RETURNING *) FROM gone")
    with pytest.raises(NotReadingError, match="table function glob"):
        inspect(view, "FROM glob('/*')")
    with pytest.raises(NotReadingError, match="2 statements"):
        inspect(view, "SELECT 1; SELECT 2")
    with pytest.raises(NotReadingError, match="CREATE is none of SELECT"):
        inspect(view, "CREATE TABLE x AS SELECT 1")


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT comand FROM audit_log", 'Candidate bindings: "command"'),
        ("FROM audit_logg", 'Did you mean "audit_log"?'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT * FROM events WHERE position = 'x'", "Could not convert string 'x' to INT64"),
        ("SELECT upper(1, 2)", "No function matches"),
        ("FROM '/etc/passwd'", "does not exist"),
        ("SELECT 1 + '\ud800'", "UTF-8"),
        ("SELECT * FROM " + "(SELECT * FROM " * 3000 + "keys" + ")" * 3000, "nested too deeply"),
        ("SELECT " + "(" * 30000 + "1" + ")" * 30000, "Max expression depth"),
        ("SELECT " + "[" * 30000 + "1" + "]" * 30000, "Max expression depth"),
        ("SELECT nobody." + "x" * 60000, "not found"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_what_was_meant(view: View, sql: str, hint: str):
    with pytest.raises(QueryError) as wrong:
        ask(view, sql)
    assert hint in str(wrong.value)
    assert "\n" not in str(wrong.value)
    assert len(str(wrong.value)) <= 500


def test_a_mistake_leaves_the_view_usable(view: View):
    with pytest.raises(QueryError):
        ask(view, "SELECT error('x') FROM range(3)")
    assert ask(view, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("NULL", None),
        ("true", True),
        ("9223372036854775807", 2**63 - 1),
        ("170141183460469231731687303715884105727", 2**127 - 1),
        ("0.1::DOUBLE", 0.1),
        ("1.10::DECIMAL(10,2)", "1.10"),
        ("make_timestamptz(1795000000000001)", "2026-11-18T11:06:40.000001Z"),
        ("make_timestamptz(0)", "1970-01-01T00:00:00.000000Z"),
        ("'infinity'::TIMESTAMPTZ", "infinity"),
        ("make_timestamp(1795000000000001)", "2026-11-18T11:06:40.000001"),
        ("'2026-11-18 11:06:40.000000001'::TIMESTAMP_NS", "2026-11-18 11:06:40.000000001"),
        ("DATE '2026-11-18'", "2026-11-18"),
        ("INTERVAL '1 month 2 days 3 seconds'", "1 month 2 days 00:00:03"),
        ("'\\x00\\xFF'::BLOB", "00ff"),
        ('\'{"b":1,"a":[2.50]}\'::JSON', '{"b":1,"a":[2.50]}'),
        ("[1, NULL]", "[1,null]"),
        ("{'é': 'x'}", '{"é":"x"}'),
        ("MAP {'k': 1}", '{"k":1}'),
        ("'0190a1b2-0000-7000-8000-00000000000a'::UUID", "0190a1b2-0000-7000-8000-00000000000a"),
        ("'a'::ENUM('a', 'b')", "a"),
    ],
)
def test_every_value_is_exact(view: View, expression: str, value: object):
    ((found,),) = ask(view, f"SELECT {expression}")
    assert (found, type(found)) == (value, type(value))


def test_making_values_exact_keeps_the_order_and_names(view: View):
    answer = run(view, "SELECT position, time, time AS t2 FROM events ORDER BY (position * 7) % 20")
    assert [(c.name, c.type) for c in answer.columns] == [
        ("position", "BIGINT"),
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("t2", "TIMESTAMP WITH TIME ZONE"),
    ]
    assert [row[0] for row in answer] == sorted(range(1, 21), key=lambda position: (position * 7) % 20)


@pytest.mark.parametrize(
    ("limit", "count", "truncated"), [(None, 5000, False), (5000, 5000, False), (4999, 4999, True), (0, 0, True)]
)
def test_an_answer_says_whether_it_was_cut(view: View, limit: int | None, count: int, *, truncated: bool):
    answer = run(view, "FROM range(5000)", max_rows=limit)
    assert [row[0] for row in answer] == list(range(count))
    assert (answer.count, answer.truncated) == (count, truncated)
    assert ask(view, "SELECT 1") == [(1,)]


def test_a_view_answers_one_question_at_a_time(reader: Reader):
    with View.of_prefix(reader, 4) as own:
        rows = iter(run(own, "FROM range(5000)"))
        next(rows)
        with pytest.raises(ViewBusyError):
            run(own, "SELECT 1")
        assert len(list(rows)) == 4999
        assert ask(own, "SELECT 1") == [(1,)]
        left = iter(run(own, "FROM range(5000)"))
        next(left)
    del left


@pytest.mark.parametrize(
    ("sql", "unstable"),
    [
        ("SELECT now()", ("now",)),
        ("SELECT current_timestamp", ("current_timestamp",)),
        ("SELECT today() - current_date", ("current_date", "today")),
        ("SELECT list_transform([1], lambda x: random())", ("random",)),
        ("FROM events USING SAMPLE 3", ("SAMPLE",)),
        ("SELECT gen_random_uuid()", ("gen_random_uuid",)),
        ("SELECT time FROM events ORDER BY position", ()),
        ("SELECT date_trunc('day', time), count(*) FROM events GROUP BY ALL", ()),
    ],
)
def test_what_cannot_give_the_same_answer_twice_is_told_apart(view: View, sql: str, unstable: tuple[str, ...]):
    assert inspect(view, sql).unstable == unstable


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("0", 0),
        ("7", 7),
        ("20", 20),
        ("2026-11-18T11:06:40Z", 0),
        ("2026-11-18T11:06:41.000001Z", 3),  # genesis
        ("2026-11-18T11:06:41.000000Z", 0),
        ("2026-11-18T11:06:43.000002Z", 4),
        ("2026-11-18T11:06:43.000003Z", 7),
        ("2026-11-18t12:06:43.000003+01:00", 7),
        ("2026-11-18T03:06:43.000003-08:00", 7),
        ("9999-12-31T23:59:59Z", 20),
        ("9999-12-31T23:59:59-23:00", 20),
        ("1970-01-01T00:00:00+10:00", 0),
    ],
)
def test_a_prefix_is_named_by_position_or_by_time(reader: Reader, text: str, position: int):
    assert FIRST_TICK + TICK == 1_795_000_001_000_001
    assert parse_as_of(reader, text) == position


@pytest.mark.parametrize(
    "text",
    [
        "",
        "21",
        "-1",
        "1.5",
        "٣",
        "1e3",
        "9" * 30,
        "yesterday",
        "2026-11-18",
        "2026-11-18T11:06:40",
        "2026-13-01T00:00:00Z",
        "2026-11-18T11:06:40+99:99",
        "2026-11-18T11:06:40.1234567Z",
    ],
)
def test_what_names_no_prefix_is_refused(reader: Reader, text: str):
    with pytest.raises(AsOfError):
        parse_as_of(reader, text)


def test_json_is_an_array_of_objects_with_exact_values(view: View):
    sql = (
        "SELECT * FROM (VALUES (1, 9007199254740992, 0.1::DOUBLE, 1.10::DECIMAL(9,2), '{\"a\":1.50}'::JSON, [1], 'nan'::DOUBLE, ['nan'::DOUBLE]), "
        "(2, -1, 1e300::DOUBLE, NULL, NULL, NULL, '-inf'::DOUBLE, NULL)) AS t(i, big, d, dec, j, l, n, ln)"
    )
    raw = b"".join(formats.to_json(run(view, sql)))
    assert raw == (
        b"[\n"
        b'{"i":1,"big":"9007199254740992","d":0.1,"dec":"1.10","j":{"a":1.50},"l":[1],"n":"NaN","ln":"[NaN]"},\n'
        b'{"i":2,"big":-1,"d":1e300,"dec":null,"j":null,"l":null,"n":"-Infinity","ln":null}\n'
        b"]\n"
    )
    assert len(json.loads(raw)) == 2


def test_an_empty_answer_is_an_empty_array(view: View):
    assert b"".join(formats.to_json(run(view, "SELECT 1 WHERE false"))) == b"[]\n"


def test_two_columns_of_one_name_are_refused_where_a_name_is_a_key(view: View, tmp_path: Path):
    with pytest.raises(QueryError, match="two columns are called 'a'"):
        list(formats.to_json(run(view, "SELECT 1 AS a, 2 AS a")))
    with pytest.raises(QueryError, match="two columns are called 'a'"):
        write_parquet(view, "SELECT 1 AS a, 2 AS a", str(tmp_path / "x"))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)


@settings(deadline=None, max_examples=50)
@given(texts, st.floats(allow_nan=False, allow_infinity=False))
def test_json_gives_texts_and_doubles_back(view: View, text: str, number: float):
    raw = b"".join(formats.to_json(run(view, f"SELECT {literal(text)} AS t, '{number!r}'::DOUBLE AS n")))
    assert json.loads(raw) == [{"t": text, "n": number}]


@settings(deadline=None, max_examples=50)
@given(texts, texts)
def test_exact_csv_gives_texts_back(view: View, first: str, second: str):
    raw = b"".join(formats.to_csv(run(view, f"SELECT {literal(first)} AS a, {literal(second)} AS b"), exact=True))
    assert list(csv.reader(io.StringIO(raw.decode(), newline=""))) == [["a", "b"], [first, second]]


def test_csv_is_rfc_4180_and_tells_null_from_an_empty_text(view: View):
    raw = b"".join(
        formats.to_csv(run(view, "SELECT NULL AS a, '' AS b, 'x,\"y' AS c, -1 AS d, true AS e, 0.5::DOUBLE AS f"))
    )
    assert raw == b'a,b,c,d,e,f\r\n,"","x,""y",-1,true,0.5\r\n'


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_csv_does_not_hand_a_formula_to_a_spreadsheet(view: View, text: str):
    (_, (field,)) = csv.reader(
        io.StringIO(b"".join(formats.to_csv(run(view, f"SELECT {literal(text)} AS a"))).decode(), newline="")
    )
    assert field == f"'{text}"


def test_markdown_is_a_table_in_which_nothing_comes_alive(view: View):
    nasty = "a|b\n<img src=x> [l](http://x) `c` *d* \\ ~e~ &amp; \x1b[31m \u202e"
    raw = b"".join(formats.to_markdown(run(view, f'SELECT {literal(nasty)} AS "a|b", NULL AS n'))).decode()
    assert raw == (
        "| a\\|b | n |\n"
        "| --- | --- |\n"
        "| a\\|b\\\\x0a\\<img src=x\\> \\[l\\](http://x) \\`c\\` \\*d\\* \\\\ \\~e\\~ \\&amp; \\\\x1b\\[31m \\\\u202e |  |\n"
    )  # fmt: skip


@given(st.text())
def test_no_control_character_is_ever_visible(text: str):
    shown = formats.visible(text)
    assert not [
        c
        for c in shown
        if ord(c) < 32
        or 127 <= ord(c) < 160
        or c in "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff"
    ]


def test_cells_are_texts(view: View):
    answer = run(view, "SELECT 1, NULL, true, 0.1::DOUBLE, 'a' || chr(27) || '[0m'")
    assert list(formats.cells(answer)) == [["1", "", "true", "0.1", "a\\x1b[0m"]]


def test_parquet_holds_the_answer_and_is_the_same_bytes_again(reader: Reader, tmp_path: Path):
    sql = "SELECT position, time, command, claimed FROM audit_log ORDER BY position;"
    files = []
    for number in range(2):
        scratch = tmp_path / str(number)
        scratch.mkdir()
        with View.of_prefix(reader, reader.size, exports=scratch) as view:
            assert write_parquet(view, sql, str(scratch / "answer.parquet")) == 3
        files.append(scratch / "answer.parquet")
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = duckdb.execute("SELECT position, epoch_us(time), command FROM read_parquet(?)", [str(files[0])]).fetchall()
    assert rows == [
        (4, 1_795_000_002_000_002, "bom emit"),
        (12, 1_795_000_006_000_006, "attest emit"),
        (17, 1_795_000_009_000_009, "query"),
    ]


def test_parquet_goes_into_the_given_directory_and_nowhere_else(reader: Reader, tmp_path: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with View.of_prefix(reader, 4, exports=scratch) as view:
        for elsewhere in (tmp_path / "x.parquet", scratch / ".." / "x.parquet", Path(f"{scratch}-not") / "x.parquet"):
            with pytest.raises(QueryError):
                write_parquet(view, "SELECT 1 AS a", str(elsewhere))
        with pytest.raises(QueryError):
            ask(view, f"FROM read_text('{scratch}/x')")
        with pytest.raises(QueryError, match="EXPLAIN"):
            write_parquet(view, "EXPLAIN SELECT 1", str(scratch / "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
