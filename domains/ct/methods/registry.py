"""All methods by their published names: what each is called, what it promises, and how it is made.

A diffusion method is a *recipe* for the one loop: a rule with its table, transforms, and a state to begin with. None
has a loop of its own, and none has a strength that is not derived from the weights of the scan: an extra factor,
`scale`, is 1 unless it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn

from scidiff.errors import ConfigError

from . import recipes
from .problem import Problem
from .recipes import Recipe

__all__ = ["LATENT", "METHODS", "Method", "refuse_latent"]


@dataclass(frozen=True)
class Method:
    """A way from a scan and a prior to images.

    Parameters
    ----------
    name
        Published name.
    label
        ``exact``, ``consistent(order)`` or ``biased``.
    build
        Makes the recipe of a problem for a number of steps and a number of samples; further options by name.
    citation
        Where it was published.
    exact_for
        Priors or limits for which it is exact; empty where there is none.
    """

    name: str
    label: str
    build: Callable[..., Recipe]
    citation: str
    exact_for: str = ""


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "posterior": Method(
            "split Gibbs with posterior spread", "biased", recipes.posterior, "arXiv:2405.18782, spread derived here",
            "stationary Gaussian priors as levels fall slowly; all priors as calls for each level grow as well",
        ),
        "matheron": Method(
            "DAPS with Matheron draws", "biased", recipes.matheron, "arXiv:2407.01521, draws derived here",
            "stationary Gaussian priors, at every number of steps",
        ),
        "split-gibbs": Method(
            "split Gibbs (PnP-DM)", "biased", recipes.split_gibbs, "arXiv:2405.18782",
            "all priors, as levels fall slowly to 0 and calls for each grow",
        ),
        "daps": Method("DAPS", "biased", recipes.daps, "arXiv:2407.01521"),
        "mmps": Method("MMPS", "biased", recipes.mmps, "arXiv:2405.13712", "Gaussian priors, order 2 in the steps"),
        "tmpd": Method("TMPD", "biased", recipes.tmpd, "arXiv:2310.06721"),
        "pigdm": Method("PiGDM", "biased", recipes.pigdm, "ICLR 2023, openreview 9_gsMA8MRKQ"),
        "dps": Method("DPS", "biased", recipes.dps, "arXiv:2209.14687"),
        "mcg": Method("MCG", "biased", recipes.mcg, "arXiv:2206.00941"),
        "dds": Method("DDS", "biased", recipes.dds, "arXiv:2303.05754"),
        "diffpir": Method("DiffPIR", "biased", recipes.diffpir, "arXiv:2305.08995"),
        "dpir": Method("DPIR (plug-and-play)", "biased", recipes.dpir, "arXiv:2008.13751"),
        "dpir-momentum": Method(
            "DPIR with momentum", "biased", recipes.dpir_momentum, "arXiv:2008.13751, momentum added here"
        ),
        "red-diff": Method("RED-diff", "biased", recipes.red_diff, "arXiv:2305.04391"),
        "hybridreg": Method("HybridReg", "biased", recipes.hybridreg, "ICLR 2025, github deng-ai-lab/HRDIS"),
        "dmplug": Method("DMPlug", "biased", recipes.dmplug, "arXiv:2405.16749"),
        "sitcom": Method("SITCOM", "biased", recipes.sitcom, "arXiv:2410.04479"),
        "cbg": Method("CBG", "consistent(0.5)", recipes.cbg, "arXiv:2602.22428", "all priors, as draws grow"),
        "tds": Method("TDS", "consistent(0.5)", recipes.tds, "arXiv:2306.17775", "all priors, as particles grow"),
    }
)  # fmt: skip
"""Diffusion methods by name."""

LATENT = {"psld": "PSLD", "resample": "ReSample", "diffstategrad": "DiffStateGrad"}
"""Methods that need a prior of latent codes with its decoder."""


def refuse_latent(method: str, problem: Problem | None = None) -> NoReturn:
    """Say what a latent method would need.

    Raises
    ------
    ConfigError
        Always: the priors here are laws of pixels.
    """
    raise ConfigError(
        f"method '{method}' ({LATENT[method]}) samples latent codes and needs an autoencoder with a prior on its "
        "codes; the priors of this package are laws of images: use 'posterior', 'daps', or another method on pixels"
    )
