"""Checkpoints of other programs, rewritten in the key names of mmpretrain and mal_mm.

Import the module you need (`mal_mm.checkpoints.dinov2_onnx`); a reader may have dependencies of
its own.
"""
