"""Rows on the methods of DM4CT and others: one scan, one prior, one table; and the published table beside it.

All methods see the same counts-derived weights, start, and number of levels, with every extra scale at 1: what a method
loses when nothing is tuned on the truth is a part of what is shown. The published numbers belong to other data, another
prior and tuned scales; they are quoted for the order of methods, not for a comparison of values.
"""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.domain import Row
from scidiff.errors import ScidiffError, UnknownNameError

from ..methods import METHODS, reconstruct
from ..methods.run import find_prior
from ..metrics import psnr, ssim
from .siemens import SETTINGS, load_slices

__all__ = ["PUBLISHED", "dm4ct_rows"]

_SLICE, _SPAN = 10, 2.0
_STEPS = {"red-diff": 200, "hybridreg": 200, "dmplug": 100, "sitcom": 10}
_OPTIONS = {"cbg": {"draws": 4, "inner": 4}, "tds": {"size": 4}}
_FEW = {"cbg": 2, "tds": 2, "dmplug": 2, "sitcom": 2}

PUBLISHED = (
    ("FBP", 26.98, 0.69),
    ("SIRT", 30.40, 0.80),
    ("ADMM-PDTV", 30.92, 0.82),
    ("DDS", 31.43, 0.84),
    ("ReSample", 32.03, 0.85),
    ("INR", 33.21, 0.86),
    ("SwinIR", 32.45, 0.88),
)
"""Method, PSNR in dB and SSIM: DM4CT, arXiv:2602.18589, table 2, medical data, 40 noise-free views, known to 0.5 dB."""


def dm4ct_rows(
    prior: str = "ct", methods: tuple[str, ...] = (), count: int = 4, steps: int = 50, number: int = _SLICE
) -> Iterator[Row]:
    """Measure every method on one slice.

    Parameters
    ----------
    prior
        Name or path.
    methods
        Which; all, with TV and SIRT, by default.
    count, steps
        Samples and noise levels; methods that cost many calls for a level take fewer samples.
    number
        Slice of the test series.
    """
    try:
        law = find_prior(prior)
    except UnknownNameError:
        return
    test = load_slices(law)
    if test is None:
        return
    setting = SETTINGS[1]
    scan, truth, unit = test.scan(number, setting), test.x[number], law.unit
    baseline = None
    for method in methods or ("sirt", "tv", *METHODS):
        levels, samples = _STEPS.get(method, steps), _FEW.get(method, count)
        try:
            found = reconstruct(
                scan, law, method, grid=test.grid, count=samples, steps=levels, **_OPTIONS.get(method, {})
            )
        except ScidiffError as error:
            yield Row(f"{method} on one slice: failed", "measured", 1.0, note=f"{type(error).__name__}: {error}"[:200])
            continue
        mean, one = found.mean / unit, found.samples[found.ok] / unit
        value = float(psnr(mean, truth, _SPAN))
        baseline = value if method == "tv" else baseline
        covered = f", coverage {found.coverage(unit * truth):.2f}" if len(one) > 1 and float(found.sd.max()) > 0 else ""
        note = (
            f"slice {number}, {setting.name}, {levels} levels, {len(one)} samples: one sample "
            f"{float(psnr(one, truth, _SPAN).mean()):.2f} dB, SSIM {float(ssim(mean, truth, _SPAN)):.3f}, chi^2/n "
            f"{float(found.chi2[found.ok].mean()):.3g}{covered}, {found.memory:.0f} MB more"
        )
        label = found.label if method in METHODS else "measured"
        yield Row(
            f"{found.method} on one slice: PSNR", label, value, unit="dB", baseline=baseline,
            baseline_name="" if baseline is None else "TV+ by discrepancy", calls=found.calls, seconds=found.seconds,
            note=note,
        )  # fmt: skip
    for name, value, similarity in PUBLISHED:
        note = f"arXiv:2602.18589, table 2: medical, 40 noise-free views, SSIM {similarity}; other data, other prior"
        yield Row(f"DM4CT, {name}: PSNR", "quoted", value, unit="dB", note=note)
