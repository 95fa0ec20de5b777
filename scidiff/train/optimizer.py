r"""AdamW over a network's parameters: groups, gradient norm, averaging over processes, and its state by name.

The gradient :math:`g` of a step is the mean over micro-steps and processes. It is scaled by
:math:`\min(1, c / \lVert g \rVert_2)` with the norm over all parameters at once (Pascanu, Mikolov and Bengio,
arXiv:1211.5063, algorithm 1). Weight decay is decoupled (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2) and
acts on matrices only: biases and gains of normalisations have one axis and are left alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from scidiff.errors import CheckpointError, ConfigError
from scidiff.train.config import TrainConfig

__all__ = ["adamw", "clip_gradients", "gradient_norm", "load_optimizer", "optimizer_tensors"]


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that ask for a gradient, by name."""
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


def adamw(network: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """Build the optimizer, in its fused form.

    Parameters
    ----------
    network
        Network to train.
    config
        Learning rate, betas and weight decay.

    Returns
    -------
    torch.optim.AdamW
        Two groups: parameters with two or more axes (decayed) and the others.

    Raises
    ------
    ConfigError
        If no parameter of the network asks for a gradient.
    """
    parameters = list(trainable(network).values())
    if not parameters:
        raise ConfigError("the network has 0 trainable parameters; expected at least one; set requires_grad on some")
    matrices = [p for p in parameters if p.ndim >= 2]
    vectors = [p for p in parameters if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=config.learning_rate, betas=config.betas, fused=True
    )


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Gradients that exist, in the optimizer's order."""
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def gradient_norm(optimizer: torch.optim.Optimizer) -> float:
    """Euclidean norm of the whole gradient; not finite as soon as one entry is not.

    Parameters
    ----------
    optimizer
        Optimizer whose parameters carry gradients.

    Returns
    -------
    float
        The norm, 0 when no parameter has a gradient.
    """
    return float(torch.nn.utils.get_total_norm(gradients(optimizer)))


def clip_gradients(optimizer: torch.optim.Optimizer, norm: float, largest: float | None) -> None:
    """Scale the gradient to norm ``largest`` if its norm is greater.

    Parameters
    ----------
    optimizer
        Optimizer whose parameters carry gradients.
    norm
        Norm of the gradient.
    largest
        Largest norm allowed; ``None`` leaves the gradient alone.
    """
    if largest is not None and norm > largest:
        torch._foreach_mul_(gradients(optimizer), largest / norm)  # pyright: ignore[reportPrivateImportUsage]


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten the optimizer's state.

    Parameters
    ----------
    network
        Network that names the parameters.
    optimizer
        Its optimizer.

    Returns
    -------
    dict
        Tensors under ``"<parameter>/<entry>"``; parameters without state are absent.
    """
    return {
        f"{name}/{entry}": value
        for name, parameter in trainable(network).items()
        for entry, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back a state that :func:`optimizer_tensors` flattened.

    Parameters
    ----------
    network
        Network that names the parameters.
    optimizer
        Its optimizer; a state that it has is replaced.
    tensors
        The flattened state.

    Raises
    ------
    CheckpointError
        If a tensor belongs to no trainable parameter.
    """
    parameters = trainable(network)
    optimizer.state.clear()
    for key, value in tensors.items():
        name, _, entry = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(
                f"the optimizer state has '{key}' but the network has no trainable parameter '{name}'; "
                "resume with the network that wrote the checkpoint"
            )
        parameter = parameters[name]
        # moments lie in memory like their parameter: the fused optimizer walks through both together
        like = torch.empty_like(parameter, dtype=value.dtype) if value.shape == parameter.shape else None
        optimizer.state[parameter][entry] = value.to(parameter.device, copy=True) if like is None else like.copy_(value)
