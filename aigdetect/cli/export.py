"""``aigdetect export``: a model as one file that other programs run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import Debug, Offline, Quiet, WeightsFile, terminal
from aigdetect.cli.printing import put


class Form(str, Enum):
    """What a file is for."""

    ONNX = "onnx"
    TORCH = "torch"


def export(
    model: Annotated[str, typer.Argument(metavar="NAME|FOLDER", help="Model to export.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    to: Annotated[Form, typer.Option("--to", help="ONNX, or a program of torch.export.")] = Form.ONNX,
    weights: WeightsFile = None,
    offline: Offline = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Write a model, its backbone included, as one file: views in, logits out.

    What the file gives is compared with the model's own logits before it is
    kept. How images become views, and what the logits mean, it says itself.

    Example: aigdetect export mole-vit-b16 --out mole.onnx
    """
    from aigdetect.errors import UsageError
    from aigdetect.model.card import find_model_folder, read_card

    if out.exists():
        raise UsageError(f"{out}: is there already; name another file")
    folder = find_model_folder(model)
    card = read_card(folder)
    from aigdetect.methods.loading import load_network
    from aigdetect.model.standalone import export_model

    network, _ = load_network(
        folder, card, weights=weights, offline=offline, say=terminal.say, warn=terminal.warn
    )
    difference = export_model(network, card, out, to.value)
    terminal.say(f"logits differ by {difference:.1g} at most from the model's own")
    put(f"{out}\n")
    return Exit.DONE
