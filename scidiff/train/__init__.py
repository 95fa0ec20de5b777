"""The training run: settings, optimizer, average of the weights, log, checkpoints and the model file."""

from __future__ import annotations

from scidiff.train.config import Precision, TrainConfig
from scidiff.train.couplings import Coupling, IndependentCoupling, OptimalTransportCoupling, PairedCoupling
from scidiff.train.ema import Ema
from scidiff.train.run import Task, TrainResult, train

__all__ = [
    "Coupling",
    "Ema",
    "IndependentCoupling",
    "OptimalTransportCoupling",
    "PairedCoupling",
    "Precision",
    "Task",
    "TrainConfig",
    "TrainResult",
    "train",
]
