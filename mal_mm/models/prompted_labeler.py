"""PromptedLabeler: SAM, SAM 2 or SAM 3, asked for the object in a box.

The network and its weights are those of the `transformers` library (`pip install "mal-mm[sam]"`).
N crops, S x S crop pixels, s x s cells of the masks, a quarter of S.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmdet.registry import MODELS
from mmengine.logging import print_log
from torch import Tensor, nn

from ..checkpoints.hub_folder import is_hub_folder, model_type
from ..checkpoints.loading import CheckpointError
from .untrained_labeler import UntrainedLabeler

# family -> classes of `transformers`; SAM 3's tracker is its part for boxes and points
_CLASSES = {
    'sam': ('SamModel', 'SamProcessor'),
    'sam2': ('Sam2Model', 'Sam2Processor'),
    'sam3': ('Sam3TrackerModel', 'Sam3TrackerProcessor'),
}
FAMILIES = tuple(_CLASSES)


@MODELS.register_module()
class PromptedLabeler(UntrainedLabeler):
    """Draw masks with a network that people have trained on masks, the box as its prompt.

    Each crop is encoded for its one box. The prompt is the box itself, unrounded; the network
    answers with one mask, as its authors advise for boxes (`multimask_output=False`).

    Args:
        family: 'sam', 'sam2' or 'sam3'.
        checkpoint: folder of the weights, as published: config.json, model.safetensors, and the
            processor's file. A name on the Hugging Face hub, such as facebook/sam-vit-base, is put
            in the place of its folder by `use_hub_folder`.
        precision, test_cfg, data_preprocessor: see `UntrainedLabeler`; the crops have to be as
            large as the network's input.
    """

    exact_boxes = True

    def __init__(
        self,
        family: str,
        checkpoint: str,
        precision: str = 'auto',
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(f'`family` must be one of {FAMILIES}, got {family!r}')
        super().__init__(precision, test_cfg, data_preprocessor)
        self.family = family
        self.checkpoint = checkpoint
        self.network: nn.Module | None = None  # what it is made of is said beside the weights
        self.input_size = 0

    def init_weights(self) -> None:
        """Load network and weights.

        Raises:
            CheckpointError: `transformers` or the weights are not here, or they are broken or of
                another family.
        """
        network, processor = (self._library_class(name) for name in _CLASSES[self.family])
        folder = Path(self.checkpoint)
        if not is_hub_folder(folder):
            raise CheckpointError(
                f'{folder} is no folder with config.json and *.safetensors; name that of '
                f'the weights: model.checkpoint=FOLDER'
            )
        kind = model_type(folder)
        if not (kind == 'sam' if self.family == 'sam' else kind.startswith(self.family)):
            raise CheckpointError(
                f'{folder}: is a network of the type {kind!r}, not of the family {self.family}; '
                'take the config of configs/mal/sam_* that fits'
            )
        local = {'local_files_only': True}
        try:
            loaded, report = network.from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, **local
            )
            images = processor.from_pretrained(folder, **local).image_processor
        except Exception as error:  # of many kinds, of the library and of safetensors
            raise CheckpointError(
                f'{folder}: cannot be loaded as {self.family} ({error})'
            ) from error
        missing = sorted(report['missing_keys'])
        if missing:
            raise CheckpointError(
                f'{folder}: {len(missing)} tensors of {network.__name__} are not in its weights '
                f'({missing[0]} for one); give the weights of {self.family}, whole'
            )
        self.network = loaded.requires_grad_(False)
        self.input_size = int(images.size.get('height') or images.size.get('longest_edge'))
        # the network's own colours: those of our crops are put on its scale
        for name in ('mean', 'std'):
            values = 255 * torch.tensor(getattr(images, f'image_{name}')).view(3, 1, 1)
            self.register_buffer(f'network_{name}', values, persistent=False)
        print_log(f'{folder}: {network.__name__}, input of {self.input_size} px', 'current')

    def _library_class(self, name: str) -> Any:
        try:
            import transformers

            return getattr(transformers, name)
        except (ImportError, AttributeError) as error:
            raise CheckpointError(
                f'{self.family} needs {name} of the `transformers` library ({error}): `pip '
                'install "mal-mm[sam]"`'
            ) from error

    @torch.no_grad()
    def predict_maps(
        self,
        images: Tensor,
        crop_boxes: Tensor,
        box_areas: Tensor | None = None,
        network: str = 'teacher',
        flip: bool = False,
        refine: str = 'none',
    ) -> Tensor:
        """What the network answers.

        Args:
            images: (N, 3, S, S) normalised, S the side of the network's input.
            crop_boxes: (N, 4) in crop pixels.
            box_areas, network: of MaskAutoLabeler's interface; without meaning here.
            flip: also ask for the mirrored box in the mirrored crop, and average the logits.
            refine: 'none' or 'instant', which is for the engine.

        Returns:
            (N, s, s) float32 mask logits.

        Raises:
            ValueError: the crops are of another size, or `refine` is for a trained labeler.
        """
        self.check_refine(refine)
        if self.network is None:
            raise ValueError('a PromptedLabeler has no weights before `init_weights()`')
        S = images.shape[-1]
        if self.input_size != S:
            raise ValueError(
                f'crops are {S} px wide, but this network takes {self.input_size}: set '
                f'`crop_size` (model.test_cfg.crop_size, --crop-size) to {self.input_size}'
            )
        logits = self._ask(images, crop_boxes)
        if flip:
            x0, y0, x1, y1 = crop_boxes.unbind(1)
            mirrored = self._ask(images.flip(-1), torch.stack([S - x1, y0, S - x0, y1], 1))
            logits = (logits + mirrored.flip(-1)) / 2
        return logits

    def _ask(self, images: Tensor, boxes: Tensor) -> Tensor:
        ours, network = self.data_preprocessor, self.network
        assert network is not None, 'init_weights has not been called'
        pixels = (images * ours.std + ours.mean - self.network_mean) / self.network_std
        assert self.network is not None  # loaded before the first image
        with self.autocast(images.device):
            answer = network(
                pixel_values=pixels, input_boxes=boxes.float()[:, None], multimask_output=False
            )
        return answer.pred_masks[:, 0, 0].float()
