"""The metafiles by OpenMMLab's rules, as openmim 0.3.9 reads them for `mim search` and `download`."""

from __future__ import annotations

import pytest
import yaml
from modelindex.load_model_index import load

from mal_mm.reproduce.paper_figures import rows as printed_rows
from mal_mm.reproduce.tables import SEGMENTER_TABLES

pytestmark = pytest.mark.slow  # the same files on both stacks


@pytest.fixture(scope='module')
def index(repo_root):
    return load(str(repo_root / 'model-index.yml'))


def test_every_model_is_read_and_belongs_to_a_collection(index, repo_root):
    written = [
        model['Name']
        for name in yaml.safe_load((repo_root / 'model-index.yml').read_text())['Import']
        for model in yaml.safe_load((repo_root / name).read_text())['Models']
    ]
    assert [model.name for model in index.models] == written
    assert {model.in_collection for model in index.models} == {
        collection.name for collection in index.collections
    }


def test_lists_hold_text_and_are_not_empty(index):
    # mim joins them: a number, or no first item, ends the whole search
    for model in [*index.models, *index.collections]:
        for key, value in getattr(model.metadata, 'data', {}).items():
            assert isinstance(value, (str, int, float, list)), (model.name, key)
            if isinstance(value, list):
                assert value and all(isinstance(item, str) for item in value), (model.name, key)


def test_names_are_found_whatever_their_case(index):
    for model in index.models:  # mim lowers what is asked for
        assert model.name == model.name.lower()


def test_results_belong_to_weights_and_weights_are_addresses(index):
    with_weights = [model for model in index.models if model.weights]
    assert with_weights  # else `mim download` refuses the whole package
    for model in with_weights:
        assert model.weights.startswith('https://') and ',' not in model.weights
    for model in index.models:
        for result in model.results or ():
            assert model.weights, f'{model.name} has results of weights that nobody can get'
            assert result.task and result.dataset
            assert all(isinstance(value, (int, float)) for value in result.metrics.values())


def test_collections_name_their_paper_and_page(index, repo_root):
    for collection in index.collections:
        paper = collection.paper
        address = paper if isinstance(paper, str) else paper['URL']  # mim shows text alone
        assert address.startswith('https://')
        assert (repo_root / collection.readme).is_file()


def test_tables_and_backbones_are_those_of_the_paper(index):
    for model in index.models:
        meta = model.metadata.data if model.metadata else {}
        for table in meta.get('Table', ()):
            assert table in SEGMENTER_TABLES
            if table.isdecimal():
                known = {row['InstSeg Backbone'] for row in printed_rows('MAL', table).values()}
                assert meta['Paper Backbone'] in known, model.name
