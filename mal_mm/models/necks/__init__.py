"""Necks: what may stand between encoder and decoder."""

from .vit_fpn import ViTFPN

__all__ = ['ViTFPN']
