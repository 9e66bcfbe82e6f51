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
from mmengine.structures import InstanceData
from torch import Tensor

from ..geometry import draw_box_masks
from ..instant import walk_logits

NETWORKS = ('teacher', 'student', 'both')
# none: as the networks say; mean-field: averaged with the CRF loss's labels; instant: the stages
# of mal_mm/instant, of which the walk between tokens is done here and the others by the engine
REFINEMENTS = ('none', 'mean-field', 'instant')


def refinement_name(refine: str | bool) -> str:
    """One of `REFINEMENTS`, also for the False and True of configs of the first version."""
    return {False: 'none', True: 'mean-field'}.get(refine, refine)


@MODELS.register_module()
class MaskAutoLabeler(BaseModel):
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
        use_teacher: False for the ablation without: student and teacher are one network then, and
            EMATeacherHook has to go from `custom_hooks`.
        mil_ramp_iters, crf_ramp_iters: in epoch 0 the loss weight grows linearly from 0 over so
            many iterations (released 1000 and 4000); 0 for none.
        test_cfg: how to label, see `MaskLabeler`: network, flip, mask_threshold, crop_size,
            margin, padding.
        data_preprocessor: config of the MALDataPreprocessor.
        init_cfg: dict(type='Pretrained', checkpoint=...) for the weights of a whole labeler,
            teacher included.
    """

    # values of `refine` that labeling may ask for
    refinements = REFINEMENTS

    def __init__(
        self,
        network: dict,
        mil_loss: dict | None = None,
        crf_loss: dict | None = None,
        cls_loss: dict | None = None,
        start_loss: dict | None = None,
        use_teacher: bool = True,
        mil_ramp_iters: int = 0,
        crf_ramp_iters: int = 0,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
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
        self.cls_loss = cls_loss and MODELS.build(
            {'type': 'ClassificationLoss', 'in_channels': self.student.encoder.out_channels}
            | cls_loss
        )
        self.start_loss = start_loss and MODELS.build({'type': 'StartMaskLoss', **start_loss})
        self.mil_ramp_iters = mil_ramp_iters
        self.crf_ramp_iters = crf_ramp_iters
        self.test_cfg = dict(test_cfg or {})

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
            return self.predict(inputs, data_samples)
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
            Scalars `loss_mil`, `loss_crf`, perhaps `loss_cls` and `loss_start`, and for the log
            `box_fill`: the share of the box that the student marks (0 empty, 1 the whole box).
        """
        box_areas = inputs['box_areas']
        feature = self.student.encode(inputs['student_images'])
        student_probs = self.student.decode(feature, box_areas).float().sigmoid()
        teacher_probs = self._teacher_probs(inputs, feature, student_probs)

        colours, box_masks = self.mask_frame(inputs, student_probs.shape[-1])
        loss_mil = self.mil_loss(student_probs, box_masks)
        loss_crf = self.crf_loss(colours, student_probs, teacher_probs, box_masks)
        losses = dict(
            loss_mil=_ramp(self.mil_ramp_iters) * loss_mil,
            loss_crf=_ramp(self.crf_ramp_iters) * loss_crf,
            box_fill=(student_probs.detach() * box_masks).sum() / box_masks.sum().clamp(min=1e-6),
        )
        if self.cls_loss:
            losses['loss_cls'] = self.cls_loss(
                feature, student_probs, inputs['labels'], inputs['is_background']
            )
        if self.start_loss and 'start_masks' in inputs:
            masks = inputs['start_masks'][:, None]
            masks = F.interpolate(masks, student_probs.shape[1:], mode='area')[:, 0]
            losses['loss_start'] = self.start_loss(student_probs, masks, _progress())
        return losses

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
        colours = F.interpolate(images, (size, size), mode='area')
        box_masks = draw_box_masks(inputs['crop_boxes'], images.shape[-1], size)
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

    @torch.no_grad()
    def predict_probs(
        self,
        images: Tensor,
        crop_boxes: Tensor,
        box_areas: Tensor,
        network: str = 'teacher',
        flip: bool = False,
        refine: str = 'none',
    ) -> Tensor:
        """Mask probabilities on the crop.

        Source: released behaviour: `predict_maps` bilinear to the crop, sigmoid, times the box
        mask.

        Args:
            images, crop_boxes, box_areas, network, flip, refine: see `predict_maps`.

        Returns:
            (N, S, S) float32 in [0, 1], zero outside the box.
        """
        S = images.shape[-1]
        probs = _resize(self.predict_maps(images, crop_boxes, box_areas, network, flip, refine), S)
        if refine != 'mean-field':  # then they are logits
            probs.sigmoid_()
        return probs.mul_(draw_box_masks(crop_boxes, S, S))

    @torch.no_grad()
    def predict_maps(
        self,
        images: Tensor,
        crop_boxes: Tensor,
        box_areas: Tensor,
        network: str = 'teacher',
        flip: bool = False,
        refine: str = 'none',
    ) -> Tensor:
        """What the networks say, at their own size.

        Source: released behaviour: mean of the networks' logits, then of both flips.

        Args:
            images: (N, 3, S, S) normalised.
            crop_boxes: (N, 4) in crop pixels.
            box_areas: (N,) in image px^2, on the CPU.
            network: 'teacher', 'student' or 'both'.
            flip: also look at the mirrored crop.
            refine: one of `REFINEMENTS`; neither is in the released code. 'mean-field' averages
                with the CRF loss's labels, 'instant' lets the mask flow between like tokens.

        Returns:
            (N, s, s) float32, mask logits; with 'mean-field' probabilities.

        Raises:
            ValueError: unknown `network` or `refine`.
        """
        for name, value, known in (
            ('network', network, NETWORKS),
            ('refine', refine, REFINEMENTS),
        ):
            if value not in known:
                raise ValueError(f'`{name}` must be one of {known}, got {value!r}')
        networks = dict(
            teacher=[self.teacher], student=[self.student], both=[self.student, self.teacher]
        )[network]
        shared_encoder = self.student.encoder is self.teacher.encoder

        def look(view: Tensor) -> tuple[Tensor, Tensor]:
            logits, feature = [], None
            for net in networks:
                if feature is None or not shared_encoder:
                    feature = net.encode(view)
                logits.append(net.decode(feature, box_areas).float())
            return torch.stack(logits).mean(0), feature

        logits, feature = look(images)
        if flip:
            logits = (logits + look(images.flip(-1))[0].flip(-1)) / 2
        if refine == 'none':
            return logits
        if refine == 'instant':
            tokens = networks[-1].last_layer(feature)
            return walk_logits(logits, tokens, crop_boxes, images.shape[-1])
        probs = logits.sigmoid()
        frame = self.mask_frame(dict(images=images, crop_boxes=crop_boxes), probs.shape[-1])
        labels = self.crf_loss.mean_field(frame[0], probs, frame[1])
        # the average keeps the network's own doubt, which the quality of the mask is read from
        return (probs + labels) / 2

    def predict(self, inputs: dict[str, Tensor], data_samples: list) -> list:
        """Attach `pred_instances` with `mask_probs` (1, S, S), crop frame, to each data sample."""
        probs = self.predict_probs(
            inputs['images'],
            inputs['crop_boxes'],
            inputs['box_areas'],
            self.test_cfg.get('network', 'teacher'),
            self.test_cfg.get('flip', False),
            refinement_name(self.test_cfg.get('refine', 'none')),
        )
        for sample, mask_probs in zip(data_samples, probs, strict=True):
            sample.pred_instances = InstanceData(mask_probs=mask_probs[None])
        return data_samples


def _resize(maps: Tensor, size: int) -> Tensor:
    return F.interpolate(maps[:, None], (size, size), mode='bilinear', align_corners=False)[:, 0]


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
