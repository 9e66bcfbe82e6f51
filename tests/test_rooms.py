"""Which room imports which: arrows point down the list of floors, and never in a circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # nothing here depends on the stack

# From the ground up; a room may import rooms of lower floors and those beside it on its own.
FLOORS = (
    ('version',),
    ('formats', 'geometry', 'config_tree', 'instant', 'precision'),
    ('pip_download', 'samples'),
    ('checkpoints',),
    ('compat',),
    ('datasets', 'models'),
    ('labeling', 'hooks', 'runner', 'labeler_data'),
    ('evaluation',),
    ('visualization',),
    ('apis', 'phase2'),
    ('launcher', 'test_time', 'reproduce', 'convert', 'export', 'runtime'),
    ('workflow',),
)


def room_of(path: Path, root: Path) -> str:
    return path.relative_to(root).parts[0].removesuffix('.py')


def imports(path: Path, root: Path) -> set[str]:
    """Rooms that a module imports, at its top or later."""
    found = set()
    package = ('mal_mm', *path.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            stem = '.'.join([*start, *([node.module] if node.module else [])])
            names = [f'{stem}.{alias.name}' for alias in node.names]
        else:
            continue
        found |= {name.split('.')[1] for name in names if name.startswith('mal_mm.')}
    return found


def modules(root: Path) -> list[Path]:
    """All but mal_mm/__init__.py, which puts the parts in place."""
    return [
        path
        for path in root.rglob('*.py')
        if '.mim' not in path.parts and path != root / '__init__.py'
    ]


def test_no_room_imports_one_above_it(repo_root):
    root = repo_root / 'mal_mm'
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    rooms = {room_of(path, root) for path in modules(root)}
    assert rooms - floor_of.keys() == {'registry'}, 'a room has no floor'
    upward = [
        f'{path.relative_to(repo_root)} -> {other}'
        for path in modules(root)
        for other in imports(path, root) & floor_of.keys()
        if floor_of[other] > floor_of.get(room_of(path, root), len(FLOORS))
    ]
    assert sorted(upward) == []


def test_rooms_make_no_circle(repo_root):
    root = repo_root / 'mal_mm'
    arrows: dict[str, set[str]] = {}
    for path in modules(root):
        room = room_of(path, root)
        arrows.setdefault(room, set()).update(imports(path, root) - {room})
    while free := {room for room, others in arrows.items() if not others & arrows.keys()}:
        for room in free:
            del arrows[room]
    assert arrows == {}


def test_the_command_line_imports_nothing_heavy(repo_root):
    for path in (repo_root / 'mal_mm_cli').glob('*.py'):
        tree = ast.parse(path.read_text())
        top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
        names = {
            alias.name.split('.')[0]
            for node in top
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {
            node.module.split('.')[0]
            for node in top
            if isinstance(node, ast.ImportFrom) and not node.level
        }
        heavy = names & {'mal_mm', 'mmdet', 'mmengine', 'mmcv', 'torch', 'numpy', 'cv2'}
        assert not heavy, f'{path.name} imports {heavy} before its arguments are understood'
