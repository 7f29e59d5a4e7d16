"""A vector for each of many ids out of two small tables: the quotient-remainder trick."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.embeddings.sparse_embedding import SparseEmbedding
from sparse_data import checks

Tensor = Any

OPERATIONS = ("multiply", "add", "concatenate")
MOST_IDS = 2**31 - 1
NO_ROW = -1


def quotient_and_remainder(ids: ArrayLike, num_ids: int, num_remainders: int) -> NDArray[np.int32]:
    r"""Return the pair of rows :math:`(\lfloor x / r \rfloor, x \bmod r)` of each id, of no other id.

    Parameters
    ----------
    ids : integer array_like of shape (...)
        In [0, num_ids).
    num_ids : int
        At most 2**31 - 1.
    num_remainders : int
        The divisor *r*.

    Returns
    -------
    int32 ndarray of shape (..., 2)

    Raises
    ------
    TypeError
        If the ids are not of an integer dtype.
    ValueError
        If an id or a number is out of range.

    Examples
    --------
    >>> quotient_and_remainder([0, 5, 11], num_ids=12, num_remainders=4).tolist()
    [[0, 0], [1, 1], [2, 3]]
    """
    checks.check_count("num_ids", num_ids, maximum=MOST_IDS)
    checks.check_count("num_remainders", num_remainders, maximum=MOST_IDS)
    ids = checks.check_ids_in_range("ids", ids, num_ids).astype(np.int64)
    return np.stack(np.divmod(ids, num_remainders), axis=-1).astype(np.int32)


@keras.saving.register_keras_serializable(package="sparselabels")
class CompositionalEmbedding(keras.layers.Layer):
    r"""A different vector for each of ``num_ids`` ids out of two tables of about the root of that many rows.

    .. math:: e(x) = Q_{\lfloor x / r \rfloor} \circ R_{x \bmod r}

    with :math:`\circ` the product or sum, element by element, or the concatenation. The tables *Q* and *R*
    have :math:`\lceil \text{num\_ids} / r \rceil + r` rows together, least for
    :math:`r = \sqrt{\text{num\_ids}}`; both are a :class:`SparseEmbedding`.

    Parameters
    ----------
    num_ids : int
        Ids are 0, ..., num_ids - 1; at most 2**31 - 1. Other ids are numbered by a vocabulary first.
    dim : int
        Length of the vectors; of a concatenation *Q* has the larger half.
    num_remainders : int, optional
        The divisor *r*; None takes the root of ``num_ids``, rounded up.
    operation : {"multiply", "add", "concatenate"}, default="multiply"
    embeddings_initializer : str or keras.Initializer, default="uniform"
        Of *R*, and of *Q* unless the operation is the product: then *Q* starts uniformly in [0.5, 1.5], so
        that vectors and gradients have the size that a plain table would give them.

    Raises
    ------
    TypeError
        At a call, if the ids are not of an integer dtype.
    ValueError
        If a number is out of range or the operation unknown; at a call, if ids whose values can be seen are
        out of range. Other ids out of range are treated as by :class:`SparseEmbedding`.

    References
    ----------
    Shi et al. (2020), Compositional embeddings using complementary partitions for memory-efficient
    recommendation systems, arXiv:1909.02107.

    Examples
    --------
    >>> import numpy as np
    >>> layer = CompositionalEmbedding(1_000_000, 16)
    >>> layer.quotients.num_rows, layer.remainders.num_rows
    (1000, 1000)
    >>> tuple(layer(np.array([3, 999_999])).shape)
    (2, 16)
    """

    def __init__(
        self,
        num_ids: int,
        dim: int,
        num_remainders: int | None = None,
        operation: str = "multiply",
        *,
        embeddings_initializer: Any = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_ids = checks.check_count("num_ids", num_ids, maximum=MOST_IDS)
        self.operation = checks.check_one_of("operation", operation, OPERATIONS)
        concatenated = operation == "concatenate"
        hint = "A concatenation needs a number of each table." if concatenated else None
        self.dim = checks.check_count("dim", dim, minimum=2 if concatenated else 1, hint=hint)
        if num_remainders is None:
            num_remainders = math.isqrt(self.num_ids - 1) + 1
        self.num_remainders = checks.check_count("num_remainders", num_remainders, maximum=self.num_ids)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        half = self.dim // 2
        policy = self.dtype_policy
        self.quotients = SparseEmbedding(
            -(-self.num_ids // self.num_remainders),
            self.dim - half if concatenated else self.dim,
            embeddings_initializer=_of_quotients(self.embeddings_initializer, operation),
            dtype=policy,
        )
        self.remainders = SparseEmbedding(
            self.num_remainders,
            half if concatenated else self.dim,
            embeddings_initializer=self.embeddings_initializer,
            dtype=policy,
        )
        self.built = True

    def __call__(self, ids: Any, **kwargs: Any) -> Tensor:
        """Return vectors; see :meth:`call`."""
        if not hasattr(ids, "dtype") or isinstance(ids, (np.ndarray, np.generic)):
            ids = checks.check_ids_in_range("ids", ids, self.num_ids).astype(np.int32)
        return super().__call__(ids, **kwargs)

    def call(self, ids: Tensor) -> Tensor:
        """Return one vector an id.

        Parameters
        ----------
        ids : integer tensor of shape (...)

        Returns
        -------
        tensor of shape (..., dim)
        """
        ids = self._inside(ids)
        quotients = self.quotients(ops.floor_divide(ids, self.num_remainders))
        remainders = self.remainders(ops.mod(ids, self.num_remainders))
        if self.operation == "concatenate":
            return ops.concatenate([quotients, remainders], axis=-1)
        return quotients * remainders if self.operation == "multiply" else quotients + remainders

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "num_ids": self.num_ids,
            "dim": self.dim,
            "num_remainders": self.num_remainders,
            "operation": self.operation,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }

    def _inside(self, ids: Tensor) -> Tensor:
        """Return ids as int32; those out of range become -1, which is a row of neither table's quotients."""
        dtype = keras.backend.standardize_dtype(ids.dtype)
        if not dtype.startswith(("int", "uint")):
            raise TypeError(
                f"`ids` must be of an integer dtype; got {dtype}. Declare the input as dtype='int32'."
            )
        # Compared before the cast to 32 bits, which would bring ids above them back into range.
        ids = ops.cast(ids, "int64" if dtype in ("int64", "uint32", "uint64") else "int32")
        inside = ops.logical_and(ids >= 0, ids < self.num_ids)
        return ops.cast(ops.where(inside, ids, NO_ROW), "int32")


def _of_quotients(initializer: Any, operation: str) -> Any:
    """Return an initializer that draws other numbers than the one given.

    With the same numbers in both tables, the sums of the pairs (i, j) and (j, i) would be equal.
    """
    config = initializer.get_config() if hasattr(initializer, "get_config") else {}
    seed = config.get("seed")
    other_seed = seed + 1 if isinstance(seed, int) else None
    if operation == "multiply":
        return keras.initializers.RandomUniform(0.5, 1.5, seed=other_seed)
    if "seed" not in config:
        return initializer
    return type(initializer).from_config({**config, "seed": other_seed})
