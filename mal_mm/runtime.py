"""`mal_mm_runtime` under the name of this package. Where torch is missing, import that one."""

from mal_mm_runtime import Mask, OnnxLabeler

__all__ = ['Mask', 'OnnxLabeler']
