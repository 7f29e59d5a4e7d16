"""iALS: implicit alternating least squares, with the recipe that makes it competitive."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from recsys_ssl.recommenders.factor_recommender import FactorRecommender
from sparse_data import checks
from sparse_data.datasets import Interactions
from sparse_data.type_checks import check_seed

PIECES_A_THREAD = 8
_LARGEST = 1e30  # vectors are float32


class IALS(FactorRecommender):
    r"""Factorise the log with a small weight on everything that is not in it.

    .. math:: \sum_{(u,i) \in S} c_{ui} (\hat y_{ui} - 1)^2 + \alpha_0 \sum_{u,i} \hat y_{ui}^2
              + \lambda \Big( \sum_u (|I_u| + \alpha_0 n_I)^\nu \lVert w_u \rVert^2
              + \sum_i (|U_i| + \alpha_0 n_U)^\nu \lVert h_i \rVert^2 \Big),
              \qquad \hat y_{ui} = w_u^\top h_i

    S holds the pairs of the log, with weight c (1 without weights), I_u the items of a user, U_i the users
    of an item.  Each half step solves exactly for one side.  With ν = 1 the regularisation grows with the
    number of terms that a vector appears in, and α₀ and λ hardly depend on the dimension.  To tune: α₀ in
    {1, .3, .1, .03, .01, .003} and λ in {.1, .03, ..., .0003} on a grid, with the largest dimension you
    can afford.

    Parameters
    ----------
    dim : int, default=64
    regularization : float, default=0.003
        λ, above 0.
    unobserved_weight : float, default=0.1
        α₀, at least 0.
    n_iterations : int, default=16
        Passes over both sides.
    frequency_exponent : float, default=1.0
        ν; 0 regularises all vectors alike.
    init_scale : float, default=0.1
        Vectors start normal with the standard deviation init_scale / sqrt(dim).
    n_gradient_steps : int or None, default=None
        None solves each row exactly, with cost dim³.  A number (3 is enough) takes that many steps of
        conjugate gradients from the last iterate, with cost dim²: faster from dim 64 on.
    random_state : int, Generator or None

    Attributes
    ----------
    user_factors_ : float32 array of shape (n_users, dim)
    item_factors_ : float32 array of shape (n_items, dim)

    References
    ----------
    Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", 2008.
    Takács, Pilászy and Tikk, "Applications of the conjugate gradient method for implicit feedback
    collaborative filtering", 2011.
    Rendle, Krichene, Zhang and Koren, "Revisiting the performance of iALS on item recommendation
    benchmarks", 2021, arXiv:2110.14037.

    Examples
    --------
    >>> from sparse_data.datasets import Interactions
    >>> log = Interactions(user_ids=["u", "u", "v", "v", "w"], item_ids=["a", "b", "a", "b", "a"])
    >>> item_ids, _ = IALS(2, random_state=0).fit(log).recommend("w", k=1)
    >>> item_ids.tolist()
    [['b']]
    """

    def __init__(
        self,
        dim: int = 64,
        *,
        regularization: float = 0.003,
        unobserved_weight: float = 0.1,
        n_iterations: int = 16,
        frequency_exponent: float = 1.0,
        init_scale: float = 0.1,
        n_gradient_steps: int | None = None,
        random_state: int | np.random.Generator | None = None,
    ) -> None:
        self.dim = dim
        self.regularization = regularization
        self.unobserved_weight = unobserved_weight
        self.n_iterations = n_iterations
        self.frequency_exponent = frequency_exponent
        self.init_scale = init_scale
        self.n_gradient_steps = n_gradient_steps
        self.random_state = random_state

    def _fit(self, weights: csr_array, interactions: Interactions) -> None:
        del interactions
        checks.check_count("dim", self.dim)
        checks.check_count("n_iterations", self.n_iterations)
        checks.check_in_range("regularization", self.regularization, 0, closed="neither")
        checks.check_in_range("unobserved_weight", self.unobserved_weight, 0, _LARGEST)
        checks.check_in_range("frequency_exponent", self.frequency_exponent, 0)
        checks.check_in_range("init_scale", self.init_scale, 0, _LARGEST, closed="right")
        if self.n_gradient_steps is not None:
            checks.check_count("n_gradient_steps", self.n_gradient_steps)
        generator = np.random.default_rng(check_seed("random_state", self.random_state))
        scale = self.init_scale / np.sqrt(self.dim)
        shape = (self.item_ids_.size, self.dim)
        # Only the items need a start: the first half step solves for the users.
        items = generator.normal(0.0, scale, size=shape).astype(np.float32)
        users = np.zeros((self.user_ids_.size, self.dim), dtype=np.float32)
        by_user, by_item = weights, csr_array(weights.T)
        # Rows are shared out over threads here; BLAS threads below them would only get in the way.
        with ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS) as pool, threadpool_limits(1):
            for _ in range(self.n_iterations):
                self._solve(by_user, items, users, pool)
                self._solve(by_item, users, items, pool)
        self.user_factors_, self.item_factors_ = users, items

    def _solve(
        self,
        log: csr_array,
        fixed: NDArray[np.float32],
        out: NDArray[np.float32],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Set each row of `out` to its least squares solution given the vectors of the other side."""
        n_rows, n_fixed = log.shape
        gram = np.float32(self.unobserved_weight) * (fixed.T @ fixed)
        counts = np.diff(log.indptr)
        with np.errstate(over="ignore"):
            rated = counts + float(self.unobserved_weight) * n_fixed
            ridge = float(self.regularization) * rated ** float(self.frequency_exponent)
        checks.check_in_range(
            "regularization by `unobserved_weight` and `frequency_exponent`", ridge.max(), 0, _LARGEST
        )
        # Pieces of equal work: a row costs its entries and, for the factorisation, some dim / 3 more.
        work = np.cumsum(counts + self.dim / 3)
        n_pieces = min(n_rows, PIECES_A_THREAD * pool._max_workers)
        cuts = np.searchsorted(work, np.linspace(0, work[-1], n_pieces + 1)[1:-1])
        bounds = np.concatenate([[0], cuts, [n_rows]])
        arrays = (log.indptr, log.indices, log.data, fixed, gram, ridge.astype(np.float32), out)
        steps = 0 if self.n_gradient_steps is None else int(self.n_gradient_steps)
        jobs = [
            pool.submit(_solve_rows, int(start), int(stop), steps, *arrays)
            for start, stop in itertools.pairwise(bounds)
        ]
        for job in jobs:
            job.result()


_kernel = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})


@_kernel  # type: ignore[misc]
def _solve_rows(
    start: int,
    stop: int,
    n_gradient_steps: int,
    indptr: NDArray[Any],
    indices: NDArray[Any],
    weights: NDArray[np.float32],
    fixed: NDArray[np.float32],
    gram: NDArray[np.float32],
    ridge: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Solve (gram + Σ c h h' + ridge I) x = Σ c h for the rows start..stop."""
    dim = fixed.shape[1]
    longest = 0
    for row in range(start, stop):
        longest = max(longest, indptr[row + 1] - indptr[row])
    vectors = np.empty((longest, dim), dtype=np.float32)
    weighted = np.empty((longest, dim), dtype=np.float32)
    target = np.empty(dim, dtype=np.float32)
    for row in range(start, stop):
        first, count = indptr[row], indptr[row + 1] - indptr[row]
        target[:] = 0.0
        for entry in range(count):
            weight, vector = weights[first + entry], fixed[indices[first + entry]]
            for axis in range(dim):
                vectors[entry, axis] = vector[axis]
                weighted[entry, axis] = weight * vector[axis]
                target[axis] += weight * vector[axis]
        if n_gradient_steps:
            _step(vectors[:count], weighted[:count], gram, ridge[row], target, n_gradient_steps, out[row])
        else:
            _solve(vectors[:count], weighted[:count], gram, ridge[row], target)
            out[row] = target


@_kernel  # type: ignore[misc]
def _solve(
    vectors: NDArray[np.float32],
    weighted: NDArray[np.float32],
    gram: NDArray[np.float32],
    ridge: float,
    target: NDArray[np.float32],
) -> None:
    """Put the exact solution in place of `target`, by Cholesky."""
    dim = target.shape[0]
    matrix = np.dot(vectors.T, weighted)
    for i in range(dim):
        for j in range(dim):
            matrix[i, j] += gram[i, j]
        matrix[i, i] += ridge
    factor = np.linalg.cholesky(matrix)
    for i in range(dim):
        total = target[i]
        for axis in range(i):
            total -= factor[i, axis] * target[axis]
        target[i] = total / factor[i, i]
    # The transposed factor by its rows too, so that memory is read in order.
    for i in range(dim - 1, -1, -1):
        target[i] /= factor[i, i]
        for axis in range(i):
            target[axis] -= factor[i, axis] * target[i]


@_kernel  # type: ignore[misc]
def _step(
    vectors: NDArray[np.float32],
    weighted: NDArray[np.float32],
    gram: NDArray[np.float32],
    ridge: float,
    target: NDArray[np.float32],
    n_steps: int,
    solution: NDArray[np.float32],
) -> None:
    """Take `n_steps` of conjugate gradients from `solution`, in place."""
    residual = target - _product(vectors, weighted, gram, ridge, solution)
    direction = residual.copy()
    square = np.sum(residual * residual)
    for _ in range(n_steps):
        if square < 1e-20:
            break
        image = _product(vectors, weighted, gram, ridge, direction)
        length = square / np.sum(direction * image)
        solution += length * direction
        residual -= length * image
        previous, square = square, np.sum(residual * residual)
        direction = residual + (square / previous) * direction


@_kernel  # type: ignore[misc]
def _product(
    vectors: NDArray[np.float32],
    weighted: NDArray[np.float32],
    gram: NDArray[np.float32],
    ridge: float,
    x: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return (gram + Σ c h h' + ridge I) x without forming the matrix."""
    dim = x.shape[0]
    product = np.empty(dim, dtype=np.float32)
    for i in range(dim):
        total = ridge * x[i]
        for j in range(dim):
            total += gram[i, j] * x[j]
        product[i] = total
    for entry in range(vectors.shape[0]):
        total = np.float32(0.0)
        for j in range(dim):
            total += vectors[entry, j] * x[j]
        for j in range(dim):
            product[j] += total * weighted[entry, j]
    return product
