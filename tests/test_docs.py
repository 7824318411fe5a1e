"""What the documents say is run: the tour of the README in an empty directory, its queries, its tables.

The tour runs once, as one user would type it; the tests look at what came of it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import duckdb
import pytest

from commands import errors, export
from commands.registry import COMMANDS
from commands.version import VERSION
from projections import catalog

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROOMS = ("ledger", "projections", "commands", "trainer")
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", *(f"{room}/README.md" for room in ROOMS))
BLOCK = re.compile(r"^```console run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SQL = dict(re.findall(r"^```sql ([a-z]+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
COMMAND_LINE = re.compile(r"^\$ ((?:.*\\\n)*.*)$", re.MULTILINE)
EXIT = re.compile(r"#\s*exit (\d+)\s*$")
# No other variable of whoever runs the tests reaches what is run here.
KEPT = ("LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


TOUR = pytest.mark.xdist_group("tour")  # one worker, so that the tour is walked once


@dataclass(frozen=True)
class Step:
    """A command of the README, and what it did."""

    line: str
    wanted: int
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Tour:
    """The directory in which the tour ran, and its steps."""

    directory: Path
    steps: tuple[Step, ...]


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Tour:
    home = tmp_path_factory.mktemp("home")
    directory = tmp_path_factory.mktemp("tour")
    return Tour(directory, tuple(walk(home, directory)))


def walk(home: Path, directory: Path) -> Iterator[Step]:
    """Run what the README shows, in its order, each command in a shell of its own."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | {
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for block in BLOCK.findall(README):
        for line in COMMAND_LINE.findall(block):
            done = subprocess.run(
                ["bash", "-c", line], cwd=directory, env=environment, capture_output=True, text=True, check=False
            )
            wanted = EXIT.search(line)
            yield Step(line, int(wanted[1]) if wanted else 0, done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
@TOUR
def test_every_command_of_the_readme_exits_as_the_readme_says(tour: Tour) -> None:
    assert len(tour.steps) > 20
    assert [f"{step.line}\n-> {step.code}: {step.stderr}" for step in tour.steps if step.code != step.wanted] == []


@pytest.mark.slow
@TOUR
def test_the_tour_leaves_what_the_readme_says(tour: Tour) -> None:
    for name in ("manifests/llama3-bom.cdx.json", "manifests/llama3-bom.spdx.json", "attestations/train.json"):
        json.loads((tour.directory / name).read_bytes())
    assert {path.name for path in (tour.directory / "export").iterdir()} == {
        "entries.jsonl", "commits.jsonl", "keys.jsonl", "checkpoint", "trust-root.json", "README.txt",
    }  # fmt: skip
    failed = next(step for step in tour.steps if "--failed --json" in step.line).stdout
    assert [json.loads(line)["exit_code"] for line in failed.splitlines()] == [4]


@pytest.mark.slow
@TOUR
def test_the_ledger_specification_names_every_column_of_an_export(tour: Tour) -> None:
    text = (ROOT / "ledger" / "README.md").read_text(encoding="utf-8")
    for table in ("entries", "commits", "keys"):
        row = next(line for line in text.splitlines() if line.startswith(f"| `{table}.jsonl`"))
        with (tour.directory / "export" / f"{table}.jsonl").open(encoding="utf-8") as lines:
            assert (
                re.findall(r"`(\w+)`", row.rpartition("| `position`" if table != "commits" else "| `first`")[2])
                == (list(json.loads(next(lines)))[1:])
            )


# The auditor's SQL.


def ask(name: str, directory: Path, form: str) -> list[int]:
    """Run a query of the README, as it stands there, on an export in `directory`."""
    statement = SQL[name].replace("'entries.jsonl'", f"'{directory / f'entries.{form}'}'")
    with duckdb.connect(":memory:") as database:
        return [position for (position,) in database.execute(statement).fetchall()]


@pytest.mark.slow
@TOUR
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", ["chain", "payloads"])
def test_the_queries_find_nothing_in_an_untouched_export(tour: Tour, name: str, form: str) -> None:
    directory = tour.directory / ("export" if form == "jsonl" else "export-parquet")
    with duckdb.connect(":memory:") as database:
        rows = database.execute(f"SELECT count(*) FROM '{directory / f'entries.{form}'}'").fetchone()
    assert rows is not None
    assert rows[0] > 40
    assert ask(name, directory, form) == []


EDITS = {
    "a header": ("chain", "replace(header, '\"version\":1', '\"version\":2')", "header", [7]),
    "a hash": ("chain", "repeat('f', 64)", "hash", [7, 8]),
    "a link": ("chain", "repeat('f', 64)", "previous", [7]),
    "a payload": ("payloads", "payload || ' '", "payload", [7]),
    "a salt": ("payloads", "repeat('0', 64)", "salt", [7]),
    "an absent payload": ("payloads", "NULL", "payload", [7]),
    "an absent header": ("chain", "NULL", "header", [7]),
    "an absent hash": ("chain", "NULL", "hash", [7, 8]),
}


@pytest.mark.slow
@TOUR
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@pytest.mark.parametrize(("name", "value", "column", "found"), EDITS.values(), ids=EDITS.keys())
def test_the_queries_name_the_row_that_was_edited(
    tour: Tour, tmp_path: Path, form: str, name: str, value: str, column: str, found: list[int]
) -> None:
    source = tour.directory / ("export" if form == "jsonl" else "export-parquet") / f"entries.{form}"
    typed = "decode(header) AS header" if form == "parquet" else "header AS header"
    back = "encode(header) AS header" if form == "parquet" else "header AS header"
    edited = (
        f"SELECT * REPLACE ({back}) FROM (SELECT * REPLACE (CASE WHEN position = 7 THEN {value} ELSE {column} END "
        f"AS {column}) FROM (SELECT * REPLACE ({typed}) FROM '{source}'))"
    )
    write(edited, tmp_path / f"entries.{form}")
    assert ask(name, tmp_path, form) == found


@pytest.mark.slow
@TOUR
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_the_chain_query_names_the_row_behind_one_that_was_taken_out(tour: Tour, tmp_path: Path, form: str) -> None:
    source = tour.directory / ("export" if form == "jsonl" else "export-parquet") / f"entries.{form}"
    write(f"SELECT * FROM '{source}' WHERE position <> 7", tmp_path / f"entries.{form}")
    assert ask("chain", tmp_path, form) == [8]


def write(statement: str, path: Path) -> None:
    """Write an altered export in the form that the name of `path` says."""
    form = {".jsonl": "json", ".parquet": "parquet"}[path.suffix]
    with duckdb.connect(":memory:") as database:
        database.execute(f"COPY ({statement} ORDER BY position) TO '{path}' (FORMAT {form})")


@pytest.mark.slow
@TOUR
@pytest.mark.parametrize("name", ["chain", "payloads"])
def test_the_readme_and_every_export_show_the_same_query(tour: Tour, name: str) -> None:
    query = " ".join(SQL[name].split())
    assert query in " ".join(export.README.format(entries="entries.jsonl").split())
    assert query in " ".join((tour.directory / "export" / "README.txt").read_text(encoding="utf-8").split())


# Commands, options, tables.


def leaves() -> list[tuple[str, click.Command]]:
    """Give every command that can be typed, by its full name."""
    found: list[tuple[str, click.Command]] = []
    for name, row in COMMANDS.items():
        command = getattr(importlib.import_module(row.module), row.attribute)
        members = command.commands if isinstance(command, click.Group) else None
        found += (
            [(f"soup {name}", command)] if members is None else [(f"soup {name} {m}", c) for m, c in members.items()]
        )
    return found


@pytest.mark.parametrize("name", [name for name, _ in leaves()])
def test_every_command_stands_in_the_table_of_the_readme_and_is_shown_at_work(name: str) -> None:
    assert f"| `{name}` |" in README
    assert any(line.startswith(name) for block in BLOCK.findall(README) for line in COMMAND_LINE.findall(block))


def test_the_readme_names_no_command_that_is_none() -> None:
    assert set(re.findall(r"^\| `(soup [a-z -]+)` \|", README, re.MULTILINE)) == {name for name, _ in leaves()}


@pytest.mark.parametrize(("name", "command"), leaves(), ids=[name for name, _ in leaves()])
def test_every_command_and_every_option_has_a_help_text(name: str, command: click.Command) -> None:
    assert command.help
    silent = [each.opts[0] for each in command.params if isinstance(each, click.Option) and not each.help]
    assert silent == []


@pytest.mark.parametrize("document", ["README.md", "commands/README.md"])
def test_the_tables_of_exit_codes_list_every_code_that_a_command_may_exit_with(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d[\d, ]*) \|", text.partition("## Exit codes")[2].partition("\n## ")[0], re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(",")}
    assert listed == {0, 130, 143} | {kind.exit_code for kind in kinds_of(errors.CommandError)}


def kinds_of(kind: type[errors.CommandError]) -> Iterator[type[errors.CommandError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from kinds_of(below)


def test_the_readme_lists_the_environment_variables_that_the_code_reads() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "commands").rglob("*.py"))
    read = set(re.findall(r"(?:get\(\s*|_VARIABLE = )\"((?:SOUP_|NO_)[A-Z_]+)\"", code))
    assert read == set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))


def test_the_readme_lists_the_views() -> None:
    listing = README.partition("lists the views with a line each:")[2].partition(". ")[0]
    assert re.findall(r"`(\w+)`", listing) == list(catalog.VIEWS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_module_of_a_room_stands_in_its_readme(room: str) -> None:
    text = (ROOT / room / "README.md").read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
    folders = {path.parent.name for path in (ROOT / room).glob("*/__init__.py")}
    assert {name for name in modules | folders if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("https://") or (ROOT / document).parent.joinpath(target).exists(), target


def test_make_targets_that_the_documents_name_exist() -> None:
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        named = set(re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE))
        assert named
        assert named <= rules


def test_the_changelog_knows_this_version() -> None:
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_data_set_is_what_its_readme_says() -> None:
    raw = (ROOT / "tests" / "data" / "devils-dictionary.jsonl").read_bytes()
    text = (ROOT / "tests" / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(raw).hexdigest() in text
    rows = [json.loads(line) for line in raw.splitlines()]
    assert f"{len(rows)} rows" in text
    assert len(raw) <= 60_000
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
        assert 20 <= len(row["messages"][2]["content"]) <= 260


def test_the_demo_is_a_shell_script_that_can_be_run() -> None:
    script = ROOT / "tests" / "demo.sh"
    assert os.access(script, os.X_OK)
    assert subprocess.run([str(shutil.which("bash")), "-n", script], check=False).returncode == 0
