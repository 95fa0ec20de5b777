"""Several processes take the steps that one takes with all their batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scidiff.train import TrainConfig, train
from scidiff.train.state import read_state

from .train_tasks import Regression, mlp

ROOT = Path(__file__).resolve().parents[2]
CONFIG = TrainConfig(steps=12, warmup=3, learning_rate=1e-2, log_every=4, validate_every=6, ema=0.9, threads=1)
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
import torch
from scidiff.train import train
from tests.core.test_train_processes import CONFIG
from tests.core.train_tasks import Regression, mlp

folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])

class Partial(Regression):
    def loss(self, network, batch, generator):
        loss, metrics = super().loss(network, batch, generator)
        return loss, {**metrics, "rank": torch.tensor(float(rank))}

def stop(step):
    if step == 5 and rank == 1:
        signal.raise_signal(signal.SIGTERM)

network = mlp(torch.float64)
if rank == 1:
    torch.nn.init.zeros_(network[0].weight)
whole = train(Partial(network, 8), CONFIG, folder / "whole", accelerator="cpu")
parts = train(Partial(mlp(torch.float64), 8, before=stop), CONFIG, folder / "parts", accelerator="cpu")
again = train(Partial(mlp(torch.float64), 8), CONFIG, folder / "parts", accelerator="cpu")
facts = {"steps": [whole.step, parts.step, again.step], "reason": parts.reason}
(folder / f"rank{rank}.json").write_text(json.dumps(facts))
"""


@pytest.mark.slow
def test_two_processes_equal_one_with_both_batches(tmp_path):
    """Rank r of 2 at step k takes slice 2k + r of 8 rows: together slice k of 16 rows.

    Float64, so the different order of the sums stays below 1e-10 after 12 steps. One process begins with other
    weights, which those of the first replace. A signal to the second process stops both at the same step, and the
    resumed run equals the whole one bit for bit.
    """
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*command, str(program), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["steps"] == ranks[1]["steps"]
    assert ranks[0]["steps"][::2] == [12, 12]
    assert ranks[0]["steps"][1] < 12
    assert [rank["reason"] for rank in ranks] == ["another process stopped", "SIGTERM"]

    single = train(Regression(mlp(torch.float64), 16), CONFIG, tmp_path / "single")
    states = {name: read_state(tmp_path / name) for name in ("whole", "parts", "single")}
    assert None not in states.values()
    whole, parts = states["whole"], states["parts"]
    for name, value in states["single"][1]["network"].items():
        torch.testing.assert_close(whole[1]["network"][name], value, rtol=0, atol=1e-10)
    for part, tensors in whole[1].items():
        assert all(torch.equal(parts[1][part][name], value) for name, value in tensors.items())
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    last = [line for line in log if "loss" in line][-1]
    assert last["loss"] == pytest.approx(single.loss, abs=1e-10)
    assert last["rank"] == 0.5
    assert last["step"] == 12
