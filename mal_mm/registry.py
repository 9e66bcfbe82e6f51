"""The scope `mal_mm`: a child of each of MMDetection's registries, with nothing of its own.

All of mal_mm registers in `mmdet.registry`. But a config inherited as `mal_mm::...` is built by
mmengine in a scope of that name, looked up as `mal_mm.registry`; without one the search would
fall back to mmengine's own registries, where MMDetection's modules are unknown.
"""

import mmdet.registry
from mmengine.registry import Registry

for _name, _parent in vars(mmdet.registry).copy().items():
    if isinstance(_parent, Registry) and _parent.scope == 'mmdet':
        # A child that looks into its parent does not make it import its modules; so name them.
        globals()[_name] = Registry(
            _parent.name,
            parent=_parent,
            scope='mal_mm',
            locations=['mal_mm', *_parent._locations],
        )
