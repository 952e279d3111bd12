"""Which images come from one origin: they are kept together wherever images are left out."""

from __future__ import annotations

from collections.abc import Sequence

from aigdetect.data.layouts import Sample


def origins_of(samples: Sequence[Sample]) -> list[int]:
    """Number the origins of images: those of one generator or source, or of one repository, have the same.

    Images of one repository may share prompts, scenes and the way in which they were saved, so that a model
    that has seen some of them has seen something of all. The real and generated images of one name, as in
    data sets that pair them, belong together, too.

    Returns:
        one number per image, from 0 on in the order in which the origins are met.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    for sample in samples:
        if sample.repository:
            parent[root(f"repository {sample.repository}")] = root(f"group {sample.generator}")
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(f"group {sample.generator}"), len(numbers)) for sample in samples]
