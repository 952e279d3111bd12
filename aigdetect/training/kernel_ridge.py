"""The fit of a head over products, and of all heads that learn from all images but some."""

from __future__ import annotations

import torch
from torch import Tensor

from aigdetect.errors import UsageError
from aigdetect.model.head import Head


class KernelRidge:
    """Heads over products of components at the minimum of the weighted mean of squares and a penalty.

    The loss is half the squared distance of the logit to 1 or -1, and the penalty ``penalty / 2`` times the
    mean over sets of the squared length of their weights: the squared norm of the logit among the functions
    of the kernel. The bias is not penalised. There are more weights than rows, so a number for each row is
    solved for. Out of that solution follow those of all rows without some, exactly, in little time; for them
    the channels' scales and the rows' weights, relative to the penalty, are those among all rows.

    A head with a set of weights for each scale is fitted to one view at each, side by side, and one with a
    single set to each view by itself.

    Args:
        head: what it makes of its inputs is set by the features, then its weights by the solution.
        features: ``(N, V, C)`` float32, of one view of each image at each scale as
            :meth:`aigdetect.model.head.Head.normalised` gives them.
        labels: ``(N,)`` float32, 1 for generated, 0 for real.
        weights: ``(N,)`` float32, how much each row counts; above 0.
        penalty: above 0.

    Raises:
        UsageError: if the penalty is too small for the precision of the numbers.

    Source: C. Saunders et al., Ridge regression learning algorithm in dual variables, 1998; for what is left
    out, there row by row and here in blocks, G. C. Cawley and N. L. C. Talbot, Fast exact leave-one-out
    cross-validation of sparse least-squares support vector machines, 2004.
    """

    @torch.no_grad()
    def __init__(
        self, head: Head, features: Tensor, labels: Tensor, weights: Tensor, *, penalty: float
    ) -> None:
        assert head.quadratic is not None
        self._head, self._views = head, features.shape[1]
        labels, weights = self._each(labels), self._each(weights)
        rows = features.reshape(len(labels), head.sets, -1)
        head.quadratic.fit(rows)
        self._rows = [head.quadratic.coordinates(rows[:, number], number) for number in range(head.sets)]
        kernel = rows.new_zeros(len(rows), len(rows))
        for of_set in self._rows:
            of_set.add_inner_products(kernel, 1 / head.sets)
        kernel.diagonal().add_(penalty * weights.sum() / weights)
        failed = torch.empty(0, dtype=torch.int32, device=kernel.device)
        torch.linalg.cholesky_ex(kernel, out=(kernel, failed))  # in its place: such matrices are large
        if failed.item():
            raise UsageError(
                f"head_penalty: {penalty} is too small to solve for a head with products; use 1e-5 or more"
            )
        inverse = torch.cholesky_inverse(kernel)
        del kernel
        sums = inverse.sum(dim=1)
        self._to_bias = sums / sums.sum()
        # with the bias: of the matrix that has a further row and column of ones, what is not of these
        self._inverse = inverse.addr_(sums, self._to_bias, alpha=-1)
        targets = 2 * labels - 1
        self._solved, self._bias = self._inverse @ targets, self._to_bias @ targets

    def fit(self) -> None:
        """Let the head learn from all images."""
        self._put(self._solved, self._bias)

    @torch.no_grad()
    def fit_without(self, images: Tensor) -> None:
        """Let the head learn from all images but some.

        Args:
            images: ``(N,)`` bool, those that it does not learn from; neither all nor none.
        """
        out = torch.nonzero(self._each(images)).squeeze(1)
        pulls = torch.linalg.solve(self._inverse[out][:, out], self._solved[out])
        solved = self._solved - self._inverse[:, out] @ pulls
        solved[out] = 0.0
        self._put(solved, self._bias - self._to_bias[out] @ pulls)

    @torch.no_grad()
    def _put(self, solved: Tensor, bias: Tensor) -> None:
        for number, of_set in enumerate(self._rows):
            self._head.weight[number] = of_set.sum_of_features(solved)
        self._head.bias.fill_(bias)

    def _each(self, of_images: Tensor) -> Tensor:
        """What belongs to images, for each row."""
        return of_images if self._head.sets > 1 else of_images.repeat_interleave(self._views)
