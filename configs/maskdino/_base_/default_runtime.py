_base_ = ['mmdet::_base_/default_runtime.py']

custom_imports = dict(imports=['mal_mm'], allow_failed_imports=False)

# the log names what `load_from` does not bring
default_hooks = dict(load_report=dict(type='LoadReportHook'))
