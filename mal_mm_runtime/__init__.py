"""Draw masks with an exported labeler: numpy, Pillow, OpenCV and ONNX Runtime are all it needs.

    from mal_mm_runtime import OnnxLabeler

    labeler = OnnxLabeler('labeler.onnx')  # written by `mal-mm export`
    for mask in labeler.label('street.jpg', [[10, 20, 200, 180]]):
        print(mask.quality, mask.mask.sum())

It imports neither torch nor mmdet nor `mal_mm`, which imports parts of it. To install it alone:

    pip install numpy pillow opencv-python-headless onnxruntime
    pip install --no-deps mal-mm
"""

from .labeler import Mask, OnnxLabeler

__all__ = ['Mask', 'OnnxLabeler']
