"""MaskDINOHead: pixel decoder, query decoder, losses and results of Mask DINO."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseModule
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from .criterion import MaskDINOCriterion
from .decoder_output import DecoderOutput
from .denoising import DenoisingQueries, QueryDenoising
from .targets import SegmentTargets, segment_targets


@MODELS.register_module()
class MaskDINOHead(BaseModule):
    """Everything of Mask DINO behind the backbone.

    Source: Mask DINO, arXiv 2206.02777. One head for three tasks: instance segmentation has
    things only and learns from `gt_instances`; semantic segmentation has stuff only and learns
    from `gt_sem_seg`; panoptic segmentation has and takes both. Without masks it is a detector.

    Args:
        pixel_decoder: arguments of MaskDINOPixelDecoder.
        decoder: arguments of MaskDINODecoder but its classes and levels.
        num_things_classes, num_stuff_classes: labels of things come first.
        stuff_boxes: match and learn the boxes of stuff, too: the released semantic models do, the
            paper advises against it for panoptic ones.
        with_mask: False: a detector of boxes alone, without the parameters that masks need; things
            only, whose `gt_instances` need no masks.
        denoising: arguments of QueryDenoising: dn_num, noise_scale.
        criterion: arguments of MaskDINOCriterion: class_loss, weights, point_sampler.
        train_cfg: unused; detectors hand it to their heads.
        test_cfg: see MaskDINOFusionHead.
        init_cfg: as of any mmengine module.
    """

    def __init__(
        self,
        pixel_decoder: dict,
        decoder: dict,
        num_things_classes: int = 80,
        num_stuff_classes: int = 0,
        stuff_boxes: bool = False,
        with_mask: bool = True,
        denoising: dict | None = None,
        criterion: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.num_things_classes = num_things_classes
        self.num_stuff_classes = num_stuff_classes
        self.num_classes = num_things_classes + num_stuff_classes
        if not self.num_classes:
            raise ValueError('`num_things_classes` and `num_stuff_classes` are both 0')
        if num_stuff_classes and not with_mask:
            raise ValueError(
                f'`num_stuff_classes` (={num_stuff_classes}) must be 0 with `with_mask=False`: '
                'stuff is learned from masks'
            )
        self.stuff_boxes = stuff_boxes
        self.with_mask = with_mask
        without = {} if with_mask else dict(mask_channels=None)
        self.criterion = MaskDINOCriterion(self.num_classes, **(criterion or {}))
        class_loss = self.criterion.class_loss
        self.pixel_decoder = MODELS.build(
            {'type': 'MaskDINOPixelDecoder', **pixel_decoder, **without}
        )
        self.decoder = MODELS.build(
            {
                'type': 'MaskDINODecoder',
                'num_classes': self.num_classes,
                'cls_out_channels': self.num_classes + (class_loss == 'cross_entropy'),
                'num_levels': self.pixel_decoder.num_levels,
                **decoder,
                **without,
            }
        )
        self.denoising = QueryDenoising(
            self.num_classes, self.decoder.num_queries, **(denoising or {})
        )
        self.fusion_head = MODELS.build(
            {
                'type': 'MaskDINOFusionHead',
                'num_things_classes': num_things_classes,
                'num_stuff_classes': num_stuff_classes,
                'class_loss': class_loss,
                'test_cfg': test_cfg,
            }
        )
        maps = [name for name in ('panoptic_on', 'semantic_on') if self.fusion_head.settings[name]]
        if maps and not with_mask:
            raise ValueError(f'`test_cfg` asks for {maps[0]}, which needs `with_mask=True`')

    def forward(
        self, feats: Sequence[Tensor], denoising: DenoisingQueries | None = None
    ) -> DecoderOutput:
        """Predictions of all layers; `feats`: the backbone's maps (B, c, h, w), finest first."""
        mask_features, multi_scale_feats = self.pixel_decoder(feats)
        return self.decoder(multi_scale_feats, mask_features, denoising)

    def loss(
        self, feats: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]
    ) -> dict[str, Tensor]:
        """Weighted losses, see MaskDINOCriterion."""
        targets = self.targets(feats, batch_data_samples)
        denoising = self.denoising(targets)
        return self.criterion(self(feats, denoising), targets, denoising)

    def targets(
        self, feats: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample]
    ) -> list[SegmentTargets]:
        """What to learn, on the features' device."""
        return [
            segment_targets(
                sample,
                self.num_things_classes,
                self.num_stuff_classes,
                self.stuff_boxes,
                feats[0].device,
                self.with_mask,
            )
            for sample in batch_data_samples
        ]

    def predict(
        self,
        feats: Sequence[Tensor],
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
    ) -> list[dict[str, InstanceData | PixelData]]:
        """Results of the last layer, see MaskDINOFusionHead."""
        output = self(feats)
        return self.fusion_head.predict(
            output.class_logits[-1],
            output.boxes[-1],
            output.mask_logits[-1],
            batch_data_samples,
            rescale=rescale,
        )
