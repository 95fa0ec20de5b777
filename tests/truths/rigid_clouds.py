"""Noisy rigid bodies in every orientation: laws of point clouds whose exact denoiser is known.

    x_0 = mu R^T + s P xi,    R uniform on SO(d) or O(d),    mu (n, d) of zero mean,    P xi normal on the centred space

Given ``x = x_t`` and with ``v = alpha^2 s^2 + sigma^2`` the rotation has the density ``exp(<F, R>)``,
``F = (alpha / v) x^T mu``, and given both the mean of ``x_0`` is that of a Gaussian, so that

    m = mu E[R]^T + (alpha s^2 / v) (x - alpha mu E[R]^T).

In the plane ``<F, R>`` is ``k cos(angle - angle_0)``: a von Mises law, ``E[R] = I_1(k) / I_0(k) R_0``; its mirror
image counts with the weight ``I_0(k')``. In space it is the matrix Fisher law: with the proper singular values of
``F = U diag(q) V^T``,

    c(q) = 1/2 int_-1^1 I_0((q1 - q2)(1 - u) / 2) I_0((q1 + q2)(1 + u) / 2) exp(q3 u) du,
    E[R] = U diag(d log c / d q) V^T        (T. Lee, arXiv:1710.03746).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scidiff.denoise import Denoiser
from scidiff.process import Kind, Schedule, site_time
from scidiff.random import Source
from scidiff.spaces import centre

NODES, WEIGHTS = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(64))


def proper_svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``U, q, V`` with rotations `U`, `V` of space; the last entry of `q` may be negative."""
    u, q, vt = torch.linalg.svd(matrix)
    last = torch.tensor([False, False, True])
    turn_u, turn_v = (torch.where(last, torch.linalg.det(part).unsqueeze(1), 1.0) for part in (u, vt))
    return u * turn_u.unsqueeze(1), q * turn_u * turn_v, vt.mT * turn_v.unsqueeze(1)


def best_turn(x: Tensor, mu: Tensor) -> Tensor:
    """Rotation of space that brings `mu` nearest to ``x``."""
    u, _, v = proper_svd(x.mT @ mu)
    return u @ v.mT


@dataclass(frozen=True)
class RigidCloud:
    """A body `mu` with noise of standard deviation `std` on every point."""

    schedule: Schedule
    mu: Tensor
    std: float

    @property
    def denoiser(self) -> Denoiser:
        """The exact denoised mean."""
        return Denoiser(self, Kind.MEAN)

    def __call__(self, x: Tensor, t: Tensor | float, condition: Any = None) -> Tensor:
        """Denoised mean of ``x``."""
        t = site_time(t, x).expand(x.shape)[:, :1, :1]
        alpha, sigma = self.schedule.alpha(t), self.schedule.sigma(t)
        v = (alpha * self.std) ** 2 + sigma**2
        body = self.body(alpha / v * (x.mT @ self.mu))
        return body + alpha * self.std**2 / v * (x - alpha * body)

    def body(self, f: Tensor) -> Tensor:
        """``mu E[R]^T`` under the density ``exp(<F, R>)``."""
        raise AssertionError("a subclass knows its rotations")

    def turns(self, noise: Source) -> Tensor:
        """Rotations drawn uniformly."""
        raise AssertionError("a subclass knows its rotations")

    def draw(self, noise: Source) -> Tensor:
        """Draw data."""
        body = self.mu @ self.turns(noise).mT
        return body + self.std * centre(noise.normal(tuple(self.mu.shape), step=0, stream="data"))


@dataclass(frozen=True)
class Planar(RigidCloud):
    """A body in the plane; with `mirror` its mirror image is as likely."""

    mirror: bool = False

    def body(self, f: Tensor) -> Tensor:
        """Mean body: von Mises laws of the body, and of its mirror image."""
        flips = [torch.eye(2), torch.diag(torch.tensor([1.0, -1.0]))][: 1 + self.mirror]
        parts, logs = [], []
        for flip in flips:
            g = f @ flip.double()
            a, b = g[:, 0, 0] + g[:, 1, 1], g[:, 1, 0] - g[:, 0, 1]
            k, angle = torch.hypot(a, b), torch.atan2(b, a)
            length = torch.special.i1e(k) / torch.special.i0e(k)
            c, s = length * angle.cos(), length * angle.sin()
            parts.append(self.mu @ flip.double() @ torch.stack([c, s, -s, c], 1).view(-1, 2, 2))
            logs.append(torch.special.i0e(k).log() + k)
        weights = torch.softmax(torch.stack(logs), 0)
        return sum(w[:, None, None] * part for w, part in zip(weights, parts, strict=True))

    def turns(self, noise: Source) -> Tensor:
        """Rotations, half of them after a reflection where the law has both."""
        angle = 2 * torch.pi * noise.uniform((), step=0, stream="angle")
        c, s = angle.cos(), angle.sin()
        turn = torch.stack([c, -s, s, c], 1).view(-1, 2, 2)
        flipped = self.mirror & (noise.uniform((), step=0, stream="mirror") < 0.5)
        signs = torch.stack([torch.ones_like(c), torch.where(flipped, -1.0, 1.0)], 1)
        return turn * signs.unsqueeze(1)

    def wiener(self, x: Tensor, t: Tensor) -> Tensor:
        """Best linear denoiser, from the second moments of the law; one time for all."""
        n, alpha, sigma = len(self.mu), self.schedule.alpha(t), self.schedule.sigma(t)
        second = self.mu @ self.mu.T / 2 + self.std**2 * (torch.eye(n).double() - 1 / n)
        return torch.linalg.solve(alpha**2 * second + sigma**2 * torch.eye(n).double(), alpha * second) @ x


@dataclass(frozen=True)
class Spatial(RigidCloud):
    """A body in space."""

    def body(self, f: Tensor) -> Tensor:
        """Mean body: a matrix Fisher law."""
        u, q, v = proper_svd(f)
        with torch.enable_grad():
            q.requires_grad_()
            q1, q2, q3 = (part.unsqueeze(1) for part in q.unbind(1))
            i0 = torch.special.i0e((q1 - q2) * (1 - NODES) / 2) * torch.special.i0e((q1 + q2) * (1 + NODES) / 2)
            log_c = q.sum(1) + (i0 * ((q2 + q3) * (NODES - 1)).exp() @ WEIGHTS / 2).log()
            (slope,) = torch.autograd.grad(log_c.sum(), q)
        return self.mu @ (u * slope.unsqueeze(1) @ v.mT).mT

    def turns(self, noise: Source) -> Tensor:
        """Rotations from normalised normal quaternions."""
        w, x, y, z = torch.nn.functional.normalize(noise.normal((4,), step=0, stream="turn"), dim=1).unbind(1)
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        return torch.stack([torch.stack(row, 1) for row in rows], 1)
