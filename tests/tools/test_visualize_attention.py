import importlib.util

import pytest
from in_process import call
from mmengine.config import Config
from PIL import Image
from sharp_labeler import blotches, write_sharp_labeler


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """An image, and a labeler whose ViT has one block of two heads."""
    root = tmp_path_factory.mktemp('attention')
    write_sharp_labeler(root)
    Image.fromarray(blotches()).save(root / 'image.png')
    return root


@pytest.fixture(scope='module')
def tool(repo_root):
    path = repo_root / 'tools' / 'visualize_attention.py'
    spec = importlib.util.spec_from_file_location('visualize_attention', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BASIC = ('--image', 'image.png', '--box', '20', '30', '80', '80')


def test_the_tool_writes_one_picture_of_the_crop_and_the_blocks(folder):
    arguments = ('labeler.py', 'labeler.pth', *BASIC, '--blocks', '1', '--out', 'one.png')
    done = call('reproduce attention', *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == 'one.png'
    with Image.open(folder / 'one.png') as picture:
        assert (picture.format, picture.size) == ('PNG', (2 * 280, 300))


def test_heads_and_queries_make_more_rows_and_other_pictures(folder, tool, monkeypatch):
    monkeypatch.chdir(folder)
    written = set()
    for query in ('cls', 'center', '75,75'):
        arguments = (*BASIC, '--blocks', '1', '1', '--heads', '--query', query, '--out', 'h.png')
        assert tool.main(['labeler.py', 'labeler.pth', *arguments]) == 0
        with Image.open('h.png') as picture:
            assert picture.size == (3 * 280, 3 * 300)
        written.add((folder / 'h.png').read_bytes())
    assert len(written) == 3


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (BASIC, 'the encoder has blocks 1 to 1, got 4'),
        ((*BASIC, '--blocks', '1', '--query', '119,2'), 'outside the crop'),
        ((*BASIC, '--out', 'no/a.png'), 'folder no does not exist'),
        (('--image', 'gone.png', *BASIC[2:]), 'gone.png: no such image'),
        ((*BASIC[:3], '200', '30', '280', '80'), 'wholly outside'),
    ],
)
def test_a_refusal_is_one_line(folder, tool, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(folder)
    assert tool.main(['labeler.py', 'labeler.pth', *arguments]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('visualize_attention: ') and reason in last
    assert not (folder / 'attention.png').exists()


def test_encoders_that_are_no_vit_are_refused(folder, tool, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    cfg = Config.fromfile('labeler.py')
    arch = {'depths': [1, 1, 1, 1], 'channels': [8, 8, 8, 8]}
    cfg.model.network.encoder = {'type': 'ConvNeXtEncoder', 'arch': arch}
    cfg.dump('convnext.py')
    assert tool.main(['convnext.py', *BASIC]) == 1
    assert 'the encoder of this config is a ConvNeXtEncoder' in capsys.readouterr().err


@pytest.mark.parametrize('query', ['middle', '3', '1,2,3'])
def test_a_query_that_is_none_is_refused(tool, capsys, query):
    with pytest.raises(SystemExit) as caught:
        tool.main(['labeler.py', *BASIC, '--query', query])
    assert caught.value.code == 2
    assert f"must be cls, center, or a point x,y in image pixels, got '{query}'" in (
        capsys.readouterr().err
    )
