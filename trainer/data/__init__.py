"""Rows of text into rows of tokens, with a mask that says which tokens are learnt.

What is true here:

- the bytes that were hashed are the bytes that were parsed; the same files, configuration and tokenizer give the same
  data set, token for token;
- exactly the tokens of an assistant's turn and the token that ends it carry loss (sft, dpo), or every token of a document
  and its end (pretrain);
- text can never become a control token, and no row's code or template can reach anything;
- a row is kept whole or rejected for one named reason, and counted.

One road leads through it: `read(config, tokens)` to a `Dataset`, whose units a schedule orders and `batch` lays side by
side. It does not know torch.
"""

from trainer.data.batch import IGNORED, Batch, Pack, Pair, Unit, batch, batches_sha256, rows_of, shape
from trainer.data.read import Dataset, Kept, read
from trainer.data.reasons import Reason
from trainer.data.tokens import Row, Tokens, masked, of

__all__ = [
    "IGNORED",
    "Batch",
    "Dataset",
    "Kept",
    "Pack",
    "Pair",
    "Reason",
    "Row",
    "Tokens",
    "Unit",
    "batch",
    "batches_sha256",
    "masked",
    "of",
    "read",
    "rows_of",
    "shape",
]
