from __future__ import annotations

import pytest
from plain_curves import write_curves


@pytest.fixture(autouse=True)
def _plain_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only module-scoped fixtures draw: what they have trained is looked at from all sides."""
    monkeypatch.setattr("aigdetect.training.model_folder.draw_curves", write_curves)
