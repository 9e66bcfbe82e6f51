_base_ = ['mmdet::_base_/default_runtime.py']

custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

default_hooks = dict(
    logger=dict(interval=50),
    checkpoint=dict(interval=1, max_keep_ckpts=3))
