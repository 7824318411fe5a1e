"""`soup`: parse, record, run, exit. Exit codes live here and nowhere else.

    0 done                     5 denied by policy
    1 error                    6 done, with findings that need attention
    2 usage                    74 the ledger cannot be written
    3 verification failed      130 interrupted (SIGINT)
    4 verification incomplete  143 terminated (SIGTERM)

What is true here:

- stdout carries data, stderr messages. A user's mistake gives one line and a hint, never a traceback (`--debug` gives it).
- Help, version and shell completion are not commands; everything else is recorded, usage errors too.
- A command's module is imported when its name is typed.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import click

from commands.errors import AlteredEvidence, CommandError, Incomplete, Terminated, Unrecordable
from commands.registry import COMMANDS
from commands.version import VERSION

OK, ERROR, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
MAX_MESSAGE = 500
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class LazyGroup(click.Group):
    """The top-level group: names and help lines from the table, modules on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names in the table."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import one command."""
        row = COMMANDS.get(cmd_name)
        if row is None:
            return None
        command = getattr(importlib.import_module(row.module), row.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{row.module}.{row.attribute} is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the near miss from the table; click looks among the commands that it has imported."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            if near:
                raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].line) for name in sorted(COMMANDS)])


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"soup {VERSION}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings=SETTINGS, no_args_is_help=True)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Show the version."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def soup(ctx: click.Context, debug: bool) -> None:
    """Record every step of a fine-tuned model on a signed, append-only ledger."""
    ctx.meta["soup.debug"] = debug


def recorded(*, tolerant: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Put a command's callback in the bracket; it gets the session as its first argument.

    A command with `--ledger FILE` that names another ledger than one's own reads it unrecorded. A `tolerant` one goes on,
    unrecorded, where one's own ledger cannot be written: an auditor must be able to look at a damaged ledger.
    """

    def decorate(callback: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(callback)
        def run(**options: Any) -> None:
            ctx = click.get_current_context()
            name = ctx.command_path.partition(" ")[2]
            argv = ctx.find_root().meta["soup.argv"]
            _run(callback, name, argv, options, tolerant=tolerant)

        return run

    return decorate


def _run(
    callback: Callable[..., None], name: str, argv: Sequence[str], options: dict[str, Any], *, tolerant: bool
) -> None:
    from commands.context import Context
    from commands.record import Session, bracket
    from commands.redaction import own_redactor

    context = Context.from_environment()
    foreign = options.pop("ledger", None)
    if foreign is not None and not _same(foreign, context.ledger):
        callback(Session(context, context.new_id(), own_redactor(), foreign=Path(foreign)), **options)
        return
    manager = bracket(context, name, argv, exit_code_of=exit_code_of)
    try:
        session = manager.__enter__()
    except Unrecordable as error:
        if not (tolerant and context.ledger.exists()):
            raise
        click.echo(f"soup: unrecorded: {error}", err=True)
        callback(Session(context, context.new_id(), own_redactor(), foreign=context.ledger), **options)
        return
    try:
        callback(session, **options)
    except BaseException:
        if not manager.__exit__(*sys.exc_info()):
            raise
    else:
        manager.__exit__(None, None, None)


def _same(a: str | os.PathLike[str], b: Path) -> bool:
    try:
        return Path(a).samefile(b)
    except OSError:
        return False


def exit_code_of(error: BaseException) -> int:
    """Map what stopped a command to the code it exits with."""
    if isinstance(error, CommandError | click.exceptions.Exit):
        return error.exit_code
    return next((code for kinds, code in (*CODES, *_library_codes()) if isinstance(error, kinds)), ERROR)


CODES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], int], ...] = (
    (click.UsageError, USAGE),
    ((KeyboardInterrupt, click.Abort), INTERRUPTED),
    (Terminated, TERMINATED),
    (BrokenPipeError, OK),  # the reader of our output had enough
)


def _library_codes() -> tuple[tuple[type[BaseException], int], ...]:
    from ledger.errors import AlteredError, TooNewError, UnwritableError

    return (
        (AlteredError, AlteredEvidence.exit_code),
        (TooNewError, Incomplete.exit_code),
        (UnwritableError, Unrecordable.exit_code),
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run `soup` with the process's arguments, and exit."""
    if "_SOUP_COMPLETE" in os.environ:
        soup.main(prog_name="soup")  # shell completion: click answers and exits
    arguments = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGTERM, _terminate)
    code = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; give its exit code."""
    debug = "--debug" in arguments[:1]
    try:
        with soup.make_context("soup", list(arguments), obj=None) as ctx:
            ctx.meta["soup.argv"] = ("soup", *arguments)
            soup.invoke(ctx)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        return _usage_error(error, arguments)
    except BaseException as error:  # noqa: BLE001 - the outermost frame: everything becomes one line and a code
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _explain(error, debug=debug, as_json="--json" in arguments)
    return OK


def _usage_error(error: click.UsageError, arguments: list[str]) -> int:
    """Record a usage error; without a ledger even that is refused."""
    from commands.context import Context
    from commands.record import bracket

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return USAGE
    if len(error.message) > MAX_MESSAGE:
        error = click.UsageError(f"{error.message[:MAX_MESSAGE]} ...", ctx=error.ctx)
    name = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
    try:
        with bracket(Context.from_environment(), name or "soup", ("soup", *arguments), exit_code_of=exit_code_of):
            raise error
    except click.UsageError:
        pass
    except (CommandError, OSError) as failure:
        error.show()
        return _explain(failure, debug=False, as_json=False)
    error.show()
    return USAGE


def _explain(error: BaseException, *, debug: bool, as_json: bool) -> int:
    code = exit_code_of(error)
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, BrokenPipeError):
        return code
    sentence, hint = _sentence(error)
    if as_json:
        found = {name: value for name in ("position", "attack") if (value := getattr(error, name, None)) is not None}
        click.echo(json.dumps({"error": {"code": code, "message": sentence, "hint": hint, **found}}), err=True)
        return code
    click.echo(f"soup: {sentence}", err=True)
    if hint:
        click.echo(f"  hint: {hint}", err=True)
    return code


def _sentence(error: BaseException) -> tuple[str, str | None]:
    if isinstance(error, CommandError):
        return error.sentence, error.hint
    if code := exit_code_of(error):
        if code in (INTERRUPTED, TERMINATED):
            return "interrupted" if code == INTERRUPTED else "terminated", None
        if _is_ours(error):
            return str(error), None
    return f"a fault in soup itself: {type(error).__name__}: {error}", "run again as `soup --debug ...` and report it"


def _is_ours(error: BaseException) -> bool:
    """Tell an error whose text is a sentence for users: those of the rooms below."""
    return type(error).__module__.split(".")[0] in {"ledger", "projections", "trainer"}


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated


__all__ = ["exit_code_of", "main", "recorded", "run", "soup"]
