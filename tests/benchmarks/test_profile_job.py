"""The profile of whole jobs: its arithmetic, its counts, and that it finds the stages."""

from __future__ import annotations

import os
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

pytestmark = pytest.mark.slow  # one stack will do


@pytest.fixture
def profile_parts():
    import profile_parts  # only now: conftest has put its folder on the path

    return profile_parts


def test_a_stage_is_set_against_what_the_machine_could_do(profile_parts):
    limits = profile_parts.Limits(fp32=100e9, bf16=200e9, memcpy=10e9)
    stages = [
        profile_parts.Stage('encoder', 4.0, flops=200e9),
        profile_parts.Stage('  its second half', 2.0, flops=100e9, bf16=True),
        profile_parts.Stage('AdamW', 1.0, bytes=2.5e9),
        profile_parts.Stage('files', 2.0),
    ]
    rows = profile_parts.Table('a job', 8.0, stages).rows(limits)
    assert rows[1:] == [
        ['encoder', '4', '50.0%', '200 GFLOP', '50 GFLOP/s', '100 GFLOP/s', '50%'],
        ['  its second half', '2', '25.0%', '100 GFLOP', '50 GFLOP/s', '200 GFLOP/s', '25%'],
        ['AdamW', '1', '12.5%', '2.5 GB', '2.5 GB/s', '10 GB/s', '25%'],
        ['files', '2', '25.0%', '', '', '', ''],
        ['the rest', '1', '12.5%', '', '', '', ''],
        ['together', '8', '100.0%', '', '', '', ''],
    ]


def test_operations_are_counted_by_stage(folder_of_the_benchmarks):
    from profile_parts.flops import count_flops

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(5, 7))

        def product(self, x):
            return x @ self.weight

        def attend(self, x):
            with torch.autocast('cpu', torch.bfloat16):
                y = self.product(x)  # counts for both
            q = y.view(1, 2, 3, 7)
            return F.scaled_dot_product_attention(q, q, q)

    model = Two()
    places = [(model, 'product', 'product'), (model, 'attend', 'attention')]
    works = count_flops(lambda: model.attend(torch.randn(6, 5)).float().sum().backward(), places)
    product, attention = 2 * 6 * 5 * 7, 2 * (2 * 2 * 3 * 3 * 7)
    assert works['product'].flops == product
    assert works['attention'].flops == product + attention
    assert works['attention'].bf16 and works['product'].bf16
    # backward: one product for the weight; five in place of attention's two
    assert works[''].flops == 2 * product + attention + 2.5 * attention
    assert 'product' not in vars(model), 'what was watched is as before'
    fp32 = count_flops(lambda: model.product(torch.randn(6, 5)), places)
    assert not fp32['product'].bf16


def test_training_and_labeling_are_profiled_stage_by_stage(folder_of_the_benchmarks, capsys):
    import profile_job

    profile_job.main(['--tiny', '--job', 'train', 'label', '--boxes', '7', '--markdown'])
    _, *tables = re.split(r'\n\n(?=\w[^\n]*:\n\n\|)', capsys.readouterr().out)
    starts = ['One training step'] * 2 + ['Epoch 1', 'Epoch 2'] + ['Labeling 7 boxes'] * 2
    assert len(tables) == len(starts)
    assert all(map(str.startswith, tables, starts))
    stages = []
    for table in tables:
        rows = [line.strip('| ').split(' | ') for line in table.splitlines() if '%' in line]
        stages.append({cells[0]: cells for cells in rows})
        shares = [float(cells[2].rstrip('% |')) for cells in rows[:-1]]
        assert sum(shares) == pytest.approx(100, abs=1)
    for name in ('student encoder', 'teacher', 'backward'):
        assert float(stages[0][name][3].split()[0]) > 0, name
    assert float(stages[2]['encoder'][1]) > 0, 'the first epoch computes the features'
    assert float(stages[3]['encoder'][1]) == 0, 'the last one finds them'
    assert float(stages[4]['encoder'][3].split()[0]) > 0
    assert float(stages[5]['crop'][1]) > 0


def test_the_quick_start_is_profiled_as_it_is(folder_of_the_benchmarks, repo_root, tmp_path):
    from profile_parts.quickstart import commands

    script = (repo_root / 'tools' / 'quickstart.sh').read_text()
    steps = commands(tmp_path, tmp_path / 'weights.pth')
    words = {word for step in steps.values() for word in step}
    tools = {word for word in words if word.startswith('tools/')}
    assert tools == set(re.findall(r'(?<="\$py" )tools/\w+\.py', script))
    assert {w for w in words if w.startswith('configs/')} == set(
        re.findall(r'configs/\S+', script)
    )
    # each file that the script writes by its own name
    for name in re.findall(r'--out "\$work/([\w.]+)"', script):
        assert str(tmp_path / name) in words, name
    for name in re.findall(r'^score \w+ \w+ (\w+)$', script, re.MULTILINE):
        assert str(tmp_path / f'metrics_{name}.json') in words, name


def test_the_time_of_a_process_is_its_own_and_its_failure_is_told(folder_of_the_benchmarks):
    from profile_parts.quickstart import cpu_seconds

    burn = 'import time\nwhile time.process_time() < 0.3: pass'
    burned = cpu_seconds(['-c', burn], dict(os.environ))
    assert burned >= 0.3
    assert cpu_seconds(['-S', '-c', ''], dict(os.environ)) < burned, 'not what came before it'
    with pytest.raises(RuntimeError, match=r'with 1:\n(.|\n)*ValueError: no such file'):
        cpu_seconds(['-c', 'raise ValueError("no such file")'], dict(os.environ))
