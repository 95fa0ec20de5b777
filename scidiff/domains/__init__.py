"""The domains, each imported as ``scidiff.domains.<name>``.

In a checkout their source lies in the top-level folder ``domains/``; this package then finds them there. In an
installed package they lie beside this file.
"""

from pathlib import Path as _Path

_root = _Path(__file__).resolve().parents[2]
if (_root / "domains" / "__init__.py").is_file() and (_root / "pyproject.toml").is_file():
    __path__.append(str(_root / "domains"))
