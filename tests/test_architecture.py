"""The house as it was drawn: who imports whom, what stands in which table, and what each room may load."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from commands.bom import FORMATS
from commands.cli import soup as top
from commands.registry import COMMANDS
from ledger.entry import EVENT_TYPE
from ledger.events import EVENT_TYPES, Event
from projections import documents
from projections.catalog import ENTRIES, SCAN, VIEWS
from projections.kinds import DOCUMENTS
from tests.simulator import ROOT

ROOMS = ("ledger", "projections", "commands", "trainer")
TOP_LEVEL = {
    *ROOMS, "tests", "README.md", "pyproject.toml", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md",
    "Makefile", ".gitignore", ".ci", "constraints.txt",
}  # fmt: skip


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms or ROOMS:
        yield from sorted(path for path in (ROOT / room).rglob("*.py") if "__pycache__" not in path.parts)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).exists()]


# Arrows.


@pytest.mark.slow
def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert "0 broken" in outcome.stdout


def test_only_the_top_of_the_command_room_exits_and_only_commands_print() -> None:
    """Nothing below `commands` prints; nothing below `commands.cli` exits."""
    calls = {"print": ("ledger", "projections", "trainer"), "exit": ROOMS, "_exit": ROOMS}
    offenders = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (name := getattr(node.func, "id", None) or _exit_of_sys(node.func)) in calls
        and path.relative_to(ROOT).parts[0] in calls[name]
        and path != ROOT / "commands" / "cli.py"
    ]
    assert offenders == []


def _exit_of_sys(function: ast.expr) -> str | None:
    owner = getattr(getattr(function, "value", None), "id", None)
    return getattr(function, "attr", None) if owner in {"sys", "os"} else None


def test_no_room_reads_pickles_or_evaluates_text() -> None:
    offenders = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources()
        for name in re.findall(
            r"^\s*(?:import|from) (pickle|marshal|shelve|dill)\b|(?<![\w.])(eval|exec)\(",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert offenders == []


def test_each_module_opens_with_what_is_true() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "from commands.cli import run; run(['--help'])",
            "duckdb nacl eventsourcing rich pydantic torch cyclonedx spdx_tools",
        ),
        ("import ledger.reader, ledger.verify", "eventsourcing duckdb click rich torch"),
        (
            "import projections.documents, projections.kinds, projections.catalog",
            "duckdb cyclonedx spdx_tools click eventsourcing",
        ),
        ("import trainer.config", "torch transformers peft click duckdb nacl"),
        (
            "import commands.bom, commands.attest, commands.query, commands.rebuild",
            "duckdb cyclonedx spdx_tools torch rich",
        ),
    ],
    ids=[
        "soup --help",
        "the auditor's reader",
        "the tables of projections",
        "the trainer's configuration",
        "the commands",
    ],
)
def test_what_is_not_needed_is_not_loaded(statement: str, absent: str) -> None:
    code = f"{statement}\nimport sys\nprint(*sorted(set({absent.split()!r}) & set(sys.modules)), file=sys.stderr)"
    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert outcome.stderr.split() == []


# Tables.


def top_level_commands() -> dict[str, click.Command]:
    found = {name: top.get_command(click.Context(top), name) for name in COMMANDS}
    return {name: command for name, command in found.items() if command is not None}


def test_each_row_of_the_registry_is_a_command_of_that_name() -> None:
    found = top_level_commands()
    assert set(found) == set(COMMANDS)
    assert {name: command.name for name, command in found.items()} == {name: name for name in COMMANDS}
    assert list(COMMANDS) == sorted(COMMANDS)


def test_each_module_with_a_command_stands_in_the_registry() -> None:
    """Members of a group belong to its module; a command that nothing leads to would never run."""
    groups = [getattr(importlib.import_module(row.module), row.attribute) for row in COMMANDS.values()]
    members = {
        member.callback.__module__
        for group in groups
        if isinstance(group, click.Group)
        for member in group.commands.values()
    }
    listed = {row.module for row in COMMANDS.values()} | members | {"commands.cli"}
    defining = {
        module
        for path in sources("commands")
        if "@click." in path.read_text(encoding="utf-8")
        for module in [module_of(path)]
        if any(isinstance(value, click.Command) and value.callback and value.callback.__module__ == module
               for value in vars(importlib.import_module(module)).values())
    }  # fmt: skip
    assert defining == listed


def test_every_command_is_recorded() -> None:
    """Whatever runs goes through the bracket: `recorded` wraps each callback that is no group's."""
    bare = [
        f"{name} {member.name}"
        for name, command in top_level_commands().items()
        for member in (command.commands.values() if isinstance(command, click.Group) else [command])
        if not hasattr(member.callback, "__wrapped__")
    ]
    assert bare == []


def event_structs() -> list[type[Event]]:
    return [
        value
        for path in sources("ledger")
        if path.parent.name == "events"
        for value in vars(importlib.import_module(module_of(path))).values()
        if isinstance(value, type)
        and issubclass(value, Event)
        and value is not Event
        and value.__module__ == module_of(path)
    ]


def test_each_event_stands_in_the_closed_table_under_its_own_name() -> None:
    structs = event_structs()
    assert sorted(EVENT_TYPES) == sorted(struct.TYPE for struct in structs)
    assert len({struct.TYPE for struct in structs}) == len(structs)
    assert all(EVENT_TYPES[struct.TYPE] is struct for struct in structs)
    assert all(EVENT_TYPE.fullmatch(name) for name in EVENT_TYPES)


@pytest.mark.parametrize("struct", event_structs(), ids=lambda struct: struct.TYPE)
def test_an_events_fields_are_of_the_closed_domain(struct: type[Event]) -> None:
    """Bounded integers, bounded or patterned texts, no float, no Any: decoding checks the whole domain."""
    assert struct.__struct_config__.frozen
    assert struct.__struct_config__.forbid_unknown_fields
    assert list(_open_types(msgspec.inspect.type_info(struct), struct.TYPE)) == []


def _open_types(info: msgspec.inspect.Type, path: str) -> Iterator[str]:  # noqa: C901 - one case a type
    match info:
        case msgspec.inspect.StructType(fields=fields):
            for field in fields:
                yield from _open_types(field.type, f"{path}.{field.name}")
        case msgspec.inspect.IntType(ge=low, le=high):
            if low is None or high is None or high > 2**53 - 1:
                yield f"{path}: an integer without bounds"
        case msgspec.inspect.StrType(max_length=high, pattern=pattern):
            if high is None and pattern is None:
                yield f"{path}: a text without an end"
        case msgspec.inspect.ListType(item_type=item):
            yield from _open_types(item, f"{path}[]")
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            yield from _open_types(key, f"{path}{{key}}")
            yield from _open_types(value, f"{path}{{}}")
        case msgspec.inspect.UnionType(types=types):
            for each in types:
                yield from _open_types(each, path)
        case msgspec.inspect.BoolType() | msgspec.inspect.NoneType() | msgspec.inspect.LiteralType():
            return
        case other:
            yield f"{path}: {type(other).__name__}"


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_each_kind_of_document_has_a_renderer_that_is_there(kind: str) -> None:
    row = DOCUMENTS[kind]
    module, _, name = row.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    assert isinstance(function, types.FunctionType)
    hints = typing.get_type_hints(function)
    assert list(hints.values()) == [documents.Sources, bytes]
    assert re.fullmatch(r"[a-z0-9-]+/[1-9][0-9]*", row.renderer)
    assert row.suffix.endswith(".json")
    assert set(documents.libraries(kind)) == set(row.libraries)


def test_no_two_kinds_share_a_renderer() -> None:
    for column in ("function", "renderer"):
        values = [getattr(row, column) for row in DOCUMENTS.values()]
        assert len(set(values)) == len(values), column


@pytest.mark.parametrize("form", FORMATS)
def test_documents_that_are_emitted_together_have_a_suffix_of_their_own(form: str) -> None:
    suffixes = [DOCUMENTS[kind].suffix for kind in FORMATS[form]]
    assert len(set(suffixes)) == len(suffixes)


def test_each_sql_file_stands_in_the_catalog() -> None:
    assert {path.name for path in (ROOT / "projections" / "sql").iterdir()} == {ENTRIES, SCAN, *VIEWS.values()}


# The floor plan.


def test_nothing_stands_at_the_top_but_the_rooms_and_what_every_project_has() -> None:
    assert {name.partition("/")[0] for name in tracked()} - TOP_LEVEL == set()


def test_no_folder_of_tests_is_a_package() -> None:
    """`tests/ledger/__init__.py` would shadow the room of that name."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_each_room_is_packaged_with_its_type_information() -> None:
    import tomllib

    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(ROOMS)
    assert all((ROOT / room / "py.typed").exists() for room in ROOMS)
    assert all((ROOT / room / "__init__.py").exists() for room in ROOMS)


def test_modules_stay_short_enough_to_be_read() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in sources()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_nothing_of_this_machine_is_in_the_project() -> None:
    here = re.compile(rb"/root/|/home/[a-z]+/(?!\.soup)|" + re.escape(str(ROOT)).encode())
    named = [name for name in tracked() if not name.startswith("tests/") and here.search((ROOT / name).read_bytes())]
    assert named == []
