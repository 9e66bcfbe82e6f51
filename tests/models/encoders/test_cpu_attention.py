from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mal_mm.models.encoders import cpu_attention
from mal_mm.models.encoders.cpu_attention import scaled_dot_product_attention

pytestmark = pytest.mark.slow  # nothing here depends on the stack


def random_tokens(dtype: torch.dtype = torch.bfloat16, tokens: int = 37) -> list[torch.Tensor]:
    """Query, key, value as a ViT makes them: views of one tensor, keys far from zero."""
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(2, tokens, 3, 3, 16, generator=generator)
    qkv[:, :, 1] += 5
    return [each.detach().requires_grad_() for each in qkv.to(dtype).permute(2, 0, 3, 1, 4)]


def exact(tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    return [each.detach().double().requires_grad_() for each in tokens]


def off(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())


def test_it_is_attention_and_as_exact_as_bfloat16_allows():
    tokens = random_tokens()
    expected = F.scaled_dot_product_attention(*exact(tokens))
    found = scaled_dot_product_attention(*tokens)
    assert found.dtype == torch.bfloat16
    assert found.shape == expected.shape
    assert off(found, expected) < 0.01


def test_gradients_are_as_exact():
    tokens = random_tokens()
    doubles = exact(tokens)
    weights = torch.randn(2, 3, 37, 16, generator=torch.Generator().manual_seed(1))
    (scaled_dot_product_attention(*tokens) * weights).sum().backward()
    (F.scaled_dot_product_attention(*doubles) * weights).sum().backward()
    for token, double in zip(tokens, doubles, strict=True):
        assert token.grad.dtype == torch.bfloat16
        assert off(token.grad, double.grad) < 0.02


def test_heads_at_a_time_make_no_difference(monkeypatch):
    results = []
    for cells in (1, 2 * 37**2, 2**20):
        monkeypatch.setattr(cpu_attention, '_CACHED_SCORES', cells)
        tokens = random_tokens()
        found = scaled_dot_product_attention(*tokens)
        found.sum().backward()
        results.append([found, *(token.grad for token in tokens)])
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0.02)


def test_float32_and_masks_go_to_torch():
    single = random_tokens(torch.float32)
    expected = F.scaled_dot_product_attention(*single)
    assert torch.equal(scaled_dot_product_attention(*single), expected)
    half, mask = random_tokens(), torch.ones(37, 37, dtype=torch.bool).tril()
    expected = F.scaled_dot_product_attention(*half, attn_mask=mask)
    assert torch.equal(scaled_dot_product_attention(*half, attn_mask=mask), expected)
