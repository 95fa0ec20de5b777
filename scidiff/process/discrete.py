"""Discrete diffusion on a finite set, for any site kernel.

The network predicts the posterior ``F(v) = p(x_0 = v | x_t)`` of every site, as normalised log-probabilities ``m`` over
the ``K`` clean classes. Everything that samplers need is linear in ``F``:

    step    p(x_s = y | x_t)  = sum_v F(v) q(y | x_t, v) = Q_{t|s}[y, x_t] sum_v w(v) Q_s[v, y]
    ratios  p_t(y) / p_t(x_t) = sum_v w(v) Q_t[v, y],            w(v) = F(v) / Q_t[v, x_t]

Feeding ``F`` to the formula of a single clean class (the plug-in bridge) is wrong for uniform noise and never
converges; the bridge belongs to the leave-one-out posterior ``L(v) = p(x_0 = v | all other sites)`` [1]_. Here the two
have different kinds, `Kind.LOGITS` and `Kind.LOO_LOGITS`, and the exact conversion ``F(v) ~ L(v) Q_t[v, x_t]``.

The continuous-time bound [2]_ on ``-log p(x_0)`` is the integral over ``t`` of the generalised Kullback-Leibler
divergence between the reverse rates given ``x_0`` and those of the model,

    sum_{y != x_t}  u log(u / u_hat) - u + u_hat,    u(y) = R_t[y, x_t] Q_t[x_0, y] / Q_t[x_0, x_t],
                                                   u_hat(y) = R_t[y, x_t] sum_v w(v) Q_t[v, y].

For masks and trees it reduces to weighted cross-entropies, for uniform noise to the bound of [3]_.

References
----------
.. [1] S. Gourevitch et al., "Uniform diffusion models revisited", arXiv:2605.22765
.. [2] A. Campbell et al., "A continuous time framework for discrete denoising models", arXiv:2205.14987
.. [3] Y. Schiff et al., "Simple guidance mechanisms for discrete diffusion models", arXiv:2412.10193
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scidiff.errors import ConfigError, NumericalError, ShapeError
from scidiff.process.base import Kind, Process, site_time
from scidiff.process.concrete_score import posterior_from_score
from scidiff.process.kernels import Kernel
from scidiff.random import Source
from scidiff.spaces import Categorical
from scidiff.spaces.categorical import draw_probs

__all__ = ["DiscreteProcess"]

_LAST = 1.0 - 2.0**-40
_Time = Tensor | float


@dataclass(frozen=True, eq=False)
class DiscreteProcess(Process):
    """Independent noising of every site by one kernel.

    Parameters
    ----------
    space
        The ``D`` states of a site, clean classes first, and the shape of the sites.
    kernel
        The law of one site.
    """

    space: Categorical
    kernel: Kernel
    kind: ClassVar[Kind] = Kind.LOGITS

    def __post_init__(self) -> None:
        if self.space.classes != self.kernel.states:
            raise ConfigError(
                f"space has {self.space.classes} classes and the kernel {self.kernel.states} states; "
                "they must agree: count the groups and the mask as classes"
            )

    # ---- forward law -------------------------------------------------------------------------------------------------

    def prior(self, noise: Source, shape: Sequence[int], *, stream: str = "prior") -> Tensor:
        """Draw ``x_1``; `shape` is the shape of the sites of one sample."""
        u = noise.uniform(shape, step=0, stream=stream)
        return draw_probs(self.kernel.prior().to(u.device).expand(*u.shape, -1), u)

    def noise(self, x0: Tensor, t: _Time, noise: Source, *, step: int = 0, stream: str = "noise") -> Tensor:
        """Draw ``x_t`` given ``x_0``."""
        return self.renoise(x0, 0.0, t, noise, step=step, stream=stream)

    def renoise(
        self, x_s: Tensor, s: _Time, t: _Time, noise: Source, *, step: int = 0, stream: str = "renoise"
    ) -> Tensor:
        """Draw ``x_t`` given ``x_s`` with ``s <= t``.

        Raises
        ------
        ConfigError
            If some ``s > t``.
        """
        s, t = site_time(s, x_s), site_time(t, x_s)
        if bool((s > t).any()):
            raise ConfigError("renoise got s > t at some site; expected s <= t: noise is added, not removed")
        u = noise.uniform(x_s.shape[1:], step=step, stream=stream).to(x_s.device)
        return self.kernel.draw(x_s, u, t, s)

    # ---- predictions -------------------------------------------------------------------------------------------------

    def convert(self, prediction: Tensor, kind: Kind, x_t: Tensor, t: _Time) -> Tensor:
        """Bring logits of either posterior, or the logarithm of the concrete score, to normalised ``log F``.

        Classes that cannot have led to ``x_t`` get probability zero (carry-over): a site that is clean, or in a group
        of one class, becomes a point mass.

        Parameters
        ----------
        prediction
            Unnormalised log-probabilities, shape ``(batch, *sites, K)``, any float dtype; for `Kind.SCORE` the
            logarithms of the ratios, shape ``(batch, *sites, D)``, see `posterior_from_score`.
        kind
            `Kind.LOGITS`, `Kind.LOO_LOGITS` or `Kind.SCORE`.
        x_t
            Noised classes, shape ``(batch, *sites)``.
        t
            Time, one for all, for each sample or for each site.

        Returns
        -------
        Tensor
            ``log F``, float64.

        Raises
        ------
        ConfigError
            If the kind has no meaning on a finite set.
        ShapeError
            If the last axis does not have ``K`` entries.
        NumericalError
            If no class can have led to a state, e.g. a mask at ``t = 0``; or if a score does not determine ``F``.
        """
        if kind not in (Kind.LOGITS, Kind.LOO_LOGITS, Kind.SCORE):
            raise ConfigError(f"prediction kind is {kind}; a finite set takes Kind.LOGITS, LOO_LOGITS or SCORE")
        if kind is Kind.SCORE:
            prediction = posterior_from_score(self.kernel, prediction, x_t, t)
        if prediction.shape != (*x_t.shape, self.kernel.clean):
            raise ShapeError(
                f"prediction has shape {tuple(prediction.shape)}; expected {(*x_t.shape, self.kernel.clean)}, "
                "one logit per clean class"
            )
        likelihood = self._likelihood(x_t, t)
        reachable = likelihood > 0
        if not bool(reachable.any(-1).all()):
            raise NumericalError("a state of x_t cannot be reached from any clean class at its time; check x_t and t")
        logits = prediction.double()
        if kind is Kind.LOO_LOGITS:
            logits = logits + torch.where(reachable, likelihood, 1.0).log()
        return torch.log_softmax(logits.masked_fill(~reachable, -torch.inf), dim=-1)

    def leave_one_out(self, m: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        """Normalised log-probabilities ``log L`` of the leave-one-out posterior, from ``m = log F``.

        At ``t = 0`` the site says everything, and its point mass is returned.

        Raises
        ------
        NumericalError
            If at some site with ``t > 0`` a class cannot have led to ``x_t``: there ``F`` does not determine ``L``.
        """
        likelihood = self._likelihood(x_t, t)
        hidden = (likelihood <= 0) & (site_time(t, x_t) > 0).unsqueeze(-1)
        if bool(hidden.any()):
            raise NumericalError(
                "the leave-one-out posterior is not determined by the posterior where a class cannot reach x_t (masks, "
                "trees); use a network of Kind.LOO_LOGITS and its prediction directly"
            )
        return torch.log_softmax(m.double() - torch.where(likelihood > 0, likelihood, 1.0).log(), dim=-1)

    def ratios(self, m: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        """Concrete score ``p_t(y) / p_t(x_t)`` of changing one site to ``y``, shape ``(batch, *sites, D)``.

        Where no noise leads from ``y`` to ``x_t`` the posterior does not determine the ratio, and no rate needs it:
        what stands there is not the score.

        References
        ----------
        .. [1] A. Lou et al., "Discrete diffusion modeling by estimating the ratios", arXiv:2310.16834
        """
        return self.kernel.mix(self._weights(m, x_t, t), site_time(t, x_t))

    # ---- reverse law -------------------------------------------------------------------------------------------------

    def step_probs(self, m: Tensor, x_t: Tensor, t: _Time, s: _Time) -> Tensor:
        """Reverse law ``sum_v F(v) q(x_s | x_t, v)``, linear in ``F``, shape ``(batch, *sites, D)``.

        At ``s = 0`` it is ``F``; sites at ``t = 0`` and sites with ``s = t`` stay.

        Raises
        ------
        NumericalError
            If ``m`` gives a probability to a class that cannot have led to ``x_t``; `convert` removes such classes.
        """
        t, s = site_time(t, x_t), site_time(s, x_t)
        return self.kernel.column(x_t, t, s) * self.kernel.mix(self._weights(m, x_t, t), s)

    def renoise_probs(self, m: Tensor, s: _Time) -> Tensor:
        """Law of a class drawn from ``F`` and noised to ``s``, shape ``(batch, *sites, D)``."""
        return self.kernel.mix(m.double().exp(), site_time(s, m[..., 0]))

    def posterior(self, x0: Tensor, x_t: Tensor, t: _Time, s: _Time) -> Tensor:
        """Law ``q(x_s | x_t, x_0)``, shape ``(batch, *sites, D)``."""
        t, s = site_time(t, x_t), site_time(s, x_t)
        likelihood = self.kernel.entry(x0, x_t, t)
        if bool((likelihood <= 0).any()):
            raise NumericalError("x_0 cannot have led to x_t at some site; renoise x_0 instead of taking its posterior")
        return self.kernel.column(x_t, t, s) * self.kernel.row(x0, s) / likelihood.unsqueeze(-1)

    def reverse_rates(self, m: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        """Reverse rates of the model, ``u_hat(y)`` for ``y != x_t`` and 0 at ``x_t``, shape ``(batch, *sites, D)``.

        At ``t = 1``, where rates may have a pole, they are taken at ``1 - 2^-40``.
        """
        t = site_time(t, x_t).clamp_max(_LAST)
        return self._off(self.kernel.rate_column(x_t, t) * self.ratios(m, x_t, t), x_t)

    # ---- losses ------------------------------------------------------------------------------------------------------

    def loss(self, m: Tensor, x0: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        """Cross-entropy ``-log F(x_0)`` of every site in nats; zero where ``x_t`` determines ``x_0``."""
        return -m.gather(-1, x0.unsqueeze(-1)).squeeze(-1)

    def nelbo(self, m: Tensor, x0: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        """Integrand at ``t`` of the continuous-time bound on ``-log p(x_0)``, per site in nats.

        Its mean over ``t`` uniform in (0, 1) and over ``x_t``, summed over sites, is the bound; prior and
        reconstruction terms vanish.
        """
        t = site_time(t, x_t).clamp_max(_LAST)
        rate = self.kernel.rate_column(x_t, t)
        truth = self._off(rate * self.kernel.row(x0, t) / self.kernel.entry(x0, x_t, t).unsqueeze(-1), x_t)
        model = self._off(rate * self.ratios(m, x_t, t), x_t)
        return _divergence(truth, model).sum(-1)

    def nelbo_step(self, m: Tensor, x0: Tensor, x_t: Tensor, t: _Time, s: _Time) -> Tensor:
        """Term ``KL(q(x_s | x_t, x_0) || p(x_s | x_t))`` of the discrete-time bound, per site in nats.

        The sum over the intervals of a grid from 1 to 0, averaged over ``x_t``, bounds ``-log p(x_0)``; the interval
        that ends at ``s = 0`` gives ``-log F(x_0)``.
        """
        return _x_log_ratio(self.posterior(x0, x_t, t, s), self.step_probs(m, x_t, t, s)).sum(-1)

    # ---- parts -------------------------------------------------------------------------------------------------------

    def _likelihood(self, x_t: Tensor, t: _Time) -> Tensor:
        return self.kernel.column(x_t, site_time(t, x_t))[..., : self.kernel.clean]

    def _weights(self, m: Tensor, x_t: Tensor, t: _Time) -> Tensor:
        posterior, likelihood = m.double().exp(), self._likelihood(x_t, t)
        if bool(((likelihood <= 0) & (posterior > 0)).any()):
            raise NumericalError(
                "m gives a probability to a class that cannot have led to x_t; pass it through convert, or renoise"
            )
        return posterior / torch.where(likelihood > 0, likelihood, 1.0)

    @staticmethod
    def _off(rates: Tensor, x_t: Tensor) -> Tensor:
        return rates.scatter(-1, x_t.unsqueeze(-1), 0.0)


def _divergence(u: Tensor, u_hat: Tensor) -> Tensor:
    """Term ``u log(u / u_hat) - u + u_hat = u (d - log(1 + d))`` with ``d = u_hat/u - 1``; a series for small ``d``."""
    alive = u > 0
    safe = torch.where(alive, u, 1.0)
    d = (u_hat - u) / safe
    series = d**2 * (1 / 2 - d * (1 / 3 - d * (1 / 4 - d / 5)))
    direct = d + torch.log(safe) - torch.log(torch.where(alive, u_hat, 1.0))  # a log of 0 would spoil the gradient
    return torch.where(alive, u * torch.where(d.abs() < 3e-4, series, direct), u_hat)


def _x_log_ratio(p: Tensor, q: Tensor) -> Tensor:
    """Term ``p log(p / q)`` with ``0 log 0 = 0``; infinite where only ``q`` vanishes."""
    alive = p > 0
    return torch.where(alive, p * (torch.where(alive, p, 1.0).log() - torch.where(alive, q, 1.0).log()), 0.0)
