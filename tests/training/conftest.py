from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _plain_curves(plain_curves: None) -> None:
    """No training of a test of the trainer draws."""
