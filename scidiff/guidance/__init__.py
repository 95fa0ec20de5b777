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
from scidiff.guidance.draws import Draws, ExactDraws, Glass
from scidiff.guidance.gaussian import MMPS, TMPD, PiGDM
from scidiff.guidance.inpaint import Replace, repaint
from scidiff.guidance.monte_carlo import CBG, DOIT, Doob
from scidiff.guidance.particles import Particles, effective_size, systematic
from scidiff.guidance.plug_in import PlugIn
from scidiff.guidance.reward import GaussianLikelihood, Reward
from scidiff.guidance.tilt import Estimate, Estimator, Tilt

__all__ = [
    "CBG",
    "DOIT",
    "MMPS",
    "TMPD",
    "AutoGuidance",
    "ClassifierFree",
    "Covariance",
    "Doob",
    "Draws",
    "Estimate",
    "Estimator",
    "ExactDraws",
    "GaussianLikelihood",
    "Glass",
    "LinearConstraint",
    "Particles",
    "PiGDM",
    "PlugIn",
    "Replace",
    "Reward",
    "Spectral",
    "Tilt",
    "Tweedie",
    "White",
    "effective_size",
    "extrapolate",
    "fourier_covariance",
    "matrix_covariance",
    "repaint",
    "systematic",
]
