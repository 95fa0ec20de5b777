"""Laws of the noise: what ``x_t`` is, given ``x_0``."""

from scidiff.process.base import Kind, Process, ProductProcess, sample_time, site_time
from scidiff.process.bounds import md4, mdlm, udlm
from scidiff.process.clocks import ExponentialClock, PathClock, PowerClock
from scidiff.process.cochain import CochainProcess
from scidiff.process.concrete_score import posterior_from_score
from scidiff.process.contraction import contracted_uniform
from scidiff.process.discrete import DiscreteProcess
from scidiff.process.flow import MinimalFlow, MixtureFlow, Rates, TimeReversal, hub_balance, product_balance
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.geodesic import GeodesicFlow, NormalAround, TangentProcess, flow_weight
from scidiff.process.heat import HyperbolicHeatKernel, WrappedNormal
from scidiff.process.heat_process import HeatProcess
from scidiff.process.igso3 import IGSO3
from scidiff.process.kernels import Kernel, LevelKernel, marginal, mask, tree, uniform
from scidiff.process.log_bridge import LogBridge
from scidiff.process.matrix_free import MatrixFreeNoising
from scidiff.process.matrix_kernel import MatrixKernel
from scidiff.process.one_hot_flow import AccuracySchedule, OneHotFlow
from scidiff.process.operator import ModeSchedule, OperatorSchedule
from scidiff.process.premetric import PremetricFlow
from scidiff.process.radial import HeatKernel, RadialHeatKernel
from scidiff.process.random_walk import geodesic_random_walk
from scidiff.process.schedule import (
    CosineSchedule,
    EDMSchedule,
    LinearFlowSchedule,
    Schedule,
    VESchedule,
    VPSchedule,
)
from scidiff.process.score_entropy import denoising_score_entropy, log_score, score_entropy
from scidiff.process.sphere_heat import SphereHeatKernel
from scidiff.process.survival import Cosine, Linear, Power, Survival
from scidiff.process.weight import EDMWeight, MinSNR, Weight, eps_weight, mean_weight, velocity_weight

__all__ = [
    "IGSO3",
    "AccuracySchedule",
    "CochainProcess",
    "Cosine",
    "CosineSchedule",
    "DiscreteProcess",
    "EDMSchedule",
    "EDMWeight",
    "ExponentialClock",
    "GaussianProcess",
    "GeodesicFlow",
    "HeatKernel",
    "HeatProcess",
    "HyperbolicHeatKernel",
    "Kernel",
    "Kind",
    "LevelKernel",
    "Linear",
    "LinearFlowSchedule",
    "LogBridge",
    "MatrixFreeNoising",
    "MatrixKernel",
    "MinSNR",
    "MinimalFlow",
    "MixtureFlow",
    "ModeSchedule",
    "NormalAround",
    "OneHotFlow",
    "OperatorSchedule",
    "PathClock",
    "Power",
    "PowerClock",
    "PremetricFlow",
    "Process",
    "ProductProcess",
    "RadialHeatKernel",
    "Rates",
    "Schedule",
    "SphereHeatKernel",
    "Survival",
    "TangentProcess",
    "TimeReversal",
    "VESchedule",
    "VPSchedule",
    "Weight",
    "WrappedNormal",
    "contracted_uniform",
    "denoising_score_entropy",
    "eps_weight",
    "flow_weight",
    "geodesic_random_walk",
    "hub_balance",
    "log_score",
    "marginal",
    "mask",
    "md4",
    "mdlm",
    "mean_weight",
    "posterior_from_score",
    "product_balance",
    "score_entropy",
    "sample_time",
    "site_time",
    "tree",
    "udlm",
    "uniform",
    "velocity_weight",
]
