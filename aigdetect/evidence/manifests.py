"""What C2PA manifests claim: who made and signed them, and by which actions the image came to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from aigdetect.evidence.apply_rules import tool_says
from aigdetect.evidence.findings import MAX_ITEMS, Says, Strength, clip
from aigdetect.evidence.vocabulary import source_type

_METADATA = ("stds.iptc", "c2pa.metadata", "cawg.metadata")
_BEGINNING = "c2pa.created"
_WATERMARKED = "c2pa.watermarked"  # and .bound, .unbound
_SOFT_BINDING = "c2pa.soft-binding"


class Role(str, Enum):
    """What a manifest describes."""

    FILE = "file"
    PARENT = "parent"
    COMPONENT = "component"
    INPUT = "input"


@dataclass(frozen=True)
class Action:
    """One action on an image.

    Attributes:
        action: its name: ``"c2pa.created"``, ``"c2pa.edited"``...
        agent: the program that did it.
        source_type: the digital source type of what came of it, as written.
        when: the time, as written.
        description: in words.
    """

    action: str
    agent: str = ""
    source_type: str = ""
    when: str = ""
    description: str = ""

    @property
    def contradictory(self) -> bool:
        """Whether it says that a camera made the image, and that a program did which generates images."""
        captured = source_type(self.source_type)[1] is Says.CAPTURED
        return self.action == _BEGINNING and captured and tool_says(self.agent) is Says.GENERATED

    @property
    def says(self) -> Says:
        """What it says of the image: only what creates it can make all of it AI-generated, or captured."""
        says = source_type(self.source_type)[1] if self.source_type else tool_says(self.agent)
        if self.contradictory:
            return Says.NOTHING
        if self.action == _BEGINNING or says is Says.NOTHING:
            return says
        return Says.EDITED if says in (Says.GENERATED, Says.EDITED) else Says.NOTHING


@dataclass(frozen=True)
class Manifest:
    """One manifest.

    Attributes:
        label: its identity within the file.
        role: what it describes: the file itself, or something that it was made from.
        generator: the program that wrote the claim.
        issuer: organisation that the certificate was issued to.
        common_name: name on the certificate.
        signed: time of the signature.
        actions: what was done.
        source_types: digital source types claimed as metadata.
        watermarks: how it is bound to the image by what its pixels carry or are, as it declares: watermarking
            actions, and the algorithms of soft bindings, which are watermarks or fingerprints.
        strength: how far it can be trusted.
    """

    label: str
    role: Role
    generator: str = ""
    issuer: str = ""
    common_name: str = ""
    signed: str = ""
    actions: tuple[Action, ...] = ()
    source_types: tuple[str, ...] = ()
    watermarks: tuple[str, ...] = ()
    strength: Strength = Strength.BROKEN

    def checked(self, strength: Strength) -> Manifest:
        """The manifest, with how far it can be trusted."""
        return replace(self, strength=strength)

    @property
    def says(self) -> Says:
        """What it says of the file: of what is generated, only a part may have gone into it."""
        said = {action.says for action in self.actions}
        said |= {source_type(value)[1] for value in self.source_types}
        if any(action.action == _BEGINNING and not action.source_type for action in self.actions):
            said.add(tool_says(self.generator))
        strongest = next(says for says in Says if says in {*said, Says.NOTHING})
        if self.role in (Role.FILE, Role.PARENT):
            return strongest
        generated = strongest in (Says.GENERATED, Says.EDITED) and self.role is Role.COMPONENT
        return Says.EDITED if generated else Says.NOTHING

    @property
    def contradictions(self) -> tuple[str, ...]:
        """Where it contradicts itself, in words."""
        return tuple(
            f"C2PA says captured ({source_type(action.source_type)[0]}), "
            f"but by a program that generates images ({action.agent})"
            for action in self.actions
            if action.contradictory
        )

    @property
    def tool(self) -> str:
        """The program that made the image, or else wrote the claim."""
        named = [action for action in self.actions if action.agent]
        telling = [action for action in named if action.says is not Says.NOTHING]
        return (telling or named)[0].agent if named else self.generator

    def as_dict(self) -> dict[str, Any]:
        """The fields that say something."""
        found: dict[str, Any] = asdict(self)
        found["role"], found["strength"] = self.role.value, self.strength.value
        found["actions"] = [{k: v for k, v in action.items() if v} for action in found["actions"]]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items() if v}


def read_manifests(store: Mapping[str, Any]) -> tuple[Manifest, ...]:
    """Read the manifest of the file and those that it leads to, up to a number.

    Args:
        store: the report of the C2PA library.
    """
    manifests = store.get("manifests") or {}
    waiting = [(str(store.get("active_manifest")), Role.FILE)]
    read: dict[str, Manifest] = {}
    while waiting and len(read) < MAX_ITEMS:
        label, role = waiting.pop(0)
        manifest = manifests.get(label)
        if label in read or not isinstance(manifest, dict):
            continue
        read[label] = _manifest(label, role, manifest)
        for ingredient in (manifest.get("ingredients") or [])[:100]:
            waiting.append((str(ingredient.get("active_manifest")), _role(role, ingredient)))
    return tuple(read.values())


def _role(of: Role, ingredient: Mapping[str, Any]) -> Role:
    """What an ingredient is to the file, by way of the manifest that names it."""
    own = {"parentOf": Role.PARENT, "componentOf": Role.COMPONENT}.get(
        str(ingredient.get("relationship")), Role.INPUT
    )
    return own if of in (Role.FILE, Role.PARENT) else max(of, own, key=list(Role).index)


def _manifest(label: str, role: Role, found: Mapping[str, Any]) -> Manifest:
    signature = found.get("signature_info") or {}
    infos = found.get("claim_generator_info") or []
    assertions = [
        each for each in (found.get("assertions") or [])[:100] if isinstance(each.get("data"), dict)
    ]
    return Manifest(
        label=clip(label),
        role=role,
        generator=clip(str((infos[0].get("name") if infos else "") or found.get("claim_generator") or "")),
        issuer=clip(str(signature.get("issuer") or "")),
        common_name=clip(str(signature.get("common_name") or "")),
        signed=clip(str(signature.get("time") or "")),
        actions=tuple(_actions(assertions))[:MAX_ITEMS],
        source_types=tuple(_source_types(assertions))[:MAX_ITEMS],
        watermarks=tuple(dict.fromkeys(_watermarks(assertions)))[:MAX_ITEMS],
    )


def _actions(assertions: list[Mapping[str, Any]]) -> Iterator[Action]:
    for assertion in assertions:
        if str(assertion.get("label")).startswith("c2pa.actions"):
            data = assertion["data"]
            agents = data.get("softwareAgents")
            for found in _objects(data.get("actions")):
                found = _with_template(found, _objects(data.get("templates")))
                yield Action(
                    action=clip(str(found.get("action"))),
                    agent=_agent(found, agents if isinstance(agents, list) else []),
                    source_type=clip(str(found.get("digitalSourceType") or "")),
                    when=clip(str(found.get("when") or "")),
                    description=clip(str(found.get("description") or "")),
                )


def _objects(values: Any) -> list[Mapping[str, Any]]:
    return [each for each in values[:100] if isinstance(each, dict)] if isinstance(values, list) else []


def _with_template(action: Mapping[str, Any], templates: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """An action with what a template for it, or for all, says where it says nothing itself."""
    fitting = [each for each in templates if each.get("action") in (action.get("action"), "*")]
    return {**{k: v for each in reversed(fitting) for k, v in each.items()}, **action} if fitting else action


def _agent(action: Mapping[str, Any], agents: list[Any]) -> str:
    """The program that did it: named, or by its number in the list of all (C2PA 2.x)."""
    agent, number = action.get("softwareAgent"), action.get("softwareAgentIndex")
    if not agent and isinstance(number, int) and 0 <= number < len(agents):
        agent = agents[number]
    return clip(str(agent.get("name") or "") if isinstance(agent, dict) else str(agent or ""))


def _watermarks(assertions: list[Mapping[str, Any]]) -> Iterator[str]:
    for assertion in assertions:
        label, data = str(assertion.get("label")), assertion["data"]
        if label.startswith("c2pa.actions"):
            for action in _objects(data.get("actions")):
                if str(action.get("action")).startswith(_WATERMARKED):
                    yield clip(str(action.get("action")))
        elif label.startswith(_SOFT_BINDING):
            yield clip(str(data.get("alg") or label))


def _source_types(assertions: list[Mapping[str, Any]]) -> Iterator[str]:
    for assertion in assertions:
        if str(assertion.get("label")).startswith(_METADATA):
            for name, value in assertion["data"].items():
                if name.endswith("DigitalSourceType") and isinstance(value, str):
                    yield clip(value)
