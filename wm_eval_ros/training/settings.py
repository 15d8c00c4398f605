"""Settings of a training run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from wm_eval_ros.config.schema import setting
from wm_eval_ros.errors import ConfigError

#: reports (steps done, steps in all, a few words)
Progress = Callable[[int, int, str], None]
#: families that `wm-eval train` makes
FAMILIES = ('ensemble', 'mlp', 'physics', 'rssm', 'jepa', 'ssm', 'transformer')
#: those that remember more than the command in force
WITH_MEMORY: tuple[str, ...] = ('rssm', 'jepa', 'ssm', 'transformer')
#: settings that not every family heeds, and those that do
HEEDED_BY: dict[str, tuple[str, ...]] = {
    'members': ('ensemble',), 'dropout': ('mlp',), 'masks': ('mlp',),
    **dict.fromkeys(('deterministic', 'stochastic', 'kl_weight', 'kl_balance', 'free_nats'),
                    ('rssm',)),
    **dict.fromkeys(('latent', 'variance_weight', 'covariance_weight', 'grounded'), ('jepa',)),
    'states': ('ssm',), 'memory': ('transformer',), 'heads': ('transformer',),
    'context': WITH_MEMORY}


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a model is trained."""

    family: str = setting('ensemble', doc='family of world models', choices=FAMILIES)
    members: int = setting(5, doc='members of an ensemble', low=1, high=64)
    hidden: int = setting(64, doc='width of the hidden layers', low=1, high=4096)
    layers: int = setting(2, doc='hidden layers', low=1, high=8)
    activation: str = setting('silu', doc='activation', choices=('silu', 'relu'))
    dropout: float = setting(
        0.0, doc='share of hidden units left out, of an mlp: more than 0 makes it know its '
        'uncertainty', low=0.0, high=0.9)
    masks: int = setting(
        16, doc='of an mlp with dropout: masks that a rollout is imagined under, each held over '
        'all its steps', low=2, high=64)
    deterministic: int = setting(
        64, doc='numbers of the deterministic state of an rssm', low=1, high=4096)
    stochastic: int = setting(
        16, doc='numbers of the stochastic state of an rssm', low=1, high=4096)
    kl_weight: float = setting(
        1.0, doc='weight of the KL between posterior and prior of an rssm, against '
        'reconstruction in units of one step', low=0.0, high=1000.0)
    kl_balance: float = setting(
        0.8, doc='share of the KL of an rssm that moves the prior, not the posterior', low=0.0,
        high=1.0)
    free_nats: float = setting(
        1.0, doc='KL of an rssm that costs nothing', unit='nats', low=0.0, high=1000.0)
    latent: int = setting(32, doc='numbers of the code of a frame of a jepa', low=1, high=4096)
    variance_weight: float = setting(
        10.0, doc='weight of what the codes of a jepa lack to a standard deviation of 1; 0: they '
        'collapse', low=0.0, high=1000.0)
    covariance_weight: float = setting(
        1.0, doc='weight of the covariances of the codes of a jepa', low=0.0, high=1000.0)
    states: int = setting(32, doc='states of each layer of an ssm', low=1, high=4096)
    memory: int = setting(
        8, doc='steps before the present one that a transformer looks back on, all layers '
        'together', low=1, high=1024)
    heads: int = setting(4, doc='heads of each attention of a transformer', low=1, high=64)
    grounded: bool = setting(
        False, doc='the read-out of a jepa shapes its codes, too: they then hold what the '
        'features need, not only what is foreseen')
    context: int = setting(
        8, doc='steps that a family with a memory observes before it imagines, in one window of '
        'the loss; others observe one', low=1, high=1000)
    steps: int = setting(3000, doc='most gradient steps', low=1, high=10_000_000)
    batch: int = setting(128, doc='windows per step and member', low=1, high=1_000_000)
    unroll: int = setting(
        6, doc='steps imagined within one window of the loss; one step alone leaves small errors '
        'that add up, such as creeping through an end stop', low=1, high=100)
    learning_rate: float = setting(3e-3, doc='peak learning rate', low=1e-7, high=1.0)
    weight_decay: float = setting(1e-5, doc='decoupled weight decay', low=0.0, high=1.0)
    gradient_clip: float = setting(10.0, doc='largest norm of the gradient', low=1e-3)
    val_share: float = setting(0.1, doc='share of the episodes held out', low=0.01, high=0.9)
    checks: int = setting(20, doc='validations over all steps', low=1, high=1000)
    patience: int = setting(8, doc='validations without gain before training stops', low=1)
    horizon: int = setting(10, doc='steps of the open-loop report', low=1, high=1000)
    seed: int = setting(0, doc='seed of split, initialisation and batches', low=0, high=2**53)

    @property
    def observed(self) -> int:
        """Slots of a window that are observed before imagining begins, >= 1."""
        return self.context if self.family in WITH_MEMORY else 1

    @property
    def window(self) -> int:
        """Transitions L of a window."""
        return self.observed - 1 + self.unroll


def require_heeded(family: str, given: Collection[str]) -> None:
    """
    Refuse settings that would change nothing.

    :param given: names of the settings that were asked for
    :raises ConfigError: names the first that the family does not heed, and the families that do
    """
    for name in sorted(given):
        if family not in (heeding := HEEDED_BY.get(name, FAMILIES)):
            raise ConfigError(f'{name}: has no effect on a model of the family {family}; it is of '
                              f'{", ".join(heeding)}')
