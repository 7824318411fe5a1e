"""What a command may fail with: each error is one sentence, a hint, and an exit code.

* A sentence says what is wrong and holds the offending value; a hint, where there is one, says what to do.
* Both are fit for a terminal: a value from outside enters through `quoted`, which neutralises control characters.
* An error carries its exit code, and only `commands.cli` exits with it:

      0    done
      1    error: a bad input file, an output that cannot be written
      2    usage: a value typed wrong
      3    verification failed: evidence was altered
      4    verification incomplete: unsigned, unknown key, missing head
      5    denied by policy
      6    done, with findings that need attention
      74   the ledger cannot be written, so the command did not run (EX_IOERR of sysexits.h)
      130  interrupted by SIGINT (128 + 2, as a shell reports it)
      143  interrupted by SIGTERM (128 + 15)

Deliberately unknown here: click, the ledger, and who catches what.
"""

import os
from typing import ClassVar


class CommandError(Exception):
    """Root of everything that a command reports to its user."""

    exit_code: ClassVar[int] = 1

    def __init__(self, sentence: str, hint: str | None = None) -> None:
        """Say `sentence` (what is wrong, no full stop) and `hint` (what to do about it)."""
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class InputError(CommandError):
    """A file that was named as input is missing, unreadable, of the wrong kind, or contradicts what was typed."""


class OutputError(CommandError):
    """A document could not be published; what stood under its name before still stands there."""


class UsageProblem(CommandError):  # noqa: N818 -- click owns the name UsageError, and both meet in commands.cli
    """A value on the command line is malformed."""

    exit_code = 2


class AlteredEvidence(CommandError):  # noqa: N818 -- the name says what was found, not that soup erred
    """Verification failed: what was examined is not what was signed or recorded."""

    exit_code = 3


class Incomplete(CommandError):  # noqa: N818 -- as above
    """Verification found nothing wrong and yet cannot say "valid": a key, a signature or a head is missing."""

    exit_code = 4


class Denied(CommandError):  # noqa: N818 -- as above
    """A policy forbids it."""

    exit_code = 5


class Findings(CommandError):  # noqa: N818 -- as above
    """The work is done, and something in it needs attention."""

    exit_code = 6


class Unrecordable(CommandError):  # noqa: N818 -- as above
    """The ledger cannot be written; without a record nothing runs."""

    exit_code = 74


class Terminated(BaseException):
    """SIGTERM arrived."""


def quoted(value: str | os.PathLike[str]) -> str:
    """Return a path or word in quotes: control, bidirectional and undecodable characters become escapes."""
    return repr(os.fspath(value))


def because(error: OSError) -> str:
    """Return the system's reason in its own words, without errno and path."""
    return error.strerror or type(error).__name__
