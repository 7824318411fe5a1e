"""One run in a process of its own: `python run_once.py soup.yaml` prints every observation as a line of JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from trainer import config, determinism
from trainer.observations import Observation


def tell(observation: Observation) -> None:
    print(json.dumps([type(observation).__name__, asdict(observation)]), flush=True)


determinism.before_torch()
import torch  # noqa: E402 - what before_torch is for

from trainer.finetune import finetune  # noqa: E402

torch.set_num_threads(1)
finetune(config.parse(Path(sys.argv[1]).read_bytes()), tell)
