"""Views show a prefix of the ledger, the whole of it and nothing else, from an engine that can only answer."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import duckdb
import pytest

from ledger.decode import decode_event
from ledger.errors import AlteredError
from ledger.events import EVENT_TYPES
from ledger.reader import Reader
from projections import catalog, engine, load
from projections.engine import View
from projections.query import run
from tests.projections import ledgers
from tests.projections import run_ledger as with_run
from tests.simulator import ROOT, Saboteur, SmallLedger

SQL = Path(catalog.__file__).parent / "sql"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    return ledgers.make(tmp_path_factory.mktemp("engine"))


@pytest.fixture
def reader(ledger: SmallLedger):
    with Reader.open_foreign(ledger.path) as opened:
        yield opened


@pytest.fixture(scope="module")
def run_ledger(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    return with_run.make(tmp_path_factory.mktemp("run"))


@pytest.fixture
def later(run_ledger: SmallLedger):
    with Reader.open_foreign(run_ledger.path) as opened:
        yield opened


def contents(view: View) -> dict[str, list[tuple[object, ...]]]:
    return {name: list(run(view, f"FROM {name}")) for name in catalog.VIEWS}


def test_no_module_of_the_engine_loads_duckdb():
    modules = ("engine", "load", "catalog", "cache", "stamp", "query", "statement", "formats", "receipt")
    program = "import sys\n" + "".join(f"import projections.{name}\n" for name in modules)
    done = subprocess.run(
        [sys.executable, "-c", program + "print('duckdb' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_every_file_is_in_the_table_and_every_line_of_the_table_has_a_file():
    assert {path.name for path in SQL.iterdir()} == {catalog.ENTRIES, catalog.SCAN, *catalog.VIEWS.values()}


@pytest.mark.parametrize("name", catalog.VIEWS)
def test_a_file_describes_its_view_creates_it_and_orders_it_by_position(name: str):
    first, second, *rest = catalog.statement(catalog.VIEWS[name]).splitlines()
    assert first == f"-- {catalog.description(name)}"
    assert 10 < len(catalog.description(name)) < 110
    assert second.startswith("-- Ordered by position")
    assert f"CREATE VIEW {name} AS" in rest
    assert key_of(name).split(", ")[0].rpartition(".")[2] == "position"


def test_the_digest_changes_with_any_file(monkeypatch: pytest.MonkeyPatch):
    before = catalog.digest()
    seen = {before}
    for changed in (catalog.ENTRIES, catalog.SCAN, *catalog.VIEWS.values()):
        catalog.digest.cache_clear()
        with monkeypatch.context() as patch:
            patch.setattr(catalog, "statement", lambda file, changed=changed: file + " " * (file == changed))
            seen.add(catalog.digest())
    catalog.digest.cache_clear()
    assert len(seen) == len(catalog.VIEWS) + 3
    assert catalog.digest() == before


def key_of(name: str) -> str:
    """The columns that a view's file orders its rows by."""
    return catalog.statement(catalog.VIEWS[name]).rstrip().rstrip(";").rpartition("ORDER BY ")[2]


@pytest.mark.parametrize("name", catalog.VIEWS)
def test_rows_of_a_view_are_in_the_order_of_their_key_which_is_unique(later: Reader, name: str):
    columns = [column.rpartition(".")[2] for column in key_of(name).split(", ")]
    with View.of_prefix(later, later.size) as view:
        keys = view.rows(f"SELECT {', '.join(columns)} FROM {name}")
    assert keys
    assert columns[0] == "position"
    assert keys == sorted(set(keys))


def test_events_are_the_entries_of_the_ledger_each_with_its_header_and_payload(reader: Reader):
    with View.of_prefix(reader, reader.size) as view:
        rows = view.rows(
            'SELECT position, stream, version, type, epoch_us(time), epoch_us(logged), command_id, author, "commit", '
            "commit_index, commit_size, payload_sha256, size, previous, hash, payload::VARCHAR FROM events"
        )
    assert [row[0] for row in rows] == list(range(1, ledgers.SIZE + 1))
    for row, record in zip(rows, reader.records(), strict=True):
        assert row == (
            record.position, record.stream, record.version, record.type, record.time, record.logged, record.command,
            record.author, record.commit, record.commit_index, record.commit_size, record.payload_sha256.hex(),
            record.size, record.previous.hex(), record.hash.hex(), (record.payload or b"").decode(),
        )  # fmt: skip
        assert decode_event(row[3], row[15].encode()) == record.event()


def test_every_event_is_read_by_a_view_of_its_own_but_for_two_that_events_shows():
    text = "".join(map(catalog.statement, catalog.VIEWS.values()))
    unread = {name for name in EVENT_TYPES if f"'{name}'" not in text}
    assert unread == {"ledger.created/1", "audit_log.segment_sealed/1"}


def test_the_audit_log_joins_both_ends_of_a_command(reader: Reader):
    columns = "position, command, argv, outcome, exit_code, duration_ms, error, uid, operator, claimed->>'USER', redactions, finished_position"
    with View.of_prefix(reader, reader.size) as view:
        assert view.rows(f"SELECT {columns} FROM audit_log") == [
            (4, "bom emit", "soup bom emit --name 'it'\"'\"'s a model' base64:/w==", "done", 0, 1234, None, 1000, "ada", "root", 6, 11),
            (12, "attest emit", "soup attest emit", "failed", 1, 1234, "no space left\non device", 1000, "ada", "root", 6, 16),
            (17, "query", "soup query", "open", None, None, None, 1000, "ada", "root", 3, None),
        ]  # fmt: skip


def test_documents_tell_published_from_rendered_and_who_signed(reader: Reader):
    columns = "position, kind, sha256, size, derives_from, target, state, published_position, signing_key, command_id"
    sha, command = ledgers.sha, ledgers.command
    with View.of_prefix(reader, reader.size) as view:
        assert view.rows(f"SELECT {columns} FROM documents") == [
            (8, "bom.cyclonedx", sha(20), 20, 7, "/srv/m.cdx.json", "published", 10, None, command(1)),
            (9, "bom.spdx", sha(21), 21, 7, None, "rendered, not published", None, None, command(1)),
            (
                15,
                "attestation",
                sha(31),
                31,
                7,
                "/srv/train.json",
                "rendered, not published",
                None,
                sha(77),
                command(2),
            ),
        ]


def test_boms_and_attestations_name_the_documents_that_carry_them(reader: Reader):
    sha = ledgers.sha
    with View.of_prefix(reader, reader.size) as view:
        assert view.rows("SELECT name, model_sha256, model_origin, base_sha256, data_sha256, data_origin, cyclonedx_sha256, spdx_sha256 FROM boms") == [
            ("llama", sha(1), "observed", None, [sha(3), sha(4)], ["declared", "observed"], sha(20), sha(21)),
        ]  # fmt: skip
        assert view.rows("SELECT stage, subject, subject_sha256, epoch_us(started_on), finished_on, envelope_sha256, target, signing_key FROM attestations") == [
            ("train", "adapter.safetensors", sha(1), 1_795_377_600_000_001, None, sha(31), "/srv/train.json", sha(77)),
        ]  # fmt: skip


def test_artifacts_keys_queries_and_exports_show_what_was_recorded(reader: Reader):
    sha = ledgers.sha
    with View.of_prefix(reader, reader.size) as view:
        assert view.rows("SELECT position, role, sha256, origin, kind, path, size, files FROM artifacts") == [
            (5, "model", sha(1), "observed", "directory", "/srv/m", 30, 2),
            (6, "data", sha(3), "declared", None, None, None, None),
        ]
        keys = view.rows("SELECT role, admin, key, public, registered_by FROM keys")
        assert [key[:2] for key in keys] == [("author", True), ("log", False)]
        assert all(key[4] == keys[0][2] for key in keys)
        assert view.rows("SELECT sql, head, as_of, rows, receipt_sha256 FROM queries") == [
            ("FROM events", 16, None, 16, sha(41))
        ]
        assert view.rows("SELECT format, entries, checkpoint, files, sha256 FROM exports") == [
            ("sqlite", 16, "note", ["l.db"], [sha(50)])
        ]


def test_a_run_its_energy_and_its_evaluations_are_a_row_each(later: Reader):
    with View.of_prefix(later, later.size) as view:
        assert view.rows("SELECT run, outcome, output_sha256, steps, error FROM runs") == [
            (with_run.RUN, "completed", with_run.DONE.digest.sha256, 8, None),
            (with_run.FAILED, "failed", None, None, "the loss is nan"),
        ]
        assert view.rows("SELECT step, metric, value FROM evaluations") == [(4, "loss", 2.75), (8, "loss", 2.5)]
        assert view.rows("SELECT origin, run, kwh::VARCHAR, co2_g::VARCHAR, zone FROM energy") == [
            ("observed", with_run.RUN, "0.012500000000", "5.225000000", "DE"),
            ("declared", None, "0.012500000000", "5.225000000", "DE"),
        ]


def test_one_question_shows_what_a_model_was_made_from(later: Reader):
    with View.of_prefix(later, later.size) as view:
        rows = view.rows(
            "SELECT role, name, version, sha256, origin FROM dependencies WHERE model = 'devils-dictionary'"
        )
    begun = with_run.BEGUN
    assert rows == [
        ("base", begun.base, begun.base_revision, begun.base_digest.sha256, "observed"),
        ("config", None, None, begun.config.sha256, "observed"),
        ("data", None, None, begun.data[0].sha256, "observed"),
        ("package", "safetensors", "0.6.2", None, "observed"),
        ("package", "torch", "2.13.0+cpu", None, "observed"),
        ("package", "sympy", "1.14.0", None, "observed"),
    ]


def test_a_signature_names_its_backend_and_the_documents_that_carry_it(later: Reader):
    sha = ledgers.sha
    with View.of_prefix(later, later.size) as view:
        assert view.rows("SELECT backend, key, payload_sha256, documents FROM signatures") == [
            ("ed25519", sha(77), sha(30), [sha(31)]),
            ("ecdsa-p256", "hint", sha(63), [sha(72)]),
        ]
        assert view.rows("SELECT kind, signing_key FROM documents WHERE position > 20") == [
            ("bom.cyclonedx", None),
            ("bom.spdx3", None),
            ("bom.cyclonedx.statement", "hint"),
        ]
        found = view.rows(
            "SELECT run, base_revision, artifact_sha256, spdx3_sha256, statements FROM boms WHERE position > 20"
        )
        assert found == [(with_run.RUN, with_run.BEGUN.base_revision, [sha(62)], sha(71), [sha(72)])]
        assert view.rows("SELECT format, parameters FROM artifacts WHERE position > 20") == [("gguf", 5)]


def test_a_prefix_shows_its_entries_and_no_other(reader: Reader):
    for last in range(0, ledgers.SIZE + 1, 4):
        with View.of_prefix(reader, last) as view:
            assert view.rows("SELECT position FROM events") == [(position,) for position in range(1, last + 1)]
            assert view.last == last


def test_what_is_published_later_is_not_yet_published(reader: Reader):
    with View.of_prefix(reader, 9) as view:
        assert view.rows("SELECT state, published_position FROM documents") == [("rendered, not published", None)] * 2
        assert view.rows("SELECT outcome, finished_position FROM audit_log") == [("open", None)]


def test_a_view_of_streams_shows_these_up_to_the_position_and_reads_no_other(reader: Reader):
    with View.of_streams(reader, [ledgers.stream(1), f"dataset/{ledgers.sha(3)}", "run/unheard-of"], 10) as view:
        assert view.rows("SELECT position FROM events") == [(4,), (6,), (7,)]
        assert view.rows("SELECT name FROM boms") == [("llama",)]


def test_a_view_of_all_streams_is_the_view_of_the_prefix(reader: Reader):
    streams = {record.stream for record in reader.records()}
    with View.of_streams(reader, streams, reader.size) as some, View.of_prefix(reader, reader.size) as prefix:
        assert contents(some) == contents(prefix)


def test_a_large_prefix_lies_in_a_file_and_shows_the_same(reader: Reader, monkeypatch: pytest.MonkeyPatch):
    with View.of_prefix(reader, 15) as view:
        expected = contents(view)
    monkeypatch.setattr(engine, "LARGE", 1)
    with View.of_prefix(reader, 15) as view:
        assert contents(view) == expected
        (path,) = view.rows("SELECT path FROM duckdb_databases() WHERE database_name = 'built'")[0]
        assert Path(path).parent.stat().st_mode & 0o077 == 0
    assert not Path(path).parent.exists()


def test_several_processes_fill_a_file_as_one_does(
    ledger: SmallLedger, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    load.fill(tmp_path / "one.duckdb", reader, load.Span(1, 15))
    monkeypatch.setattr(load, "SPAN", 5)
    monkeypatch.setattr(load, "_processes", lambda: 3)
    parts = tmp_path / "parts"
    parts.mkdir()
    load.fill(parts / "three.duckdb", reader, load.Span(1, 15))
    rows = []
    for path in (tmp_path / "one.duckdb", parts / "three.duckdb"):
        with duckdb.connect(str(path), read_only=True) as connection:
            rows.append(connection.execute("FROM entries").fetchall())
    assert rows[0] == rows[1] == [load.row(record) for record in reader.records(1, 15)]
    assert not list(ledger.path.parent.glob("ledger.db-*"))  # a stranger's ledger: no process left a trace


def test_where_a_process_is_killed_one_fills_the_file_alone(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load, "SPAN", 5)
    monkeypatch.setattr(load, "_processes", lambda: 3)
    monkeypatch.setattr(load, "_fill_part", ledgers.die)
    load.fill(tmp_path / "x.duckdb", reader, load.Span(1, 15))
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as connection:
        assert connection.execute("FROM entries").fetchall() == [load.row(record) for record in reader.records(1, 15)]


@pytest.mark.parametrize("processes", range(1, 9))
@pytest.mark.parametrize("size", [1, 49_999, 100_000, 1_000_003])
def test_the_parts_of_a_span_tile_it(size: int, processes: int):
    parts = load.split(load.Span(11, 10 + size), processes)
    assert (parts[0].first, parts[-1].last) == (11, 10 + size)
    assert all(after.first == before.last + 1 for before, after in pairwise(parts))
    assert sum(part.last - part.first + 1 for part in parts) == size
    assert all(part.last - part.first + 1 >= load.SPAN for part in parts) or len(parts) == 1


def test_an_edited_entry_is_named_and_not_shown(ledger: SmallLedger, tmp_path: Path):
    copy = ledger.copy_to(tmp_path / "copy")
    Saboteur(copy).edit("payloads", "body", "position = 7", "CAST(replace(body, 'llama', 'other') AS BLOB)")
    with Reader.open_foreign(copy.path) as reader:
        with pytest.raises(AlteredError) as found:
            View.of_prefix(reader, reader.size)
        assert found.value.position == 7
        View.of_prefix(reader, 6).close()


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sha256":"a","sha256":"b"}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"{",
        b"",
        b'{"a":"\xff"}',
        b'{"a":NaN}',
        b"[" * 2000 + b"]" * 2000,
    ],
)
def test_a_payload_with_two_readings_is_refused_and_not_interpreted(reader: Reader, payload: bytes):
    record = reader.record(6)
    assert record is not None
    with pytest.raises(AlteredError, match="entry 6"):
        load.row(record._replace(payload=payload))


def test_an_erased_payload_is_null(reader: Reader):
    record = reader.record(6)
    assert record is not None
    assert load.row(record._replace(payload=None))[-1] is None


OF_THE_PROGRAM = [("a variable", 1)]


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_text('/etc/passwd')",
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM glob('/*')",
        "FROM OF_THE_PROGRAM",
        "COPY entries TO '{tmp}/x.csv'",
        "COPY entries TO '{tmp}/x.parquet' (FORMAT parquet)",
        "EXPORT DATABASE '{tmp}/x'",
        "ATTACH '{tmp}/x.duckdb'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 4",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET TimeZone = 'Asia/Tokyo'",
        "RESET enable_external_access",
        "PRAGMA enable_profiling",
        "FROM enable_logging('QueryLog')",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "DELETE FROM entries",
        "UPDATE entries SET type = 'x'",
        "DROP VIEW events",
        "CREATE OR REPLACE VIEW events AS SELECT 1",
        "CREATE TABLE x AS SELECT 1",
        "WITH gone AS (DELETE FROM entries RETURNING *) FROM gone",
    ],
)
def test_the_engine_itself_refuses_everything_but_reading(reader: Reader, tmp_path: Path, statement: str):
    with View.of_prefix(reader, reader.size) as view:
        with view.reading() as connection, pytest.raises(duckdb.Error):
            connection.execute(statement.replace("{tmp}", str(tmp_path))).fetchall()
        assert view.rows("SELECT count(*) FROM events") == [(ledgers.SIZE,)]
    assert list(tmp_path.iterdir()) == []


def test_times_are_utc_wherever_the_machine_stands(reader: Reader):
    program = (
        "import sys; from pathlib import Path; from ledger.reader import Reader; from projections.engine import View\n"
        "with Reader.open_foreign(Path(sys.argv[1])) as r, View.of_prefix(r, 4) as v:\n"
        "    print(v.rows(\"SELECT time::VARCHAR, date_trunc('day', time)::VARCHAR FROM events WHERE position = 4\"))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(reader.path)],
        cwd=ROOT,
        env={"TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[('2026-11-18 11:06:42.000002+00', '2026-11-18 00:00:00+00')]\n"


def test_an_extension_is_not_fetched(reader: Reader):
    with View.of_prefix(reader, 1) as view:
        settings = dict(view.rows("SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%extensions'"))
        assert settings == {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
