"""Bodies out of timm's networks: whole, or up to one of their parts."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import timm
import torch
from timm.models import is_model
from torch import nn

from aigdetect.errors import UsageError


def whole(name: str, *, channels: int = 3) -> tuple[nn.Module, int]:
    """A network of timm with random weights and without its classifier, and the numbers that it gives.

    Args:
        name: as timm has it, perhaps with the tag of its weights.
        channels: of what it sees.

    Raises:
        UsageError: if timm has none of that name.
    """
    require_known(name)
    network: Any = timm.create_model(name, pretrained=False, num_classes=0, in_chans=channels)
    return network, int(network.num_features)


def up_to(name: str, last: str) -> tuple[nn.Sequential, int]:
    """The parts of a sequential network of timm up to one of them, by their names, and its channels.

    Args:
        name: as for :func:`whole`.
        last: name of the last part, such as ``layer2``.

    Raises:
        UsageError: if there is no such network or part.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for part, module in whole(name)[0].named_children():
        parts[part] = module
        if part == last:
            break
    else:
        raise UsageError(f"network: {name} has no part {last!r}; it has {', '.join(parts)}")
    body = nn.Sequential(parts)
    with torch.no_grad():
        return body, int(body.eval()(torch.zeros(1, 3, 64, 64)).shape[1])


def require_known(name: str) -> None:
    """Refuse what timm does not have.

    Raises:
        UsageError: naming it.
    """
    if not is_model(name.partition(".")[0]):
        raise UsageError(f"network: timm has no {name!r}")
