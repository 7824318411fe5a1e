"""The trainer: fine-tunes a language model and tells what it sees.

What is true here:

- `trainer.finetune.finetune(config, observe)` is the one road through this room; whatever a run is made of (inputs,
  seeds, environment, every step, every output) is handed to `observe` as a value from `trainer.observations`;
- the same inputs, in the same environment, give the same adapter, bit for bit;
- nothing is fetched, nothing is unpickled, no code that came with a model or a data set is run.

What it does not know: ledgers, signatures, documents, command lines, clocks.

Importing this package, `trainer.config` or `trainer.observations` loads no torch; only a run does.
"""
