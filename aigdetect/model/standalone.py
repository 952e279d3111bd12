"""A model as one file that other programs run: views in, logits out."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import aigdetect
from aigdetect.errors import ModelError, UsageError
from aigdetect.files import write_atomically
from aigdetect.images.views import scales_of
from aigdetect.model.base import Network
from aigdetect.model.card import ModelCard

FORMATS = ("onnx", "torch")
#: name of what a file says of its model: a metadata property of ONNX, an extra file of torch's
CARD_KEY = "aigdetect"
#: a file is kept if its logits differ by no more from the model's own
TOLERANCE = 1e-3
_IMAGES = 3


class Exported(nn.Module):
    """What a file holds: views ``(B, V, S, S, 3)`` uint8, 0..255, to logits ``(B,)`` float32.

    Args:
        network: of the model.
        names: of the V views.
    """

    def __init__(self, network: Network, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.scales = scales_of(names)

    def forward(self, views: Tensor) -> Tensor:
        """Logits of images by all their views."""
        images, places = views.shape[:2]
        trunk = self.network.trunk(views.flatten(0, 1))
        return self.network.tail(trunk.view(images, places, *trunk.shape[1:]), self.scales)


def export_model(network: Network, card: ModelCard, path: Path, form: str) -> float:
    """Write a model as one file, once what it says was compared with the model's own logits.

    The batch may be of any size. The file says how images become views, and what its logits mean, as JSON
    under :data:`CARD_KEY`; see :func:`told`.

    Args:
        network: of the model, float32 on the CPU.
        card: its card.
        path: file to write; none may be there.
        form: out of :data:`FORMATS`.

    Returns:
        the largest difference of a logit.

    Raises:
        UsageError: if the form is unknown, the file is there already or cannot be written, or a library for
            the form is not installed.
        ModelError: if the file's logits are not the model's.
    """
    if form not in FORMATS:
        raise UsageError(f"--to: {form!r} is none of {', '.join(FORMATS)}")
    if path.exists():
        raise UsageError(f"{path}: is there already; name another file")
    whole = Exported(network, card.preprocess.views).eval().requires_grad_(False)
    size = card.preprocess.size
    generator = torch.Generator().manual_seed(0)
    views = torch.randint(
        0, 256, (_IMAGES, len(card.preprocess.views), size, size, 3), dtype=torch.uint8, generator=generator
    )
    about = json.dumps(told(card))
    with torch.no_grad():
        expected = whole(views).numpy()
        made, found = (_onnx if form == "onnx" else _torch)(whole, views, about)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise ModelError(
            f"{card.name}: as {form}, a logit differs by {difference:.2g} from the model's own; not written"
        )
    write_atomically(path, made)
    return difference


def told(card: ModelCard) -> dict[str, Any]:
    """What a file says of its model.

    Returns:
        ``model``, ``adapter_sha256``, ``backbone``, ``backbone_digest``; ``views`` and ``size``: names and
        side of the views; ``slope`` and ``intercept``: of the logit, to the log odds at equal priors;
        ``log10_lr``: the least and the largest decimal logarithm of the likelihood ratio that may be claimed;
        ``ai_above`` and ``real_below``: logits of the verdicts, null if there is none; ``program``.
    """
    calibration = card.calibration
    limits = calibration.thresholds()
    return {
        "model": card.name,
        "adapter_sha256": card.adapter_sha256,
        "backbone": card.backbone,
        "backbone_digest": card.backbone_digest,
        "views": list(card.preprocess.views),
        "size": card.preprocess.size,
        "slope": calibration.slope,
        "intercept": calibration.intercept,
        "log10_lr": [-math.log10(calibration.generated_size), math.log10(calibration.real_size)],
        "ai_above": limits.ai if math.isfinite(limits.ai) else None,
        "real_below": limits.real if math.isfinite(limits.real) else None,
        "program": f"aigdetect {aigdetect.__version__}",
    }


def _program(whole: Exported, views: Tensor) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    return torch.export.export(whole, (views[:2],), dynamic_shapes=({0: batch},))


def _torch(whole: Exported, views: Tensor, about: str) -> tuple[bytes, np.ndarray]:
    """A file of ``torch.export``, and the logits that it gives."""
    file = io.BytesIO()
    torch.export.save(_program(whole, views), file, extra_files={CARD_KEY: about})
    file.seek(0)
    return file.getvalue(), torch.export.load(file).module()(views).numpy()


def _onnx(whole: Exported, views: Tensor, about: str) -> tuple[bytes, np.ndarray]:
    """A file of ONNX, and the logits that onnxruntime gives."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError as error:
        raise UsageError(
            f"--to onnx: {error.name} is not installed; pip install 'aigdetect[onnx]'"
        ) from error
    made = torch.onnx.export(
        _program(whole, views), input_names=["views"], output_names=["logits"], dynamo=True, verbose=False
    )
    assert made is not None  # dynamo gives a program
    model = made.model_proto
    property_ = model.metadata_props.add()
    property_.key, property_.value = CARD_KEY, about
    data = model.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"views": views.numpy()})
    return data, logits
