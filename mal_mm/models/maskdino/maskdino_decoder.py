"""Mask DINO's decoder: queries out of the encoder's tokens, refined into classes, boxes, masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from mmdet.models.layers.transformer import (
    MLP,
    DeformableDetrTransformerDecoderLayer,
    coordinate_to_encoding,
    inverse_sigmoid,
)
from mmdet.registry import MODELS
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .decoder_output import DecoderOutput, SelectionOutput
from .levels import LevelTokens, flatten_levels
from .query_selection import BOX_INITS, grid_proposals, mask_boxes_unsig

if TYPE_CHECKING:
    from .denoising import DenoisingQueries


@MODELS.register_module()
class MaskDINODecoder(BaseModule):
    """Select queries, and refine their boxes layer by layer.

    Source: Mask DINO, arXiv 2206.02777, Sec. 3; DINO, arXiv 2203.03605 ("look forward twice").

    Class, box and mask heads are one each, shared by the query selection and all layers. The
    layers and their boxes are computed in float32, also under AMP.

    B images, N tokens, Q queries, P denoising queries, C = embed_dims.

    Args:
        num_classes: Classes; rows of the denoising queries' label embedding.
        cls_out_channels: Outputs K of the class head; None: num_classes. A softmax loss wants
            num_classes + 1, the last for "no object".
        num_queries: Q.
        num_layers: Decoder layers.
        num_levels: Feature levels.
        embed_dims: Channels of tokens and queries.
        mask_channels: Channels of the mask features; None: no masks are predicted.
        num_heads: Attention heads.
        num_points: Sampling points of a head and level.
        feedforward_channels: Hidden channels of a layer's perceptron.
        two_stage: Queries are the encoder's best tokens; False: learned boxes and contents.
        box_init: Boxes the first layer starts from, with `two_stage`: those that the tokens
            regress ('no'), or tight boxes of the masks that they predict, see `mask_boxes_unsig`
            ('bitmask', 'mask2box').
        learn_content: With `two_stage`, take only the boxes from the tokens.
        with_cp: Trade time for memory: recompute the layers in the backward pass.

    Raises:
        ValueError: `box_init` is another word, or needs `two_stage` or masks.
    """

    def __init__(
        self,
        num_classes: int = 80,
        cls_out_channels: int | None = None,
        num_queries: int = 300,
        num_layers: int = 9,
        num_levels: int = 4,
        embed_dims: int = 256,
        mask_channels: int | None = 256,
        num_heads: int = 8,
        num_points: int = 4,
        feedforward_channels: int = 2048,
        two_stage: bool = True,
        box_init: str = 'bitmask',
        learn_content: bool = False,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        if box_init not in BOX_INITS:
            raise ValueError(f'`box_init` must be one of {", ".join(BOX_INITS)}, got {box_init!r}')
        if not two_stage and box_init != 'no':
            raise ValueError(
                f"`box_init` must be 'no' without `two_stage`, got {box_init!r}: learned queries "
                'have learned boxes'
            )
        if mask_channels is None and box_init != 'no':
            raise ValueError(
                f"`box_init` must be 'no' without masks (`mask_channels` None), got {box_init!r}"
            )
        self.num_queries = num_queries
        self.embed_dims = embed_dims
        self.two_stage = two_stage
        self.box_init = box_init
        self.with_cp = with_cp

        if two_stage:
            self.memory_trans_fc = nn.Linear(embed_dims, embed_dims)
            self.memory_trans_norm = nn.LayerNorm(embed_dims)
        else:
            self.query_embed = nn.Embedding(num_queries, 4)  # boxes before the sigmoid
        self.query_feat = (
            nn.Embedding(num_queries, embed_dims) if learn_content or not two_stage else None
        )
        self.label_enc = nn.Embedding(num_classes, embed_dims)
        attention = dict(embed_dims=embed_dims, num_heads=num_heads, dropout=0.0, batch_first=True)
        self.layers = ModuleList(
            DeformableDetrTransformerDecoderLayer(
                self_attn_cfg=attention,
                cross_attn_cfg=dict(attention, num_levels=num_levels, num_points=num_points),
                ffn_cfg=dict(embed_dims=embed_dims, feedforward_channels=feedforward_channels),
            )
            for _ in range(num_layers)
        )
        self.ref_point_head = MLP(2 * embed_dims, embed_dims, embed_dims, 2)
        self.norm = nn.LayerNorm(embed_dims)
        self.class_embed = nn.Linear(embed_dims, cls_out_channels or num_classes)
        self.box_embed = MLP(embed_dims, embed_dims, 4, 3)
        self.mask_embed = (
            None if mask_channels is None else MLP(embed_dims, embed_dims, mask_channels, 3)
        )
        self.init_weights()

    def init_weights(self) -> None:
        """The authors' initialisation; what is not named keeps torch's own.

        The class head has no prior-probability bias.
        """
        for module in (self.layers, self.ref_point_head):
            for parameter in module.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
        for layer in self.layers:
            layer.cross_attn.init_weights()
        nn.init.zeros_(self.box_embed.layers[-1].weight)
        nn.init.zeros_(self.box_embed.layers[-1].bias)

    def forward(
        self,
        multi_scale_feats: Sequence[Tensor],
        mask_features: Tensor | None,
        denoising: DenoisingQueries | None = None,
    ) -> DecoderOutput:
        """Predict classes, boxes and masks.

        Args:
            multi_scale_feats: maps (B, C, H_l, W_l) in the encoder's order; it is turned round
                here, so that "low2high" puts the coarsest level first.
            mask_features: (B, mask_channels, h, w); None for boxes alone.
            denoising: queries to put before the matching ones, in training.

        Returns:
            Predictions of the selection and of all stages.

        Raises:
            ValueError: the maps have fewer cells than there are queries to select.
        """
        memory = flatten_levels(multi_scale_feats[::-1])
        selection: SelectionOutput | None = None
        topk = None
        if self.two_stage:
            content, boxes_unsig, selection, topk = self._select(memory, mask_features)
        else:
            assert self.query_feat is not None and self.query_embed is not None
            content = self.query_feat.weight.expand(len(memory.tokens), -1, -1)
            boxes_unsig = self.query_embed.weight.expand(len(memory.tokens), -1, -1)

        attn_mask = None
        if denoising is not None:
            content = torch.cat([self._embed_labels(denoising.labels), content], dim=1)
            boxes_unsig = torch.cat([denoising.boxes_unsig, boxes_unsig], dim=1)
            attn_mask = denoising.attn_mask

        hidden, boxes = self._refine(content, boxes_unsig, memory, attn_mask)
        class_logits, mask_logits = [], []
        for stage, query in enumerate([content, *hidden]):
            # so layers' outputs are normed twice, as in the authors' code
            normed = self.norm(query)
            class_logits.append(self.class_embed(normed))
            wanted = self.training or stage == len(hidden)
            mask_logits.append(self._masks(normed, mask_features) if wanted else None)
        if self.training and denoising is None:
            # DDP wants a gradient for each parameter, also in batches without denoising
            class_logits[-1] = class_logits[-1] + 0 * self.label_enc.weight.sum()
        return DecoderOutput(class_logits, boxes, mask_logits, selection, topk)

    def _select(
        self, memory: LevelTokens, mask_features: Tensor | None
    ) -> tuple[Tensor, Tensor, SelectionOutput, Tensor]:
        """The tokens with the best class scores: contents, boxes, predictions, indices."""
        proposals, valid = grid_proposals(memory.sizes, memory.tokens.device)
        if len(valid) < self.num_queries:
            raise ValueError(
                f'`num_queries` is {self.num_queries}, but the feature maps {memory.sizes} have '
                f'only {len(valid)} cells; resize or pad images to more pixels'
            )
        tokens = memory.tokens * valid[:, None]
        tokens = self.memory_trans_norm(self.memory_trans_fc(tokens))
        # the scores, unlike the predictions below, come from tokens without decoder norm
        topk = self.class_embed(tokens).amax(-1).topk(self.num_queries, dim=1).indices

        selected = tokens.gather(1, topk[..., None].expand(-1, -1, self.embed_dims))
        boxes_unsig = self.box_embed(selected) + proposals[topk]
        normed = self.norm(selected)
        selection = SelectionOutput(
            self.class_embed(normed), boxes_unsig.sigmoid(), self._masks(normed, mask_features)
        )
        content = selected.detach()
        if self.query_feat is not None:
            content = self.query_feat.weight.expand(len(selected), -1, -1)
        if self.box_init == 'no':
            start = boxes_unsig.detach()
        else:
            start = mask_boxes_unsig(selection.mask_logits, self.box_init)
        return content, start, selection, topk

    def _refine(
        self, query: Tensor, boxes_unsig: Tensor, memory: LevelTokens, attn_mask: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run the layers.

        Args:
            query: (B, P + Q, C) contents.
            boxes_unsig: (B, P + Q, 4) start boxes before the sigmoid.
            memory: the encoder's tokens in the decoder's order.
            attn_mask: (P + Q, P + Q) bool, true where attention is blocked; or None.

        Returns:
            normed queries after each layer, and boxes of all stages.
        """
        with torch.autocast(query.device.type, enabled=False):
            query, reference = query.float(), boxes_unsig.float().sigmoid()
            hidden, boxes = [], [reference]
            # what predictions add to: with the gradient of the layer before ("twice")
            attached = reference
            for layer in self.layers:
                query = self._run_layer(layer, query, reference, memory, attn_mask)
                hidden.append(self.norm(query))
                boxes.append((self.box_embed(hidden[-1]) + inverse_sigmoid(attached)).sigmoid())
                # the next reference comes from the query without norm, unlike the predicted box
                attached = (self.box_embed(query) + inverse_sigmoid(reference)).sigmoid()
                reference = attached.detach()
        return hidden, boxes

    def _run_layer(
        self,
        layer: nn.Module,
        query: Tensor,
        reference: Tensor,
        memory: LevelTokens,
        attn_mask: Tensor | None,
    ) -> Tensor:
        position = self.ref_point_head(coordinate_to_encoding(reference, self.embed_dims // 2))
        arguments = dict(
            query_pos=position,
            value=memory.tokens.float(),
            self_attn_mask=attn_mask,
            # one reference for all levels
            reference_points=reference[:, :, None].expand(-1, -1, len(memory.sizes), -1),
            spatial_shapes=memory.shapes,
            level_start_index=memory.starts,
        )
        if self.with_cp and self.training:
            return checkpoint(layer, query, use_reentrant=False, **arguments)
        return layer(query, **arguments)

    def _embed_labels(self, labels: Tensor) -> Tensor:
        """(B, P) labels, -1 in empty slots -> (B, P, C), zero there."""
        return self.label_enc(labels.clamp(min=0)) * (labels >= 0)[..., None]

    def _masks(self, normed: Tensor, mask_features: Tensor | None) -> Tensor | None:
        if self.mask_embed is None:
            return None
        return torch.einsum('bqc,bchw->bqhw', self.mask_embed(normed), mask_features)
