"""What a run tells its observer, in the order in which it happens.

What is true of these values:

- they are frozen and made of plain data; where a float must survive to the last bit, its `float.hex` stands beside it;
- digests are SHA-256, 64 lower-case hex digits;
- `RunStarted` comes before the first step and `OutputStaged` before anything stands at `config.output`: who records
  them has recorded first. An observer that raises stops the run there, and nothing is left behind.

They hold no time and no host: whoever observes knows both better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rejection:
    """`count` rows of the file at `path` were left out for `reason`; `lines` names the first few places (1-based)."""

    reason: str
    count: int
    lines: tuple[int, ...]
    path: str


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of rows as read. Rows that `data.val_split` holds out are counted with the file they are in."""

    role: str  # training, evaluation
    path: str
    format: str
    sha256: str  # of the file's bytes, as they were read
    size: int  # bytes
    rows: int
    kept: int
    tokens: int  # of the kept rows
    supervised: int  # tokens of them that carry loss


@dataclass(frozen=True, slots=True)
class Portion:
    """The rows that are trained on, or those that are held out. Tokens are those of one epoch."""

    rows: int
    unique_rows: int
    units: int  # what the schedule orders: rows, packs, pairs, or pieces of long documents
    tokens: int  # without padding
    unique_tokens: int  # of distinct rows
    supervised: int  # tokens that carry loss
    computed: int  # tokens with padding: training in the order of the first epoch, evaluation in the order of reading


@dataclass(frozen=True, slots=True)
class Share:
    """What declares to be of one language, or from one source."""

    name: str
    rows: int
    size: int  # bytes of text


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """How conversations were rendered; `note` says why it is not the tokenizer's own template, where it is not."""

    name: str  # "tokenizer", "given", or that of a built-in one
    sha256: str  # of its text
    note: str | None


@dataclass(frozen=True, slots=True)
class DataBound:
    """The data as read: what was in the files, what of it is trained on, what is held out."""

    files: tuple[DataFile, ...]
    rows: int  # in all files
    kept: int
    rejections: tuple[Rejection, ...]
    training: Portion
    evaluation: Portion
    template: ChatTemplate | None  # None where no conversation is rendered
    cut: int  # documents longer than data.max_length, trained on in pieces
    overlap: int  # rows of files held out that are trained on as well
    languages: tuple[Share, ...]  # as rows trained on declare them; empty if none does
    sources: tuple[Share, ...]
    rows_sha256: str  # of the kept rows as token ids and masks, in the order of reading (trainer.data)
    rows_root: str  # Merkle tree hash of the kept rows, in the order of reading (trainer.data.manifest)


@dataclass(frozen=True, slots=True)
class ModelBound:
    """The model as loaded and adapted."""

    base: str
    architecture: str
    attention: str
    device: str
    dtype: str
    parameters: int  # of the base
    trainable: int  # of the adapter
    target_modules: tuple[str, ...]
    base_tensors_sha256: str  # of the weights in memory (trainer.checkpoint.tensors_sha256)


@dataclass(frozen=True, slots=True)
class Warned:
    """Something the user should know and the run survives. `code` is stable, `message` is for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Everything the run depends on is known; no step has been taken."""

    config: Mapping[str, object]  # every setting, defaults included
    seed: int
    steps: int  # optimizer steps planned
    data: DataBound
    model: ModelBound
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Step:
    """The optimizer took one step."""

    step: int  # 1-based
    epoch: int  # 1-based
    loss: float  # mean over the window's supervised tokens, before the step, in nats
    loss_hex: str
    lr: float
    grad_norm: float  # before clipping
    grad_norm_hex: str
    supervised: int  # tokens that carry loss
    tokens: int  # tokens without padding
    computed: int  # tokens with padding
    batch_sha256: str  # of what the model was shown (trainer.data.Batch)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The model as it is after `step`, on the rows that are held out."""

    step: int  # 1-based
    loss: float  # mean over their supervised tokens, in nats
    loss_hex: str
    supervised: int  # tokens that carry loss


@dataclass(frozen=True, slots=True)
class NonFinite:
    """The `quantity` ('loss' or 'gradient norm') of a step is NaN or infinite: the step is not taken, the run ends."""

    step: int
    quantity: str
    value: str  # nan, inf or -inf
    batch_sha256: str


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One file of the output, by its name in the output directory."""

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class OutputStaged:
    """The output is complete and durable beside its destination, under a temporary name."""

    files: tuple[OutputFile, ...]
    tensors_sha256: str  # independent of the file format (trainer.checkpoint.tensors_sha256)


@dataclass(frozen=True, slots=True)
class RunCompleted:
    """The output stands where it was asked for."""

    output: str
    steps: int
    last_loss: float
    last_loss_hex: str
    supervised: int  # tokens, over all steps
    computed: int
    files: tuple[OutputFile, ...]
    tensors_sha256: str


Observation = Warned | RunStarted | Step | Evaluated | NonFinite | OutputStaged | RunCompleted
Outcome = RunCompleted
