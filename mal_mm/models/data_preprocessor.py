"""MALDataPreprocessor: samples -> normalised crops and boxes, on the device, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from kornia.augmentation import ColorJitter, RandomGaussianBlur, RandomGrayscale
from mmdet.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
# so many numbers fit a processor's cache: a batch of them is done in as many steps as one image
_IN_CACHE = 2**18


@MODELS.register_module()
class MALDataPreprocessor(BaseDataPreprocessor):
    """Stack, move, normalise; in training also draw the student's photometric view.

    Source: released behaviour: RGB / 255, ImageNet mean and std; student: jitter
    (0.4, 0.4, 0.2, 0.1) with probability 0.5, grey 0.2, Gaussian blur with radius U[0.1, 2] 0.5;
    the teacher sees the plain crop.

    Args:
        mean, std: per RGB channel, values in [0, 255].
        bgr_to_rgb: the loaded images are BGR (mmcv's default).
        jitter: brightness, contrast, saturation, hue; None for none.
        jitter_prob, grey_prob, blur_prob: probability for each crop.
        blur_sigma: range of the standard deviation in pixels.
    """

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        bgr_to_rgb: bool = True,
        jitter: Sequence[float] | None = (0.4, 0.4, 0.2, 0.1),
        jitter_prob: float = 0.5,
        grey_prob: float = 0.2,
        blur_prob: float = 0.5,
        blur_sigma: tuple[float, float] = (0.1, 2.0),
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb
        # A list, not a module: kornia's augmentations would follow `.to(device)` and draw there,
        # and the host, which asks each draw what to do, would wait for the device every time.
        self.student_view: list[torch.nn.Module] = []
        if jitter is not None and jitter_prob > 0:
            self.student_view.append(ColorJitter(*jitter, p=jitter_prob))
        if grey_prob > 0:
            self.student_view.append(RandomGrayscale(p=grey_prob))
        if blur_prob > 0:
            # 3 sigma to each side
            size = 2 * int(3 * blur_sigma[1] + 0.5) + 1
            self.student_view.append(
                RandomGaussianBlur((size, size), tuple(blur_sigma), p=blur_prob)
            )

    def normalise(self, images: Tensor | Sequence[Tensor], out: Tensor | None = None) -> Tensor:
        """RGB in [0, 255] -> normalised float32.

        Args:
            images: (N, 3, H, W), or N times (3, H, W); on one device.
            out: on a CPU, where the result goes; to ask the system for memory takes as long as to
                fill it.

        Returns:
            (N, 3, H, W), stored by planes.
        """
        if images[0].device.type != 'cpu':
            batch = images if isinstance(images, Tensor) else torch.stack(list(images))
            return batch.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)
        # plane by plane: each stays in the processor's cache between its two steps
        normalised = torch.empty((len(images), *images[0].shape)) if out is None else out
        scales, shifts = 1 / self.std.flatten(), (-self.mean / self.std).flatten()
        parts = list(zip(images, normalised, strict=True))
        if isinstance(images, Tensor) and images.numel() <= _IN_CACHE:
            parts = [(images.transpose(0, 1), normalised.transpose(0, 1))]
        for image, result in parts:
            for plane, place, scale, shift in zip(
                image, result, scales.tolist(), shifts, strict=True
            ):
                torch.add(shift, place.copy_(plane), alpha=scale, out=place)
        return normalised

    @torch.no_grad()
    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: `inputs`, list of (3, S, S) uint8, and `data_samples`, list of DetDataSample with
                one box each.
            training: draw the student's view.

        Returns:
            dict(inputs=..., data_samples=...), inputs a dict of `images` (N, 3, S, S) normalised,
            `crop_boxes` (N, 4) in crop pixels, `box_areas` (N,) in image px^2 on the CPU, and in
            training `student_images`, `labels` (N,), `is_background` (N,), and where the samples
            have masks `start_masks` (N, S, S) float32 of 0 and 1.
        """
        samples = data['data_samples']
        crops = data['inputs'] if torch.is_tensor(data['inputs']) else self._stack(data['inputs'])
        crops = crops.to(self.device, non_blocking=self._non_blocking)
        boxes = torch.cat([_tensor(sample.gt_instances.bboxes) for sample in samples])
        inputs = dict(
            crop_boxes=boxes.to(self.device, non_blocking=self._non_blocking),
            box_areas=torch.tensor([sample.box_area for sample in samples]),
        )
        with torch.autocast(self.device.type, enabled=False):
            if self.bgr_to_rgb:
                crops = crops.flip(1)
            inputs['images'] = self.normalise(crops)
            if training:
                added = dict(
                    labels=torch.cat([sample.gt_instances.labels for sample in samples]),
                    is_background=torch.tensor(
                        [sample.get('is_background', False) for sample in samples]
                    ),
                )
                if 'masks' in samples[0].gt_instances:
                    masks = [sample.gt_instances.masks.masks for sample in samples]
                    added['start_masks'] = torch.from_numpy(np.concatenate(masks)).float()
                for name, values in added.items():
                    inputs[name] = values.to(self.device, non_blocking=self._non_blocking)
                inputs['student_images'] = inputs['images']
                if self.student_view:
                    view = crops.float() / 255
                    for change in self.student_view:
                        view = change(view)
                    inputs['student_images'] = self.normalise(view * 255)
        return dict(inputs=inputs, data_samples=samples)

    def _stack(self, crops: Sequence[Tensor]) -> Tensor:
        crops = list(crops)
        if self.device.type != 'cuda' or crops[0].is_cuda:
            return torch.stack(crops)
        # page-locked: from other memory the copy may wait for all that the GPU has still to do
        batch = torch.empty((len(crops), *crops[0].shape), dtype=crops[0].dtype, pin_memory=True)
        return torch.stack(crops, out=batch)


def _tensor(boxes: object) -> Tensor:
    return getattr(boxes, 'tensor', boxes)
