"""Guidance: tilts by rewards and likelihoods, classifier-free guidance, particles, constraints."""

from scidiff.guidance.classifier_free import AutoGuidance, ClassifierFree, extrapolate
from scidiff.guidance.constraints import LinearConstraint
from scidiff.guidance.covariances import (
    Covariance,
    Spectral,
    Tweedie,
    White,
    fourier_covariance,
    matrix_covariance,
)
from scidiff.guidance.discrete import (
    Differences,
    DiscreteTilt,
    Enumeration,
    Factorised,
    Relaxation,
    SiteEstimate,
    SiteEstimator,
    WeightedDraws,
)
from scidiff.guidance.discrete_draws import EnumeratedDraws, FactorisedDraws, Rollouts, SiteDraws
from scidiff.guidance.draws import Draws, ExactDraws, Glass
from scidiff.guidance.effective import EffectiveScale, plot_effective_scale, summarise_effective_scale
from scidiff.guidance.gaussian import MMPS, TMPD, PiGDM
from scidiff.guidance.inpaint import Replace, repaint
from scidiff.guidance.look_ahead import LookAhead
from scidiff.guidance.monte_carlo import CBG, DOIT, Doob
from scidiff.guidance.moves import Moves, SiteMoves, TableMoves
from scidiff.guidance.oracle import OracleCalibration, calibrate_estimator
from scidiff.guidance.particles import Particles, effective_size, systematic
from scidiff.guidance.plug_in import PlugIn
from scidiff.guidance.report import GuidedRun, guided, plot_guided
from scidiff.guidance.reward import GaussianLikelihood, Reward
from scidiff.guidance.spread import table_spread
from scidiff.guidance.tilt import Estimate, Estimator, Tilt

__all__ = [
    "CBG",
    "DOIT",
    "MMPS",
    "TMPD",
    "AutoGuidance",
    "ClassifierFree",
    "Covariance",
    "Differences",
    "DiscreteTilt",
    "Doob",
    "Draws",
    "EffectiveScale",
    "EnumeratedDraws",
    "Enumeration",
    "Estimate",
    "Estimator",
    "ExactDraws",
    "Factorised",
    "FactorisedDraws",
    "GaussianLikelihood",
    "Glass",
    "GuidedRun",
    "LinearConstraint",
    "LookAhead",
    "Moves",
    "OracleCalibration",
    "Particles",
    "PiGDM",
    "PlugIn",
    "Relaxation",
    "Replace",
    "Reward",
    "Rollouts",
    "SiteDraws",
    "SiteEstimate",
    "SiteEstimator",
    "SiteMoves",
    "Spectral",
    "TableMoves",
    "Tilt",
    "Tweedie",
    "WeightedDraws",
    "White",
    "calibrate_estimator",
    "effective_size",
    "extrapolate",
    "fourier_covariance",
    "guided",
    "matrix_covariance",
    "plot_effective_scale",
    "plot_guided",
    "repaint",
    "summarise_effective_scale",
    "systematic",
    "table_spread",
]
