"""LoadAnyImage: an image file of any depth; one that cannot be read is passed over, and said."""

from __future__ import annotations

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine.fileio import get
from mmengine.logging import MMLogger

from mal_mm_runtime.image_file import decode_image, decodes_the_same

from ...formats.image_size import check_found_size, stated_size
from ...formats.plain_file import read_plain_file


@TRANSFORMS.register_module()
class LoadAnyImage(LoadImageFromFile):
    """mmcv's LoadImageFromFile, with the pixels that labeling sees.

    mmcv makes white of 16 bits (Pillow) or half a picture of half a file (OpenCV). Files of 8 bits
    that are read alike everywhere are left to `imdecode_backend`, all others are read by
    `mal_mm_runtime.image_file`.

    Args:
        skip_unreadable: give None for an image that cannot be read, upon which mmdet's data sets
            take another one; a warning names each once. Otherwise that is an error.
        check_size: an image of another size than its record (`width`, `height`) says cannot be
            read either: its boxes would lie elsewhere.
        **kwargs: of LoadImageFromFile.
    """

    def __init__(
        self,
        *args: object,
        skip_unreadable: bool = False,
        check_size: bool = True,
        **kwargs: object,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.skip_unreadable = skip_unreadable
        self.check_size = check_size
        self._said: set[str] = set()

    def transform(self, results: dict) -> dict | None:
        """Load `img` (H, W, 3) BGR, `img_shape` and `ori_shape` of the file `img_path`.

        Raises:
            OSError: the file cannot be read; names it.
        """
        path = results['img_path']
        try:
            content = self._read(path)
            image = self._decode(content)
            if self.check_size:
                check_found_size(path, stated_size(results), image.shape[1::-1])
        except (OSError, ValueError) as error:
            reason = str(error) if isinstance(error, OSError) else f'{path}: {error}'
            if self.skip_unreadable or self.ignore_empty:
                self._warn_once(path, reason)
                return None
            if isinstance(error, OSError):
                raise
            raise OSError(f'{path}: cannot be decoded ({error})') from error
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = image.shape[:2]
        results['ori_shape'] = image.shape[:2]
        return results

    def _read(self, path: str) -> bytes:
        if self.backend_args is None and '://' not in str(path):
            return read_plain_file(path)[0]
        return get(path, backend_args=self.backend_args)

    def _decode(self, content: bytes) -> np.ndarray:
        # other colour types were asked for on purpose
        if self.color_type != 'color' or decodes_the_same(content):
            image = mmcv.imfrombytes(content, flag=self.color_type, backend=self.imdecode_backend)
            if image is not None:
                return image
        return np.ascontiguousarray(decode_image(content)[..., ::-1])

    def _warn_once(self, path: str, reason: str) -> None:
        if path not in self._said:
            self._said.add(path)
            MMLogger.get_current_instance().warning(
                f'{reason}; training takes another image in its place'
            )
