"""One training run of the ensemble: batches, loss, early stopping; what is trained on is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from wm_eval_ros.config.schema import setting
from wm_eval_ros.models.ensemble import EnsembleArchitecture, EnsembleNet
from wm_eval_ros.training.windows import Windows

#: reports (steps done, steps in all, a few words)
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How a model is trained."""

    family: str = setting('ensemble', doc='family of world models', choices=('ensemble',))
    members: int = setting(5, doc='members of the ensemble', low=1, high=64)
    hidden: int = setting(64, doc='width of the hidden layers', low=1, high=4096)
    layers: int = setting(2, doc='hidden layers', low=1, high=8)
    activation: str = setting('silu', doc='activation', choices=('silu', 'relu'))
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


class Fit:
    """
    One training run; ``best`` holds the tensors with the lowest validation loss.

    :param start: tensors to go on from, their normalisation with them; None: fresh ones
    :param weights: how often each window is drawn, and each of ``check`` counts, up to a factor:
        shapes (N,) of either; None: all alike
    """

    def __init__(
        self, windows: Windows, check: Windows, settings: TrainSettings, *,
        start: Mapping[str, torch.Tensor] | None = None,
        weights: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self._settings, self._windows, self._check = settings, windows, check
        self._generator = torch.Generator().manual_seed(settings.seed)
        arch = EnsembleArchitecture(
            windows.features.shape[1], windows.actions.shape[1], settings.members,
            settings.hidden, settings.layers, settings.activation)
        if start is None:
            self._tensors = EnsembleNet.initial(arch, self._generator)
            self._standardise()
        else:
            self._tensors = {n: t.detach().clone() for n, t in start.items()}
        self._net = EnsembleNet(arch, self._tensors)
        self._fixed = {n for n in self._tensors if n.endswith(('_mean', '_scale'))}
        self._trainable = [t.requires_grad_() for n, t in self._tensors.items()
                           if n not in self._fixed]
        # Each member sees its own sample, with replacement, of the windows.
        self._bootstrap = self._resample(None if weights is None else weights[0])
        self._counts = torch.ones(len(check)) if weights is None else weights[1]
        self.best = self._copy()

    def _resample(self, weights: torch.Tensor | None) -> torch.Tensor:
        """Return the windows each member sees, (M, N)."""
        shape = (self._settings.members, len(self._windows))
        if weights is None:
            return torch.randint(len(self._windows), shape, generator=self._generator)
        return torch.multinomial(weights.expand(shape), shape[1], replacement=True,
                                 generator=self._generator)

    def _standardise(self) -> None:
        features, _, _ = self._windows.gather(torch.arange(len(self._windows)))
        now, change = features[:, 0], features[:, 1] - features[:, 0]
        for key, values in (('feature', now), ('delta', change)):
            scale = values.std(0, correction=0)
            # A constant feature has no scale of its own; its change is predicted as zero.
            floor = 1e-3 if key == 'feature' else 1e-6
            self._tensors[f'{key}_mean'] = values.mean(0)
            self._tensors[f'{key}_scale'] = scale.clamp(min=floor)

    def run(self, progress: Progress) -> int:
        """Train until the steps are used up or validation stops improving; return the steps."""
        s = self._settings
        optimiser = torch.optim.AdamW(self._trainable, lr=s.learning_rate,
                                      weight_decay=s.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, s.learning_rate, total_steps=s.steps + 1, pct_start=0.1)
        every, lowest, stale = max(1, s.steps // s.checks), float('inf'), 0
        for step in range(1, s.steps + 1):
            loss = self._loss(*self._batch())
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self._trainable, s.gradient_clip)
            optimiser.step()
            schedule.step()
            if step % every and step != s.steps:
                continue
            error = self._validate()
            stale = 0 if error < lowest else stale + 1
            if error < lowest:
                lowest, self.best = error, self._copy()
            progress(step, s.steps, f'validation {error:.4f}, best {lowest:.4f}')
            if stale >= s.patience:
                return step
        return s.steps

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        shape = (self._settings.members, self._settings.batch)
        draw = torch.randint(len(self._windows), shape, generator=self._generator)
        return self._windows.gather(self._bootstrap.gather(1, draw))

    def _loss(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> torch.Tensor:
        """
        Gaussian negative log-likelihood along each member's own imagined mean.

        The variance is fitted to the first step alone: it is that of one step, and errors that
        have added up over a window are none of it.
        """
        low, high = self._tensors['min_logvar'], self._tensors['max_logvar']
        loss = 0.01 * (high.sum() - low.sum())
        for u, (error, logvar) in enumerate(self._imagine(features, before, actions)):
            if u:
                logvar = logvar.detach()
            loss = loss + (error.square() * (-logvar).exp() + logvar).mean() / actions.shape[-2]
        return loss

    def _imagine(
        self, features: torch.Tensor, before: torch.Tensor, actions: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return error and log-variance of each step in units of the change, (M, B, F) each."""
        t = self._tensors
        z = (features - t['feature_mean']) / t['feature_scale']
        ratio, shift = t['delta_scale'] / t['feature_scale'], t['delta_mean'] / t['feature_scale']
        x, out = z[..., 0, :], []
        for u in range(actions.shape[-2]):
            action = actions[..., u, :]
            mean, logvar = self._net.head(torch.cat([x, before, action], dim=-1))
            x = x + mean * ratio + shift
            out.append(((x - z[..., u + 1, :]) / ratio, logvar))
            before = action
        return out

    @torch.no_grad()
    def _validate(self) -> float:
        """Mean squared error over the window in units of the change, of the members' mean."""
        total, count = 0.0, 0.0
        for begin in range(0, len(self._check), 4096):
            end = min(begin + 4096, len(self._check))
            batch = self._check.gather(torch.arange(begin, end))
            weights = self._counts[begin:end, None]
            steps = self._imagine(*(v.expand(self._settings.members, *v.shape) for v in batch))
            total += sum(float((e.mean(0).square() * weights).sum()) for e, _ in steps)
            count += sum(float(weights.sum()) * e.shape[-1] for e, _ in steps)
        return total / count

    def _copy(self) -> dict[str, torch.Tensor]:
        return {n: t.detach().clone() for n, t in self._tensors.items()}
