"""Guidance: tilts by rewards and likelihoods, classifier-free guidance, particles, constraints."""

from scidiff.guidance.classifier_free import AutoGuidance, ClassifierFree, extrapolate
from scidiff.guidance.draws import Draws, ExactDraws, Glass
from scidiff.guidance.gaussian import MMPS, TMPD, PiGDM
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
    "Doob",
    "Draws",
    "Estimate",
    "Estimator",
    "ExactDraws",
    "GaussianLikelihood",
    "Glass",
    "Particles",
    "PiGDM",
    "PlugIn",
    "Reward",
    "Tilt",
    "effective_size",
    "extrapolate",
    "systematic",
]
