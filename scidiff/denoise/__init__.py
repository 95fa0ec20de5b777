"""Denoisers: networks with the tag of what they predict, and data whose denoiser is known in closed form."""

from scidiff.denoise.corrupted import corrupted
from scidiff.denoise.dataset import DatasetDenoiser, SubsetDenoiser
from scidiff.denoise.denoiser import Denoiser
from scidiff.denoise.enumerated import Enumerated, markov_chain
from scidiff.denoise.flow_map import FlowMap
from scidiff.denoise.graphs import pyg_denoiser
from scidiff.denoise.manifold_dataset import ManifoldDatasetDenoiser
from scidiff.denoise.mixture import GaussianMixture
from scidiff.denoise.stratified import DenoisedMean, Means, StratifiedDenoiser
from scidiff.denoise.tiles import (
    Tiles,
    per_sample,
    per_site,
    periodic,
    reflecting,
    tiled,
    variance_corrected_fusion,
)

__all__ = [
    "DatasetDenoiser",
    "DenoisedMean",
    "Denoiser",
    "Enumerated",
    "FlowMap",
    "GaussianMixture",
    "ManifoldDatasetDenoiser",
    "Means",
    "StratifiedDenoiser",
    "SubsetDenoiser",
    "Tiles",
    "corrupted",
    "markov_chain",
    "per_sample",
    "per_site",
    "periodic",
    "pyg_denoiser",
    "reflecting",
    "tiled",
    "variance_corrected_fusion",
]
