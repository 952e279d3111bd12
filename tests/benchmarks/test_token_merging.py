from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny import plain_tower

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from token_merging import MergePlan, Merging, match, merge


def test_what_is_most_alike_comes_together_and_the_class_token_stays() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(2, 17, 8)
    tokens[0, 7] = tokens[0, 4]
    tokens[1, 1] = tokens[1, 10]
    tokens[1, 3] = tokens[1, 0]  # like the class token, which must not go
    merged = merge(tokens, match(tokens, 1))
    assert merged.shape == (2, 16, 8)
    for image, twice in enumerate((tokens[0, 4], tokens[1, 10])):
        assert torch.equal(merged[image, 0], tokens[image, 0])
        assert (merged[image] == 2 * twice).all(dim=-1).any()
    torch.testing.assert_close(merged.sum(dim=1), tokens.sum(dim=1))


@pytest.mark.parametrize("plan", ["1:1", "0:3", "1:8", "1:8:1"])
def test_the_class_token_sees_no_difference_if_what_is_merged_is_the_same(plan: str) -> None:
    whole, merged = plain_tower(), plain_tower()
    Merging(merged, MergePlan.parse(plan))
    images = torch.full((2, 3, 32, 32), 0.5)
    for tower in (whole, merged):
        tower.base.positional_embedding.data[1:] = 0  # type: ignore[union-attr, index]
    with torch.inference_mode():
        expected = whole.run_blocks(whole.stem(images))
        found = merged.run_blocks(merged.stem(images))
    assert found.shape[1] < expected.shape[1]
    torch.testing.assert_close(found[:, 0], expected[:, 0], rtol=1e-4, atol=1e-5)
