"""What can go wrong in the trainer, grouped by who is at fault.

One root; the second level says whose fault it is; each constructor takes the offending value and writes the sentence.
"""

from __future__ import annotations

from collections.abc import Sequence


class TrainerError(Exception):
    """Root of every error that leaves this room."""


class ConfigError(TrainerError):
    """soup.yaml is not what this version accepts. `findings` has one sentence for each place that is wrong."""

    def __init__(self, findings: Sequence[str]) -> None:
        """Say all `findings` at once, so that a file is corrected in one round."""
        self.findings = tuple(findings)
        super().__init__("; ".join(self.findings))


class DataError(TrainerError):
    """The training data cannot be read, or nothing in it can be learnt from."""

    def __init__(self, path: str, finding: str) -> None:
        """Say what is wrong with the file at `path`."""
        super().__init__(f"training data {path!r}: {finding}")


class BaseModelError(TrainerError):
    """The base model or its tokenizer cannot be loaded whole, or does not fit what was asked."""

    def __init__(self, base: str, finding: str) -> None:
        """Say what is wrong with the model at `base`."""
        super().__init__(f"base model {base!r}: {finding}")


class OutputError(TrainerError):
    """The adapter cannot be written where it was asked for; nothing is left there."""

    def __init__(self, path: str, finding: str) -> None:
        """Say why nothing may be, or was, written to `path`."""
        super().__init__(f"output {path!r}: {finding}")


class NonFiniteError(TrainerError):
    """The loss or the gradient is NaN or infinite; the optimizer did not take the step and nothing was written."""

    def __init__(self, step: int, quantity: str, value: float) -> None:
        """Name the `step` (1-based) that was not taken and the `quantity` that is not a number."""
        self.step = step
        self.quantity = quantity
        super().__init__(
            f"step {step}: the {quantity} is {value}; stopped before the step, nothing was written "
            "(a lower training.lr or training.max_grad_norm may help; so may looking at the rows of this batch)"
        )
