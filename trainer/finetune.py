"""The one road: from a configuration to an adapter.

What is true of a run:

- nothing is trained before `RunStarted` has been observed, nothing stands at the output before `OutputStaged` has been;
- the loss of a step is the mean over all supervised tokens of its accumulation window, however they fall into batches
  (a mean of means is biased: transformers issue 34191);
- what is held out is measured after each epoch (or every `eval_steps`) and at the end, and never trained on;
- a setting that this loop does not follow is refused before anything is loaded;
- a loss or gradient that is not finite is observed, and ends the run before the optimizer moves;
- the same inputs in the same environment give the same bits.

It deliberately does not know: clocks, hosts, ledgers, what is done with an observation, how to go on from the middle, a
second device. Importing this module loads torch: call `trainer.determinism.before_torch` first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import tee, zip_longest

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from trainer import checkpoint, data, determinism, model, schedule
from trainer.config import Config, Training
from trainer.errors import ConfigError, NonFiniteError
from trainer.observations import (
    DataBound,
    Evaluated,
    NonFinite,
    Observation,
    Outcome,
    OutputStaged,
    RunCompleted,
    RunStarted,
    Step,
    Warned,
)

Observer = Callable[[Observation], None]


def finetune(config: Config, observe: Observer) -> Outcome:
    """Train the adapter that `config` asks for, tell `observe` everything in order, return what stands at the output.

    Raises a `TrainerError` for whatever is wrong with the inputs, the output or the numbers; what `observe` raises
    passes through. In each case nothing new is left at the output, unless it was `RunCompleted` that `observe` refused.
    Deterministic algorithms stay switched on in this process.
    """
    _demand_supported(config)
    with checkpoint.staged(config.output) as staging:
        determinism.arrange()
        base = model.load(config)
        dataset = data.read(config, base.tokens)
        _warn(config, base, dataset.bound, observe)
        adapted, bound = model.adapt(base, config.training.lora, config.training.seed)
        observe(
            RunStarted(
                config=config.model_dump(mode="json"),
                seed=config.training.seed,
                steps=schedule.planned_steps(len(dataset.train), config.training),
                data=dataset.bound,
                model=bound,
                environment=determinism.environment(),
            )
        )
        steps = _train(config, adapted, dataset, base.tokens.padding, observe)
        files, tensors = checkpoint.save(adapted, staging)
        observe(OutputStaged(files, tensors))
        staging.publish()
    outcome = RunCompleted(
        output=config.output,
        steps=len(steps),
        last_loss=steps[-1].loss,
        last_loss_hex=steps[-1].loss_hex,
        supervised=sum(step.supervised for step in steps),
        computed=sum(step.computed for step in steps),
        files=files,
        tensors_sha256=tensors,
    )
    observe(outcome)
    return outcome


def _train(config: Config, adapted: PeftModel, dataset: data.Dataset, padding: int, observe: Observer) -> list[Step]:
    training, loss_sum, rows = config.training, _LOSSES[config.task], dataset.train
    planned = schedule.planned_steps(len(rows), training)
    parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=training.lr, weight_decay=training.weight_decay)
    steps: list[Step] = []
    windows, ahead = tee(schedule.windows(len(rows), training))
    next(ahead, None)
    for window, following in zip_longest(windows, ahead):
        batches = [data.batch([rows[index] for index in indices], padding) for indices in window.batches]
        shown = data.batches_sha256(batches)
        supervised = sum(batch.supervised for batch in batches)

        loss = 0.0
        for batch in batches:
            share = loss_sum(adapted, batch) / supervised
            loss += share.item()
            _demand_finite("loss", loss, window.step, shown, observe)
            share.backward()
        norm = clip_grad_norm_(parameters, training.max_grad_norm).item()
        _demand_finite("gradient norm", norm, window.step, shown, observe)

        lr = schedule.learning_rate(window.step, planned, training)
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        optimizer.zero_grad()

        step = Step(
            step=window.step,
            epoch=window.epoch,
            loss=loss,
            loss_hex=loss.hex(),
            lr=lr,
            grad_norm=norm,
            grad_norm_hex=norm.hex(),
            supervised=supervised,
            tokens=sum(batch.tokens for batch in batches),
            computed=sum(batch.computed for batch in batches),
            batch_sha256=shown,
        )
        steps.append(step)
        observe(step)
        if dataset.evaluation and _is_due(training, window, following):
            observe(_evaluate(config, adapted, dataset.evaluation, padding, window.step))
    return steps


def _is_due(training: Training, window: schedule.Window, following: schedule.Window | None) -> bool:
    """Tell whether what is held out is evaluated after this step: as often as asked for, and at the end of the run."""
    if following is None:
        return True
    every = training.eval_steps
    return following.epoch > window.epoch if every is None else window.step % every == 0


def _evaluate(config: Config, adapted: PeftModel, units: Sequence[data.Unit], padding: int, step: int) -> Evaluated:
    """Measure the loss on `units`. Draws no random number, so that training goes on as if nobody had looked."""
    size, loss_sum = config.training.batch_size, _LOSSES[config.task]
    batches = [data.batch(units[start : start + size], padding) for start in range(0, len(units), size)]
    supervised = sum(batch.supervised for batch in batches)
    adapted.eval()
    try:
        with torch.no_grad():
            loss = sum(loss_sum(adapted, batch).item() for batch in batches) / supervised
    finally:
        adapted.train()
    return Evaluated(step, loss, float(loss).hex(), supervised)


def _next_token_loss(adapted: PeftModel, batch: data.Batch) -> torch.Tensor:
    """Return the cross-entropy of `batch` in nats, summed over supervised tokens, each predicted from those before."""
    ids, labels = (torch.tensor(rows, device=adapted.device) for rows in (batch.ids, batch.labels))
    attention, positions = (
        None if rows is None else torch.tensor(rows, device=adapted.device)
        for rows in (batch.attention, batch.positions)
    )
    logits = adapted(input_ids=ids, attention_mask=attention, position_ids=positions).logits
    return cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), reduction="sum")


# Task in soup.yaml -> its loss, summed over the supervised tokens of a batch. A new one is a function and a line.
_LOSSES: dict[str, Callable[[PeftModel, data.Batch], torch.Tensor]] = {
    "pretrain": _next_token_loss,
    "sft": _next_token_loss,
}


# What soup.yaml may say and this loop does not do: it is refused, since ignoring it would be a lie about the run.
_NOT_YET: Mapping[str, Callable[[Config], bool]] = {
    "task": lambda config: config.task not in _LOSSES,
    "training.lora.r": lambda config: config.training.lora.r == 0,
    "training.precision": lambda config: config.training.precision != "fp32",
    "training.gradient_checkpointing": lambda config: config.training.gradient_checkpointing,
    "training.save_steps": lambda config: "save_steps" in config.training.model_fields_set,
    "co2": lambda config: config.co2 is not None,
}


def _demand_supported(config: Config) -> None:
    found = [f"{key}: this value is not supported yet" for key, asked in _NOT_YET.items() if asked(config)]
    if found:
        raise ConfigError(found)


def _demand_finite(quantity: str, value: float, step: int, shown: str, observe: Observer) -> None:
    if not math.isfinite(value):
        observe(NonFinite(step, quantity, str(value), shown))
        raise NonFiniteError(step, quantity, value)


def _warn(config: Config, base: model.Base, bound: DataBound, observe: Observer) -> None:
    if bound.template is not None and bound.template.note is not None:
        observe(Warned("chat-template", f"{bound.template.name} is used: {bound.template.note}"))
    if not bound.evaluation.rows and config.data.val_split:
        observe(Warned("nothing-held-out", "no row is held out: too few for this data.val_split"))
    if determinism.spins():
        observe(
            Warned(
                "openmp-spins",
                "OMP_WAIT_POLICY is not PASSIVE: on a busy machine waiting threads take the time of working ones",
            )
        )
    if base.positions is not None and config.data.max_length > base.positions:
        observe(
            Warned(
                "beyond-positions",
                f"data.max_length is {config.data.max_length}, but the base was made for {base.positions} tokens",
            )
        )
