"""Turn a checkpoint released by the authors of Mask Auto-Labeler into one of mal_mm.

The config that fits it is written beside it on request.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """Only weights are read from the file; pickled Python objects in it are refused.

examples:
  mal-mm import nvlabs mal_vitb_coco.ckpt mal_vitb_coco.pth --config-out mal_vitb_coco.py

exit status: 0 written, 1 refused (the reason is on stderr), 2 wrong arguments
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument('checkpoint', type=Path, help="the authors' Lightning file, *.ckpt")
    parser.add_argument('out', type=Path, help='where to write our checkpoint, *.pth')
    parser.add_argument(
        '--config-out', type=Path, help='also write the config that matches it, *.py'
    )
    parser.add_argument(
        '--num-heads', type=int, help='attention heads (default: one for 64 channels, at least 2)'
    )


def run(args: argparse.Namespace) -> int:
    """Convert; writes nothing unless the tensors fit the deduced model."""
    from mal_mm.checkpoints.errors import refuse_missing
    from mal_mm.formats.atomic import atomic_write
    from mal_mm.formats.distinct_files import check_distinct

    check_distinct(
        {'CHECKPOINT': args.checkpoint}, {'OUT': args.out, '--config-out': args.config_out}
    )
    refuse_missing(args.checkpoint)
    # from here on it takes seconds
    import torch
    from mmdet.registry import MODELS
    from mmengine.config import Config

    from mal_mm.checkpoints.loading import check_state_dict, read_state_dict
    from mal_mm.checkpoints.nvlabs import convert_state_dict, deduce_model

    state = convert_state_dict(read_state_dict(args.checkpoint), args.checkpoint)
    model_config = deduce_model(state, args.num_heads, args.checkpoint)
    model = MODELS.build(model_config)
    check_state_dict(model, state, args.checkpoint, 'only ViT labelers can be imported')
    with atomic_write(args.out, 'wb') as file:
        torch.save({'state_dict': state, 'meta': {'source': args.checkpoint.name}}, file)
    print(f'wrote {args.out}: {len(state)} tensors')
    if args.config_out:
        custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)
        config = Config(
            dict(custom_imports=custom_imports, default_scope='mmdet', model=model_config)
        )
        with atomic_write(args.config_out) as file:
            file.write(config.pretty_text)
        print(f'wrote {args.config_out}')
    return 0
