"""How near an image is to the truth: PSNR and SSIM.

    PSNR = 10 log10(range^2 / mean (x - truth)^2)

SSIM is the mean over the pixels of the product of luminance, contrast and structure terms with a Gaussian window of
standard deviation 1.5 cut at 11 pixels, ``K_1 = 0.01``, ``K_2 = 0.03``, borders left out.

References
----------
Z. Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE Trans. Image Process.
13 (2004) 600, doi:10.1109/TIP.2003.819861
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from scidiff.errors import ConfigError, ShapeError

__all__ = ["psnr", "ssim"]

_WINDOW, _SD = 11, 1.5


def _pair(x: Tensor, truth: Tensor, span: float) -> tuple[Tensor, Tensor]:
    if x.shape[-truth.ndim :] != truth.shape:
        raise ShapeError(f"image has shape {tuple(x.shape)}; expected {tuple(truth.shape)}, with or without a batch")
    if not span > 0:
        raise ConfigError(f"span is {span}; expected the positive range of the values")
    return x.double(), truth.double()


def psnr(x: Tensor, truth: Tensor, span: float) -> Tensor:
    """Peak signal-to-noise ratio.

    Parameters
    ----------
    x
        Image or batch.
    truth
        The true image.
    span
        Range of values that counts as the peak; state it beside every number.

    Returns
    -------
    Tensor
        Ratio in dB, ``()`` or ``(batch,)``.
    """
    x, truth = _pair(x, truth, span)
    error = (x - truth).square().flatten(-truth.ndim).mean(-1)
    return 10.0 * torch.log10(span**2 / error)


def ssim(x: Tensor, truth: Tensor, span: float) -> Tensor:
    """Structural similarity of two-dimensional images.

    Parameters
    ----------
    x, truth, span
        As for `psnr`; edges of at least 11 pixels.

    Returns
    -------
    Tensor
        At most 1, ``()`` or ``(batch,)``.
    """
    x, truth = _pair(x, truth, span)
    if truth.ndim != 2 or min(truth.shape) < _WINDOW:
        raise ShapeError(f"truth has shape {tuple(truth.shape)}; expected two edges of at least {_WINDOW} pixels")
    batch = x.reshape(-1, 1, *truth.shape)
    at = torch.arange(_WINDOW, dtype=torch.float64) - _WINDOW // 2
    line = torch.exp(-0.5 * (at / _SD) ** 2)
    window = (line[:, None] * line / line.sum() ** 2)[None, None]
    other = truth[None, None].expand_as(batch)
    moments = [conv2d(image, window) for image in (batch, other, batch**2, other**2, batch * other)]
    mx, mt, xx, tt, xt = moments
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    top = (2 * mx * mt + c1) * (2 * (xt - mx * mt) + c2)
    bottom = (mx**2 + mt**2 + c1) * (xx - mx**2 + tt - mt**2 + c2)
    return (top / bottom).flatten(1).mean(1).reshape(x.shape[: -truth.ndim])
