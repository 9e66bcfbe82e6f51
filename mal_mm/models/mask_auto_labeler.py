"""MaskAutoLabeler: learn instance masks from boxes.

N crops, S x S crop pixels, s x s mask cells (s about S / 4).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine import MessageHub
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModel
from torch import Tensor

from ..geometry import draw_box_masks
from .losses import ClassificationLoss
from .mask_prediction import MaskPrediction

# where the CRF loss takes its colours from, and how colours and box masks become as small as masks
CRF_VIEWS = ('student', 'clean')
SHRINKS = ('bilinear', 'area')


@MODELS.register_module()
class MaskAutoLabeler(MaskPrediction, BaseModel):
    """Student and teacher of the Mask Auto-Labeler.

    Source: MAL, arXiv 2301.03992. The student learns from boxes (MIL loss) and from the mean-field
    refinement of the average of both networks' masks (CRF loss). EMATeacherHook moves the teacher
    after each iteration.

    Args:
        network: config of the MaskNetwork; student and teacher are both built from it. A frozen
            encoder is shared.
        mil_loss, crf_loss: configs of the losses.
        cls_loss: config of a ClassificationLoss, or None for none (paper and released code).
        start_loss: config of a StartMaskLoss, for samples with masks from LoadStartMask; None for
            none (paper and released code).
        crf_view: colours of the CRF loss: 'student' (released), the view that the student sees,
            with its jitter, grey and blur; or 'clean', the crop as it is, which the teacher sees.
        shrink: how colours and box masks are brought to the masks' size: 'bilinear' (released:
            without antialiasing, a cell of 4 x 4 pixels is the mean of the inner four) or 'area'
            (the mean of all).
        use_teacher: False for the ablation without: student and teacher are one network then, and
            EMATeacherHook has to go from `custom_hooks`.
        mil_ramp_iters, crf_ramp_iters: in epoch 0 the loss weight grows linearly from 0 over so
            many iterations (released 1000 and 4000); 0 for none.
        test_cfg: how to label, see `MaskLabeler`: network, flip, mask_threshold, crop_size,
            margin, padding.
        data_preprocessor: config of the MALDataPreprocessor.
        init_cfg: dict(type='Pretrained', checkpoint=...) for the weights of a whole labeler,
            teacher included.

    Raises:
        ValueError: unknown `crf_view` or `shrink`, or a `cls_loss` that the network has no vectors
            for.
    """

    def __init__(
        self,
        network: dict,
        mil_loss: dict | None = None,
        crf_loss: dict | None = None,
        cls_loss: dict | None = None,
        start_loss: dict | None = None,
        crf_view: str = 'clean',
        shrink: str = 'area',
        use_teacher: bool = True,
        mil_ramp_iters: int = 0,
        crf_ramp_iters: int = 0,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        for name, value, known in (('crf_view', crf_view, CRF_VIEWS), ('shrink', shrink, SHRINKS)):
            if value not in known:
                raise ValueError(f'`{name}` must be one of {known}, got {value!r}')
        # built here: mmengine's own registry would look in the scope that happens to be current
        preprocessor = MODELS.build({'type': 'MALDataPreprocessor', **(data_preprocessor or {})})
        super().__init__(data_preprocessor=preprocessor, init_cfg=init_cfg)
        self.student = MODELS.build(network)
        self.teacher = MODELS.build(network) if use_teacher else self.student
        if getattr(self.student.encoder, 'frozen', False):
            self.teacher.encoder = self.student.encoder
        if use_teacher:
            self.teacher.requires_grad_(False)
        self.mil_loss = MODELS.build({'type': 'MILLoss', **(mil_loss or {})})
        self.crf_loss = MODELS.build({'type': 'CRFLoss', **(crf_loss or {})})
        self.cls_loss = self._build_cls_loss(cls_loss) if cls_loss else None
        self.start_loss = start_loss and MODELS.build({'type': 'StartMaskLoss', **start_loss})
        self.crf_view = crf_view
        self.shrink = shrink
        self.mil_ramp_iters = mil_ramp_iters
        self.crf_ramp_iters = crf_ramp_iters
        self.test_cfg = dict(test_cfg or {})

    def _build_cls_loss(self, config: dict) -> ClassificationLoss:
        config = {'type': 'ClassificationLoss', 'source': 'instance_head', **config}
        in_channels = self.student.class_channels(config['source'])
        return MODELS.build(config, default_args=dict(in_channels=in_channels))

    def init_weights(self) -> None:
        """Initialise the student, copy it to the teacher, then load what `init_cfg` names."""
        self.student.init_weights()
        self.teacher.load_state_dict(self.student.state_dict())
        self.teacher.is_init = True
        super().init_weights()

    def train(self, mode: bool = True) -> MaskAutoLabeler:
        """The student trains; the teacher never does, lest it drop paths at random."""
        super().train(mode)
        if self.teacher is not self.student:
            self.teacher.eval()
            self.student.train(mode)  # last: a frozen encoder is in both
        return self

    def forward(
        self, inputs: dict[str, Tensor], data_samples: list | None = None, mode: str = 'tensor'
    ) -> dict[str, Tensor] | list | Tensor:
        """mmengine's entry; `inputs` as MALDataPreprocessor makes them."""
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'predict':
            return self.predict(inputs, data_samples or [])
        if mode == 'tensor':
            return self.teacher(inputs['images'], inputs['box_areas'])
        raise ValueError(f"`mode` must be 'loss', 'predict' or 'tensor', got {mode!r}")

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list | None = None
    ) -> dict[str, Tensor]:
        """Losses of one batch.

        Args:
            inputs: images and student_images (N, 3, S, S), crop_boxes (N, 4), box_areas (N,);
                is_background (N,) and labels (N,) where such crops or a ClassificationLoss are
                in use; start_masks (N, S, S) where the samples have them.
            data_samples: unused.

        Returns:
            Scalars `loss_mil`, `loss_crf`, perhaps `loss_deep` (both, of a decoder's earlier
            layers), `loss_cls` and `loss_start`, and for the log `box_fill`: the share of the box
            that the student marks (0 empty, 1 the whole box).
        """
        feature, class_token = self._encode_student(inputs['student_images'])
        *earlier_probs, student_probs = (
            logits.float().sigmoid()
            for logits in self.student.decode_layers(feature, inputs['box_areas'])
        )
        teacher_probs = self._teacher_probs(inputs, feature, student_probs)

        colours, box_masks = self.mask_frame(inputs, student_probs.shape[-1])
        labels = self.crf_loss.refine(colours, student_probs, teacher_probs, box_masks)

        def judge(probs: Tensor) -> tuple[Tensor, Tensor]:
            return (
                _ramp(self.mil_ramp_iters) * self.mil_loss(probs, box_masks),
                _ramp(self.crf_ramp_iters) * self.crf_loss(probs, labels),
            )

        loss_mil, loss_crf = judge(student_probs)
        losses = dict(
            loss_mil=loss_mil,
            loss_crf=loss_crf,
            box_fill=(student_probs.detach() * box_masks).sum() / box_masks.sum().clamp(min=1e-6),
        )
        if earlier_probs:
            losses['loss_deep'] = sum(sum(judge(probs)) for probs in earlier_probs)
        if self.cls_loss:
            vectors = self.student.class_vectors(self.cls_loss.source, feature, class_token)
            losses['loss_cls'] = self.cls_loss(vectors, inputs['labels'], inputs['is_background'])
        if self.start_loss and 'start_masks' in inputs:
            masks = inputs['start_masks'][:, None]
            masks = F.interpolate(masks, student_probs.shape[1:], mode='area')[:, 0]
            losses['loss_start'] = self.start_loss(student_probs, masks, _progress())
        return losses

    def _encode_student(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.cls_loss and self.cls_loss.source == 'class_token':
            return self.student.encode_with_class_token(images)
        return self.student.encode(images), None

    @torch.no_grad()
    def _teacher_probs(
        self, inputs: dict[str, Tensor], feature: Tensor, student_probs: Tensor
    ) -> Tensor:
        if self.teacher is self.student:
            return student_probs.detach()
        same_encoder = self.teacher.encoder is self.student.encoder
        if not (same_encoder and inputs['student_images'] is inputs['images']):
            feature = self.teacher.encode(inputs['images'])
        return self.teacher.decode(feature, inputs['box_areas']).float().sigmoid()

    def mask_frame(self, inputs: dict[str, Tensor], size: int) -> tuple[Tensor, Tensor]:
        """Colours (N, 3, s, s) and box masks (N, s, s) at the masks' size; background: no box."""
        images = inputs['images']
        if self.crf_view == 'student':  # without one where there is no training
            images = inputs.get('student_images', images)
        S = images.shape[-1]
        if self.shrink == 'area':
            colours = F.interpolate(images, (size, size), mode='area')
            box_masks = draw_box_masks(inputs['crop_boxes'], S, size)
        else:
            pixel_masks = draw_box_masks(inputs['crop_boxes'], S, S)[:, None]
            colours, box_masks = (
                F.interpolate(maps, (size, size), mode='bilinear', align_corners=False)
                for maps in (images, pixel_masks)
            )
            box_masks = box_masks[:, 0]
        if 'is_background' in inputs:
            box_masks = box_masks * ~inputs['is_background'][:, None, None]
        return colours, box_masks

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Depth of a parameter and number of depths, for layer-wise lr decay.

        mmpretrain's LearningRateDecayOptimWrapperConstructor asks; what is not of the student's
        encoder counts as the last layer.
        """
        return self.student.encoder.get_layer_depth(param_name, f'{prefix}student.encoder.')

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """mmengine's, with the logged values averaged over all ranks; the loss stays local."""
        loss, log_vars = super().parse_losses(losses)
        if get_world_size() > 1:
            values = torch.stack([value.detach() for value in log_vars.values()])
            all_reduce(values, op='mean')
            log_vars = dict(zip(log_vars, values, strict=True))
        return loss, log_vars


def _ramp(iters: int) -> float:
    """Weight in the current training iteration: linear over `iters` in epoch 0, then 1."""
    hub = MessageHub.get_current_instance()
    if iters <= 0 or 'iter' not in hub.runtime_info or hub.get_info('epoch', 0) > 0:
        return 1.0
    return min(hub.get_info('iter') / iters, 1.0)


def _progress() -> float:
    """Share of the training that is done, in [0, 1]; 0 outside of one."""
    hub = MessageHub.get_current_instance()
    if not {'iter', 'max_iters'} <= set(hub.runtime_info):
        return 0.0
    return hub.get_info('iter') / hub.get_info('max_iters')
