"""Where MMDetection's registries find mal_mm's modules, and the scope `mal_mm`.

All of mal_mm registers in `mmdet.registry`, so that a config says `type='MaskAutoLabeler'` as it
says `type='MaskRCNN'`. A registry of mmengine imports its locations when it is asked for a name
for the first time; ours are appended to them. So `import mal_mm`, which has this module imported
as soon as `mmdet.registry` is (compat/stack.py), imports no model and no dataset.

A config inherited as `mal_mm::...` is built by mmengine in a scope of that name, looked up as
`mal_mm.registry`; without one the search would fall back to mmengine's own registries, where
MMDetection's modules are unknown. So each of MMDetection's registries gets a child `mal_mm`, with
nothing of its own.
"""

from __future__ import annotations

from mmdet import registry as mmdet_registry
from mmengine.registry import Registry

LOCATIONS = {
    'DATASETS': ['mal_mm.datasets'],
    'DATA_SAMPLERS': ['mal_mm.datasets'],
    'HOOKS': ['mal_mm.hooks'],
    'LOOPS': ['mal_mm.runner'],
    'METRICS': ['mal_mm.evaluation.mask_iou_metric'],
    'MODELS': ['mal_mm.models'],
    'OPTIM_WRAPPERS': ['mal_mm.runner'],
    'TRANSFORMS': ['mal_mm.datasets'],
}

for _name, _parent in vars(mmdet_registry).copy().items():
    if isinstance(_parent, Registry) and _parent.scope == 'mmdet':
        _ours = LOCATIONS.get(_name, [])
        # a new list: mmengine's default is one that registries share
        _parent._locations = [*_parent._locations, *_ours]
        _parent._imported = False  # where it has been asked before: to look once more
        # A child that looks into its parent does not make it import its modules; so name them.
        globals()[_name] = Registry(
            _parent.name,
            parent=_parent,
            scope='mal_mm',
            locations=['mal_mm', *_parent._locations],
        )
