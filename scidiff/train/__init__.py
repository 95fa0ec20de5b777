"""The training run: settings, optimizer, average of the weights, log, checkpoints and the model file."""

from __future__ import annotations

from scidiff.train.config import Precision, TrainConfig
from scidiff.train.couplings import Coupling, IndependentCoupling, OptimalTransportCoupling, PairedCoupling
from scidiff.train.denoising import DenoisingTask
from scidiff.train.ema import Ema
from scidiff.train.entropy_rate import ClipAtResolution, SubtractPlateau, entropy_rate
from scidiff.train.flow_map_task import DiagonalTask, FlowMapTask, diagonal_denoiser
from scidiff.train.flow_maps import Consistency, Eulerian, Lagrangian, MeanFlow, Semigroup
from scidiff.train.noise_allocation import FixedNoise, InfoNoise, NoiseDraw
from scidiff.train.noise_levels import ClockAxis, LogNoiseAxis, LogNormalNoise, UniformLevels
from scidiff.train.run import Task, TrainResult, train
from scidiff.train.time_pairs import DataPairs, TimePairs

__all__ = [
    "ClipAtResolution",
    "ClockAxis",
    "Consistency",
    "Coupling",
    "DataPairs",
    "DenoisingTask",
    "DiagonalTask",
    "Ema",
    "Eulerian",
    "FixedNoise",
    "FlowMapTask",
    "IndependentCoupling",
    "InfoNoise",
    "Lagrangian",
    "LogNoiseAxis",
    "LogNormalNoise",
    "MeanFlow",
    "NoiseDraw",
    "OptimalTransportCoupling",
    "PairedCoupling",
    "Precision",
    "Semigroup",
    "SubtractPlateau",
    "Task",
    "TimePairs",
    "TrainConfig",
    "TrainResult",
    "UniformLevels",
    "diagonal_denoiser",
    "entropy_rate",
    "train",
]
