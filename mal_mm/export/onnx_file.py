"""Writing a labeler as an ONNX file."""

from __future__ import annotations

import inspect
import io
import json
import warnings
from pathlib import Path

import torch

from mal_mm_runtime.labeler import FORMAT, METADATA

from ..apis import MaskLabeler
from ..formats.atomic import atomic_write
from ..version import __version__
from .graph import ExportError, LabelerGraph

OPSET = 17
# one ONNX file holds no more
_MAX_BYTES = 2**31 - 2**20
_INPUTS = ('crops', 'crop_boxes', 'box_areas')


def export_labeler(labeler: MaskLabeler, out: str | Path, opset: int = OPSET) -> dict:
    """Write a labeler, with all that labeling with it depends on, as one ONNX file.

    Inputs are `crops` (N, S, S, 3) uint8 RGB, `crop_boxes` (N, 4) float32 crop pixels and
    `box_areas` (N,) float32 image px^2, as far as the labeler uses them; the output is `logits`
    (N, s, s) float32. N is free.

    Args:
        labeler: trained or instant.
        out: the file.
        opset: version of ONNX's operators, 17 to 20.

    Returns:
        What the file says about itself.

    Raises:
        ExportError: the labeler cannot be exported; says why.
        ImportError: the package onnx is missing.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError('exporting needs onnx: pip install "mal-mm[export]"') from error
    engine = labeler.engine
    graph = LabelerGraph(
        labeler.model, engine.crop_size, engine.network, engine.flip, engine.refine
    )
    size = sum(each.numel() * each.element_size() for each in graph.model.parameters())
    if size > _MAX_BYTES:
        raise ExportError(
            f'the labeler has {size / 1e9:.1f} GB of weights, an ONNX file holds 2 GB; export one '
            'with a smaller encoder'
        )
    info = describe(labeler, opset)
    model = onnx.load_from_string(_trace(graph, engine.crop_size, opset))
    onnx.helper.set_model_props(model, {METADATA: json.dumps(info)})
    model.producer_name, model.producer_version = 'mal_mm', __version__
    with atomic_write(out, 'wb') as file:
        file.write(model.SerializeToString())
    return info


def describe(labeler: MaskLabeler, opset: int) -> dict:
    """What the runtime has to know beside the graph."""
    engine, preprocessor = labeler.engine, labeler.model.data_preprocessor
    shared = (
        *('crop_size', 'mask_threshold', 'margin', 'padding'),
        *('carve_holes', 'overlaps', 'box_tolerance'),
    )
    return dict(
        format=FORMAT,
        version=__version__,
        config=Path(labeler.name).name,
        checkpoint=labeler.checkpoint and Path(labeler.checkpoint).name,
        opset=opset,
        network=engine.network,
        flip=engine.flip,
        refine=engine.refine,
        exact_boxes=engine.refine == 'instant' or getattr(labeler.model, 'exact_boxes', False),
        exact_crops=engine.exact_crops,
        mean=preprocessor.mean.flatten().tolist(),
        std=preprocessor.std.flatten().tolist(),
        engine={name: getattr(engine, name) for name in shared},
    )


def _trace(graph: LabelerGraph, crop_size: int, opset: int) -> bytes:
    S, N = crop_size, 2
    example = (
        torch.zeros(N, S, S, 3, dtype=torch.uint8),
        torch.tensor([[0.2, 0.2, 0.8, 0.8]]).repeat(N, 1) * S,
        torch.full((N,), 5000.0),
    )
    names = (*_INPUTS, 'logits')
    # the exporter that follows the Python code; torch >= 2.5 has another one beside it
    chosen = inspect.signature(torch.onnx.export).parameters
    options = {'dynamo': False} if 'dynamo' in chosen else {}
    file = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter('ignore')  # on sizes that became constants: they are meant to
            torch.onnx.export(
                graph,
                example,
                file,
                input_names=list(_INPUTS),
                output_names=['logits'],
                dynamic_axes={name: {0: 'N'} for name in names},
                opset_version=opset,
                **options,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = (str(error).splitlines() or [''])[0].partition('. Please')[0]
        raise ExportError(f'torch cannot write this labeler as ONNX: {reason}') from error
    return file.getvalue()
