"""What DM4CT published, to be quoted beside measured rows.

The sources disagree by up to 0.5 dB. Data, priors and tuned scales differ from those here, so that the numbers serve
for the order of methods and the distance between them, and not for a comparison of values.

References
----------
DM4CT, arXiv:2602.18589, table 2
"""

from __future__ import annotations

from collections.abc import Iterator

from scidiff.domain import Row

__all__ = ["PUBLISHED", "quoted_rows"]

Entry = tuple[str, float, float]

PUBLISHED: dict[str, tuple[Entry, ...]] = {
    "medical i": (
        ("FBP", 26.98, 0.69),
        ("SIRT", 30.40, 0.80),
        ("ADMM-PDTV", 30.92, 0.82),
        ("DDS", 31.43, 0.84),
        ("ReSample", 32.03, 0.85),
        ("INR", 33.21, 0.86),
        ("SwinIR", 32.45, 0.88),
    ),
    "medical ii": (
        ("FBP", 9.89, 0.03),
        ("SIRT", 26.23, 0.47),
        ("ReSample", 27.92, 0.73),
        ("INR", 26.15, 0.76),
        ("SwinIR", 29.92, 0.83),
    ),
    "medical iii": (("SIRT", 24.48, 0.32), ("DPS", 27.81, 0.74), ("SwinIR", 29.40, 0.80)),
    "medical iv": (
        ("FBP", 14.50, 0.13),
        ("SIRT", 25.86, 0.40),
        ("ReSample", 29.70, 0.76),
        ("INR", 29.50, 0.74),
        ("SwinIR", 30.79, 0.85),
    ),
    "industrial ii": (("SIRT", 16.67, 0.30), ("SwinIR", 19.51, 0.55)),
    "rock, 60 views": (
        ("SIRT", 27.92, 0.52),
        ("MCG", 27.43, 0.57),
        ("DDS", 27.90, 0.49),
        ("RED-diff", 28.06, 0.51),
        ("SwinIR", 32.41, 0.70),
    ),
}
"""Method, PSNR in dB and SSIM for each setting."""


def quoted_rows(setting: str) -> Iterator[Row]:
    """Quote a setting.

    Parameters
    ----------
    setting
        A name of `PUBLISHED`; others have no row.
    """
    for name, value, similarity in PUBLISHED.get(setting, ()):
        note = f"arXiv:2602.18589, table 2, known to 0.5 dB; SSIM {similarity}; other data, another prior, tuned scales"
        yield Row(f"DM4CT {setting}, {name} as published: PSNR", "quoted", value, unit="dB", note=note)
