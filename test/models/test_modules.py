"""Every weight of every family belongs to a module, and each module has some."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from wm_eval_ros.errors import CheckpointError
from wm_eval_ros.models.architecture import Architecture
from wm_eval_ros.models.checkpoint import find_checkpoint, load_checkpoint
from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleModel
from wm_eval_ros.models.jepa import JepaArchitecture, JepaModel
from wm_eval_ros.models.mlp import MlpArchitecture, MlpModel
from wm_eval_ros.models.modules import as_matrices, from_matrices, is_weight, modules_of
from wm_eval_ros.models.rssm import RssmArchitecture, RssmModel
from wm_eval_ros.models.ssm import SsmArchitecture, SsmModel
from wm_eval_ros.models.transformer import TransformerArchitecture, TransformerModel

CHAIN, STATE = {'dynamics', 'read_out'}, {'encoder', 'dynamics', 'read_out'}


def stand_in(family: type, tensors: dict[str, torch.Tensor]) -> SimpleNamespace:
    """Return what is asked of a model: the family's own mapping, and tensors."""
    return SimpleNamespace(
        spec=SimpleNamespace(name='m', family='f'), tensors=tensors,
        **{k: getattr(family, k) for k in ('modules', 'members_first') if hasattr(family, k)})


@pytest.mark.parametrize(('family', 'arch', 'want'), [
    pytest.param(MlpModel, MlpArchitecture(3, 1), CHAIN, id='mlp'),
    pytest.param(MlpModel, MlpArchitecture(3, 1, dropout=0.1), CHAIN, id='mlp-dropout'),
    pytest.param(SsmModel, SsmArchitecture(3, 1), CHAIN, id='ssm'),
    pytest.param(TransformerModel, TransformerArchitecture(3, 1), CHAIN, id='transformer'),
    pytest.param(RssmModel, RssmArchitecture(3, 1), STATE, id='rssm'),
    pytest.param(JepaModel, JepaArchitecture(3, 1, inputs=3), STATE, id='jepa'),
])
def test_every_matrix_belongs_to_a_module(
    family: type, arch: Architecture, want: set[str]
) -> None:
    tensors = dict(family.network(arch).state_dict())  # type: ignore[attr-defined]
    found = modules_of(stand_in(family, tensors))
    assert set(found) == {n for n, t in tensors.items() if is_weight(n, t)}
    assert set(found.values()) == want
    assert not [n for n in found if 'bias' in n or 'norm' in n]


def test_of_a_chain_the_last_layer_is_the_read_out_however_many_there_are() -> None:
    arch = EnsembleArchitecture(2, 1, layers=8)
    found = modules_of(stand_in(EnsembleModel, {n: torch.zeros(s)
                                                for n, s in arch.shapes().items()}))
    assert [n for n, module in found.items() if module == 'read_out'] == ['weight8']
    tensors = {f'body.{2 * i}.weight': torch.zeros(2, 2) for i in range(8)}
    assert modules_of(stand_in(MlpModel, tensors))['body.14.weight'] == 'read_out'


def test_the_convolutions_of_a_model_that_sees_are_its_encoder() -> None:
    found = modules_of(load_checkpoint(find_checkpoint('two_room_pixels')))
    assert found['encoder.convolutions.0.weight'] == 'encoder'


@pytest.mark.parametrize(('tensors', 'modules', 'says'), [
    pytest.param({'feature_mean': torch.zeros(2)}, {}, 'no weights', id='none'),
    pytest.param({'a.weight': torch.zeros(2, 2)}, {'b.': 'dynamics'}, "'a.weight'", id='unnamed'),
    pytest.param({'a.weight': torch.zeros(2, 2)}, {'a.': 'body'}, "'body'", id='no-module'),
])
def test_a_family_that_does_not_say_is_refused(
    tensors: dict[str, torch.Tensor], modules: dict[str, str], says: str
) -> None:
    model = SimpleNamespace(spec=SimpleNamespace(name='m', family='f'), tensors=tensors,
                            modules=modules)
    with pytest.raises(CheckpointError, match=says):
        modules_of(model)


@pytest.mark.parametrize(('members_first', 'shape', 'want'), [
    pytest.param(False, (4, 3), (1, 4, 3), id='linear'),
    pytest.param(False, (4, 3, 2, 2), (1, 4, 12), id='convolution'),
    pytest.param(True, (5, 3, 4), (5, 4, 3), id='members'),
])
def test_outputs_are_rows_and_the_way_back_is_exact(
    members_first: bool, shape: tuple[int, ...], want: tuple[int, ...]
) -> None:
    model = SimpleNamespace(members_first=members_first)
    weight = torch.rand(shape)
    rows = as_matrices(model, weight)
    assert tuple(rows.shape) == want
    assert torch.equal(from_matrices(model, rows, weight.shape), weight)
