"""What the card of a task tells of its parts, so that a run goes on only with the same ones.

A part is told by its representation, and what the representation leaves out, the values of tensors, by a hash.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["sha256_of", "told"]


def told(part: Any) -> str:
    """Representation without the addresses of functions, which differ from run to run.

    Parameters
    ----------
    part
        A process, a network, a law of times, an objective.
    """
    return re.sub(r" at 0x[0-9a-f]+", "", repr(part))


def sha256_of(*parts: Any) -> str:
    """Hash of the bytes of all tensors of some parts, in order.

    Parameters
    ----------
    *parts
        Tensors and networks; functions and methods that hold some, in closures too; dataclasses, mappings and
        sequences of these.
    """
    digest = hashlib.sha256()
    for tensor in _tensors(parts, set()):
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _tensors(part: Any, seen: set[int]) -> Iterator[Tensor]:
    """Tensors of a part, each object once."""
    if isinstance(part, Tensor):
        yield part
    elif id(part) not in seen:
        seen.add(id(part))
        for member in _members(part):
            yield from _tensors(member, seen)


def _members(part: Any) -> list[Any]:
    """What a part is made of; nothing for what holds no tensor."""
    if isinstance(part, nn.Module):
        return list(part.state_dict().values())
    if isinstance(part, Mapping):
        return list(part.values())
    if isinstance(part, (list, tuple)):
        return list(part)
    if isinstance(part, partial):
        return [part.func, part.args, part.keywords]
    if isinstance(part, MethodType):
        return [part.__self__]
    if isinstance(part, FunctionType):
        return [*(cell.cell_contents for cell in part.__closure__ or ()), part.__defaults__, part.__kwdefaults__]
    if is_dataclass(part) and not isinstance(part, type):
        return [getattr(part, field.name) for field in fields(part)]
    return []
