"""Models with integer timesteps, as the schedulers of diffusers drive them, and the way back.

Such a scheduler calls ``model(sample, timestep).sample`` and is told what it gets [1]_:

    "epsilon"        eps = (x - alpha_k m) / sigma_k
    "v_prediction"   v   = alpha_k eps - sigma_k m
    "sample"         m   = E[x_0 | x]

with ``alpha_k = sqrt(abar_k)`` and ``sigma_k = sqrt(1 - abar_k)``. All are linear in ``m``, so that nothing is lost on
the way; `diffusers` itself is not imported.

References
----------
.. [1] P. von Platen et al., "Diffusers: state-of-the-art diffusion models", the page on schedulers of its manual
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from scidiff.denoise.denoiser import Denoiser
from scidiff.errors import ConfigError, NumericalError, ShapeError, UnknownNameError
from scidiff.interchange.discrete_schedule import DiscreteSchedule
from scidiff.interchange.levels import (
    check_one_tensor,
    denoised_mean,
    require_reach,
    sample_levels,
    working_dtype,
)
from scidiff.process.base import Kind, sample_time
from scidiff.process.gaussian import GaussianProcess
from scidiff.process.schedule import Schedule

__all__ = ["PREDICTION_TYPES", "DiffusersModel", "DiffusersOutput", "from_diffusers", "to_diffusers"]

PREDICTION_TYPES: Mapping[str, Kind] = MappingProxyType(
    {"epsilon": Kind.EPS, "v_prediction": Kind.V, "sample": Kind.MEAN}
)
"""The names of diffusers for what a model predicts."""


@dataclass(frozen=True)
class DiffusersOutput:
    """What a model returns, under the name that schedulers and pipelines read.

    Parameters
    ----------
    sample
        The prediction, shape of the state.
    """

    sample: Tensor


@dataclass(frozen=True, eq=False)
class DiffusersModel:
    """A denoiser with the call of a diffusers model; made by `to_diffusers`.

    Parameters
    ----------
    denoiser, process
        The model.
    steps
        Levels of the timesteps.
    prediction_type
        What comes out, in the words of `PREDICTION_TYPES`.
    """

    denoiser: Denoiser
    process: GaussianProcess
    steps: DiscreteSchedule
    prediction_type: str = "epsilon"

    def __post_init__(self) -> None:
        check_one_tensor(self.denoiser, self.process)
        _kind(self.prediction_type)
        require_reach(self.process, self.steps.ratio(1.0), "the last timestep")

    def __call__(
        self, sample: Tensor, timestep: Tensor | float, condition: Any = None, return_dict: bool = True
    ) -> DiffusersOutput | tuple[Tensor]:
        """Predict.

        Parameters
        ----------
        sample
            State, batch first; scaled to ``alpha_k^2 + sigma_k^2 = 1``, as ``scheduler.scale_model_input`` gives it.
        timestep
            One for all samples or one for each, from 0 to ``K - 1``; between integers the ratio is interpolated.
        condition
            Handed to the denoiser.
        return_dict
            Whether the prediction comes in an object with a member ``sample``, or in a tuple.

        Returns
        -------
        DiffusersOutput or tuple
            The prediction, in the dtype of `sample`.

        Raises
        ------
        ConfigError
            If a timestep lies outside of the table.
        """
        k = sample_levels(timestep, sample, "timestep")
        if not bool(((k >= 0) & (k <= self.steps.count - 1)).all()):
            raise ConfigError(
                f"timesteps from {float(k.min()):g} to {float(k.max()):g} came; expected 0 to {self.steps.count - 1}"
            )
        time = self.steps.time(k)
        alpha, sigma, x = self.steps.alpha(time), self.steps.sigma(time), sample.double()
        m = denoised_mean(self.denoiser, self.process, x, alpha, self.steps.ratio(time), condition)
        eps = (x - alpha * m) / sigma
        kind = _kind(self.prediction_type)
        found = m if kind is Kind.MEAN else eps if kind is Kind.EPS else alpha * eps - sigma * m
        return DiffusersOutput(found.to(sample.dtype)) if return_dict else (found.to(sample.dtype),)


def to_diffusers(
    denoiser: Denoiser,
    process: GaussianProcess,
    steps: DiscreteSchedule | None = None,
    *,
    prediction_type: str = "epsilon",
) -> DiffusersModel:
    """Give a model the call that the schedulers of diffusers expect.

    Parameters
    ----------
    denoiser, process
        The model.
    steps
        Levels of the timesteps; by default a thousand levels of the model's own schedule. Build the scheduler from the
        same ones: ``trained_betas=model.steps.betas``.
    prediction_type
        What comes out, in the words of `PREDICTION_TYPES`; tell the scheduler the same.

    Returns
    -------
    DiffusersModel
        The callable.

    Raises
    ------
    ConfigError
        If the model is not one tensor with Gaussian noise, or the timesteps have more noise than it was made for.
    UnknownNameError
        If there is no such prediction type.
    """
    steps = DiscreteSchedule.of(process.schedule) if steps is None else steps
    return DiffusersModel(denoiser, process, steps, prediction_type)


def from_diffusers(
    model: Callable[..., Any], steps: DiscreteSchedule, schedule: Schedule, *, prediction_type: str = "epsilon"
) -> Denoiser:
    """Make a denoiser of a model with integer timesteps.

    The model is asked at the real timestep whose level is that of ``t``; below the level of its first timestep it is
    asked at 0, where the error is that of a model used a little outside of its training.

    Parameters
    ----------
    model
        ``model(sample, timestep)`` returns an object with a member ``sample``, or a tuple; a condition, if one comes,
        is handed over as ``encoder_hidden_states``.
    steps
        Levels of the timesteps that the model was trained with.
    schedule
        Schedule of the process in which the denoiser will be used; `steps` itself is one.
    prediction_type
        What the model predicts, in the words of `PREDICTION_TYPES`.

    Returns
    -------
    Denoiser
        Of kind MEAN, float64; every call of it is one call of the model.

    Raises
    ------
    UnknownNameError
        If there is no such prediction type.
    """
    kind = _kind(prediction_type)

    def mean(x: Tensor, t: Tensor, condition: Any = None) -> Tensor:
        time = sample_time(t, x)
        lam = sample_levels(schedule.lam(time), x, "time")
        if kind is Kind.EPS and bool(lam.isneginf().any()):
            raise NumericalError(
                "a model of kind epsilon was asked at a time without signal, where it determines no mean; "
                "use a schedule or a grid that keeps alpha > 0"
            )
        scale = (schedule.alpha(time) ** 2 + schedule.sigma(time) ** 2).sqrt().reshape(lam.shape)
        alpha, sigma, state = torch.sigmoid(2 * lam).sqrt(), torch.sigmoid(-2 * lam).sqrt(), x.double() / scale
        dtype = working_dtype(model, x.dtype)
        k = steps.timestep(steps.t(lam)).flatten().expand(len(x)).to(torch.promote_types(dtype, torch.float32))
        given = {} if condition is None else {"encoder_hidden_states": condition}
        said = _prediction(model(state.to(dtype), k, **given)).double()
        if said.shape != x.shape:
            raise ShapeError(
                f"the model returned shape {tuple(said.shape)}; expected {tuple(x.shape)}, as the state has"
            )
        if kind is Kind.MEAN:
            return said
        return (state - sigma * said) / alpha if kind is Kind.EPS else alpha * state - sigma * said

    return Denoiser(mean, Kind.MEAN)


def _kind(prediction_type: str) -> Kind:
    if prediction_type not in PREDICTION_TYPES:
        raise UnknownNameError("prediction type", prediction_type, PREDICTION_TYPES)
    return PREDICTION_TYPES[prediction_type]


def _prediction(output: Any) -> Tensor:
    """Tensor of an output, whichever of the two forms it has."""
    found = output[0] if isinstance(output, tuple) else getattr(output, "sample", None)
    if not isinstance(found, Tensor):
        raise ConfigError(f"the model returned a {type(output).__name__}; expected a tuple, or a member 'sample'")
    return found
