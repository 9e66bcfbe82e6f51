"""Strings that anybody may have put into an annotation file or a path."""

HOSTILE = [
    '{{$HOME:x}}',
    '{{ $HOME : x }}',
    '{{fileDirname}}',
    '{{ fileBasename }}',
    '{{_base_.x}}',
    '{{ _base_.model }}',
    "{{$NOT_SET:'+str(open('PWNED','w'))+'}}",
    '{{$NOT_SET:"""\nopen("PWNED","w")\n"""}}',
    "{{$NOT_SET:',__import__('os').system('touch${IFS}PWNED'),'}}",
    '{{{{$HOME:x}}}}',
    '{{{$HOME:x}}}',
    '\\{{$HOME:x}}',
    '\\\\{{fileDirname}}\\',
    '"""',
    "'''",
    'a\\b\\n',
    '\\N{BULLET}',
    'it\'s "so"',
    'two\nlines\r\x00\x85\u2028',
    '$(touch PWNED) `touch PWNED` ${HOME}',
    '%(asctime)s {0} {name}',
    'ünï 日本',
    '# comment',
    '_base_',
    '_delete_',
    '</script><script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
]
# those of them that a file system takes as a name
HOSTILE_NAMES = [text for text in HOSTILE if not {*'/\0'} & {*text}]
