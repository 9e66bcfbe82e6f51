"""Decoders: feature map -> mask logits."""

from .attention_decoder import AttentionDecoder

__all__ = ['AttentionDecoder']
