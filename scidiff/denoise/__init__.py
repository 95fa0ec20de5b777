"""Denoisers: networks with the tag of what they predict, and data whose denoiser is known in closed form."""

from scidiff.denoise.corrupted import corrupted
from scidiff.denoise.dataset import DatasetDenoiser, SubsetDenoiser
from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.enumerated import Enumerated, markov_chain
from scidiff.denoise.mixture import GaussianMixture

__all__ = [
    "DatasetDenoiser",
    "Denoiser",
    "Enumerated",
    "GaussianMixture",
    "SubsetDenoiser",
    "corrupted",
    "markov_chain",
]
