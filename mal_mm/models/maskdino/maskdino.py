"""MaskDINO: boxes, masks, panoptic and semantic maps of one set of queries."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.detectors import SingleStageDetector
from mmdet.models.detectors.base import BaseDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from torch import Tensor

from .decoder_output import DecoderOutput

_FIELDS = dict(
    ins_results='pred_instances', pan_results='pred_panoptic_seg', sem_results='pred_sem_seg'
)


@MODELS.register_module()
class MaskDINO(SingleStageDetector):
    """Mask DINO, arXiv 2206.02777.

    Args:
        backbone: gives at least as many maps as the head's pixel decoder takes, finest first.
        panoptic_head: config of the MaskDINOHead, whatever the task.
        neck: between the two, or None.
        train_cfg: handed to the head.
        test_cfg: which results and how, see MaskDINOFusionHead.
        data_preprocessor: a DetDataPreprocessor with pad_mask, pad_seg where maps are learned, and
            pad_size_divisor 32.
        init_cfg: as of any mmengine module.
    """

    def __init__(
        self,
        backbone: dict,
        panoptic_head: dict,
        neck: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if data_preprocessor is not None:
            # here: mmengine's own registry would look in the scope that happens to be current
            data_preprocessor = MODELS.build(data_preprocessor)
        # not SingleStageDetector's, which wants a `bbox_head`
        BaseDetector.__init__(self, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        if neck is not None:
            self.neck = MODELS.build(neck)
        self.panoptic_head = MODELS.build(
            {**panoptic_head, 'train_cfg': train_cfg, 'test_cfg': test_cfg}
        )
        self.train_cfg = train_cfg
        self.test_cfg = test_cfg

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> dict[str, Tensor]:
        """Weighted losses of images (B, 3, H, W)."""
        return self.panoptic_head.loss(self.extract_feat(batch_inputs), batch_data_samples)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Put pred_instances, pred_panoptic_seg, pred_sem_seg into the samples, as switched on."""
        feats = self.extract_feat(batch_inputs)
        results = self.panoptic_head.predict(feats, batch_data_samples, rescale=rescale)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def add_pred_to_datasample(
        self,
        data_samples: list[DetDataSample],
        results_list: Sequence[dict[str, InstanceData | PixelData]],
    ) -> list[DetDataSample]:
        """See `predict`."""
        for sample, results in zip(data_samples, results_list, strict=True):
            for name, result in results.items():
                setattr(sample, _FIELDS[name], result)
        return data_samples

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None
    ) -> DecoderOutput:
        return self.panoptic_head(self.extract_feat(batch_inputs))
