"""One training run: batches, early stopping; what is trained on is given."""

from __future__ import annotations

from collections.abc import Mapping
import math

import torch

from wm_eval_ros.errors import ConfigError
from wm_eval_ros.training.columns import Columns
from wm_eval_ros.training.learners.families import make_learner
from wm_eval_ros.training.learners.normalise import require_scales
from wm_eval_ros.training.schedule import one_cycle
from wm_eval_ros.training.settings import Progress, TrainSettings
from wm_eval_ros.training.trajectory import Dataset
from wm_eval_ros.training.windows import Windows


class Fit:
    """
    One training run; ``best`` holds the tensors with the lowest validation loss.

    Where training goes on from others, those are validated first, and are the best if nothing
    that came of them is better: ``improved`` is then False.

    :param data: whose features and step the windows have
    :param start: tensors to go on from, their normalisation with them; None: fresh ones
    :param weights: how often each window is drawn, and each of ``check`` counts, up to a factor:
        shapes (N,) of either; None: all alike
    :raises BagError: a feature is too large to have a scale
    """

    def __init__(
        self, data: Dataset, windows: Windows, check: Windows, settings: TrainSettings, *,
        start: Mapping[str, torch.Tensor] | None = None,
        weights: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        self._settings, self._windows, self._check = settings, windows, check
        columns = Columns.of(data.interface)
        require_scales(columns.names, columns.named(windows.features))
        self._generator = torch.Generator().manual_seed(settings.seed)
        self.learner = make_learner(settings, data, windows, self._generator, start)
        # Each of several members sees its own sample, with replacement, of the windows.
        self._bootstrap = self._resample(None if weights is None else weights[0])
        self._counts = torch.ones(len(check)) if weights is None else weights[1]
        self._goes_on = start is not None
        self.best = self._copy()
        #: whether any validation was better than that of the tensors it went on from
        self.improved = True
        #: their validation loss, and the lowest since; infinite: none was finite
        self.before = self.lowest = math.inf

    def _resample(self, weights: torch.Tensor | None) -> torch.Tensor:
        """Return the windows each member sees, (M, N): a single one sees all."""
        shape = (self.learner.members, len(self._windows))
        if weights is None and shape[0] == 1:
            return torch.arange(shape[1])[None]
        if weights is None:
            return torch.randint(len(self._windows), shape, generator=self._generator)
        return torch.multinomial(weights.expand(shape), shape[1], replacement=True,
                                 generator=self._generator)

    def run(self, progress: Progress) -> int:
        """
        Train until the steps are used up or validation stops improving; return the steps.

        :raises ConfigError: no validation was finite, so that nothing is known to have been learnt
        """
        s = self._settings
        begun = self.best
        if self._goes_on and math.isfinite(error := self._validate()):
            self.before = error
        trained = list(self.learner.parameters())
        optimiser = torch.optim.AdamW(trained, lr=s.learning_rate,
                                      weight_decay=s.weight_decay)
        schedule = one_cycle(optimiser, s.learning_rate, s.steps)
        every, stale = max(1, s.steps // s.checks), 0
        for step in range(1, s.steps + 1):
            loss = self.learner.loss(*self._batch(), self._generator)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(trained, s.gradient_clip)
            optimiser.step()
            schedule.step()
            if step % every and step != s.steps:
                continue
            error = self._validate()
            # not of those it began with: a rate that rises first makes worse what it then betters
            stale = 0 if error < self.lowest else stale + 1
            if error < self.lowest:
                self.lowest, self.best = error, self._copy()
            progress(step, s.steps, f'validation {error:.4f}, best {self._lowest_yet()}')
            if stale >= s.patience:
                break
        if self.lowest == math.inf:
            raise ConfigError(
                f'{s.family}: no validation was finite in {step} steps; choose a learning_rate '
                f'below {s.learning_rate:g} or an unroll below {s.unroll}, or look for values far '
                'beyond the others in the data')
        if self.before <= self.lowest:
            self.best, self.improved = begun, False
        return step

    def _lowest_yet(self) -> str:
        if self.before <= self.lowest:
            return f'{self.before:.4f} before it began'
        return f'{self.lowest:.4f}'

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return windows of each member, (M, B, ...)."""
        shape = (self.learner.members, self._settings.batch)
        draw = torch.randint(len(self._windows), shape, generator=self._generator)
        return self._windows.gather(self._bootstrap.gather(1, draw))

    @torch.no_grad()
    def _validate(self) -> float:
        """Mean squared error of the imagined features, in units of one step's change."""
        total, count = 0.0, 0.0
        stride = self._check.at_most(4096)
        for begin in range(0, len(self._check), stride):
            end = min(begin + stride, len(self._check))
            errors = self.learner.errors(*self._check.gather(torch.arange(begin, end)))
            weights = self._counts[begin:end, None, None]
            total += float((errors.square() * weights).sum())
            count += float(weights.sum()) * errors.shape[1] * errors.shape[2]
        return total / count

    def _copy(self) -> dict[str, torch.Tensor]:
        return {n: t.detach().clone() for n, t in self.learner.tensors().items()}
