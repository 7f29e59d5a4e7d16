"""A table of fixed size for ids without bounds: an id is the sum of the rows that hash functions give it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike, NDArray

from recsys_ssl.embeddings import id_hashing
from recsys_ssl.embeddings.hash_collisions import CollisionStatistics, collision_statistics
from recsys_ssl.embeddings.sparse_embedding import SparseEmbedding
from sparse_data import checks

Tensor = Any

INPUTS = ("ids", "words", "rows")


@keras.saving.register_keras_serializable(package="sparselabels")
class HashedEmbedding(keras.layers.Layer):
    r"""Vectors of any number of ids out of a table of fixed size, by several hash functions.

    .. math:: e(x) = \sum_{j=1}^{k} p_j(x)\, W_{h_j(x)}

    Two ids have the same vector only where all *k* rows coincide; :meth:`collision_statistics` counts them.
    The importance weights :math:`p_j` are 1 or, with ``importance_rows``, learned: a second table holds *k*
    weights a row, and a further hash function gives every id its row in there. Lookups and their training go
    through :class:`SparseEmbedding`, so that a step costs what the batch touches.

    Parameters
    ----------
    num_rows : int
        Size of the table, at most 2**31 - 1.
    dim : int
        Length of the vectors.
    num_hashes : int, default=2
        Hash functions, from 1 to 16. One is the plain hashing trick.
    inputs : {"ids", "words", "rows"}, default="ids"
        What the layer is called with. ``"ids"``: integers of any width, shape (...). ``"words"``: int32 of
        shape (..., 2), as :func:`id_words` makes them of integers and strings. ``"rows"``: int32 of shape
        (..., n_columns), as :meth:`hash_ids` of this layer makes them. The same id gives the same vector in
        each form. JAX without ``jax_enable_x64`` cuts 64-bit integers to 32 bits before a layer sees them:
        there ``"ids"`` is refused.
    importance_rows : int, optional
        Size of the table of importance weights; None leaves them at 1. It may be larger than ``num_rows``, as
        a row is only ``num_hashes`` numbers.
    embeddings_initializer : str or keras.Initializer, default="uniform"
    seed : int, default=0
        Of the hash functions.

    Raises
    ------
    TypeError
        At a call, if the dtype is no integer one, or not int32 where words or rows are expected.
    ValueError
        If a number is out of range or the form of the inputs unknown; at a call, if the last axis has another
        length than the form asks for, or integer ids are given where the backend has no 64 bits.

    References
    ----------
    Svenstrup et al. (2017), Hash embeddings for efficient word representations, arXiv:1709.03933.
    Weinberger et al. (2009), Feature hashing for large scale multitask learning, arXiv:0902.2206.

    Examples
    --------
    >>> layer = HashedEmbedding(1000, 4, inputs="words")
    >>> tuple(layer(id_hashing.id_words(["teapot", "kettle", "a new thing"])).shape)
    (3, 4)
    """

    def __init__(
        self,
        num_rows: int,
        dim: int,
        num_hashes: int = 2,
        *,
        inputs: str = "ids",
        importance_rows: int | None = None,
        embeddings_initializer: Any = "uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_rows, self.num_hashes = id_hashing.check_table(num_rows, num_hashes)
        self.dim = checks.check_count("dim", dim)
        self.inputs = checks.check_one_of("inputs", inputs, INPUTS)
        self.importance_rows = importance_rows
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed = checks.check_count("seed", seed, minimum=0, maximum=2**64 - 1)
        self._sizes = [self.num_rows] * self.num_hashes
        self.table = SparseEmbedding(
            self.num_rows,
            self.dim,
            embeddings_initializer=self.embeddings_initializer,
            dtype=self.dtype_policy,
        )
        self.importance = None
        if importance_rows is not None:
            largest = id_hashing.LARGEST_TABLE
            self._sizes.append(checks.check_count("importance_rows", importance_rows, maximum=largest))
            self.importance = SparseEmbedding(
                importance_rows, self.num_hashes, embeddings_initializer="ones", dtype=self.dtype_policy
            )
        self.built = True

    def __call__(self, ids: Any, **kwargs: Any) -> Tensor:
        """Return vectors; see :meth:`call`."""
        if not hasattr(ids, "dtype"):
            ids = np.asarray(ids)
        if isinstance(ids, np.ndarray):
            self._check_dtype(str(ids.dtype))
            if ids.dtype == np.uint64:
                ids = ids.view(np.int64)  # the same 64 bits
        return super().__call__(ids, **kwargs)

    def call(self, ids: Tensor) -> Tensor:
        """Return one vector an id.

        Parameters
        ----------
        ids : integer tensor
            Of shape (...) for ``inputs="ids"``, (..., 2) for words, (..., n_columns) for rows.

        Returns
        -------
        tensor of shape (..., dim)
        """
        rows = self._rows(ids)
        vectors = self.table(rows[..., : self.num_hashes])  # (..., num_hashes, dim)
        if self.importance is not None:
            vectors = vectors * ops.expand_dims(self.importance(rows[..., self.num_hashes]), -1)
        return ops.sum(vectors, axis=-2)

    def hash_ids(self, ids: ArrayLike) -> NDArray[np.int32]:
        """Return what the layer reads of each id with ``inputs="rows"``.

        Parameters
        ----------
        ids : array_like of shape (...)
            Integers or strings.

        Returns
        -------
        int32 ndarray of shape (..., n_columns)
            The ``num_hashes`` rows of the table, then the row of the importance weights where there are any.
        """
        return id_hashing.hash_words(id_hashing.id_words(ids), np.array(self._sizes), self.seed)

    def collision_statistics(self, ids: ArrayLike) -> CollisionStatistics:
        """Count which of the ids share rows of the table; importance weights can still tell some apart.

        Parameters
        ----------
        ids : array_like of shape (n,)
            For instance a vocabulary of a fitted :class:`FeatureEncoder`.
        """
        return collision_statistics(ids, self.num_rows, self.num_hashes, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "num_rows": self.num_rows,
            "dim": self.dim,
            "num_hashes": self.num_hashes,
            "inputs": self.inputs,
            "importance_rows": self.importance_rows,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "seed": self.seed,
        }

    def _rows(self, ids: Tensor) -> Tensor:
        self._check_dtype(keras.backend.standardize_dtype(ids.dtype))
        if self.inputs == "ids":
            return hash_words_in_graph(_split(ids), self._sizes, self.seed)
        width = 2 if self.inputs == "words" else len(self._sizes)
        if len(ids.shape) == 0 or ids.shape[-1] != width:
            made_by = "id_words(ids)" if self.inputs == "words" else "this layer's hash_ids(ids)"
            raise ValueError(
                f"`ids` must have {width} columns where the inputs are {self.inputs}; "
                f"got shape {tuple(ids.shape)}. Pass {made_by}."
            )
        return hash_words_in_graph(ids, self._sizes, self.seed) if self.inputs == "words" else ids

    def _check_dtype(self, dtype: str) -> None:
        if self.inputs != "ids":
            if dtype != "int32":
                raise TypeError(
                    f"`ids` must be int32 where the inputs are {self.inputs}; got {dtype}. "
                    "Make them of ids with id_words or the layer's hash_ids."
                )
            return
        if not dtype.startswith(("int", "uint")):
            raise TypeError(
                f"`ids` must be of an integer dtype; got {dtype}. "
                'Use inputs="words" and pass id_words(ids), which takes strings too.'
            )
        if not _has_64_bits():
            raise ValueError(
                '`inputs` must be "words" or "rows" where the backend cuts integers to 32 bits; got "ids". '
                'Pass id_words(ids) to HashedEmbedding(..., inputs="words").'
            )


def hash_words_in_graph(words: Tensor, sizes: list[int], seed: int) -> Tensor:
    """Return :func:`hash_words` as a tensor of the backend, bit for bit.

    In int32, whose products wrap in every backend; torch has no arithmetic on uint32.
    """
    first, second = (_constant(keys.view(np.int32)) for keys in id_hashing.hash_keys(len(sizes), seed))
    mixed = _mix(ops.bitwise_xor(words[..., :1], first))
    mixed = _mix(ops.bitwise_xor(ops.bitwise_xor(mixed, words[..., 1:]), second))
    return ops.mod(ops.bitwise_and(mixed, _constant(2**31 - 1)), _constant(sizes))


def _mix(word: Tensor) -> Tensor:
    word = ops.bitwise_xor(word, _shifted(word, id_hashing.FIRST_SHIFT)) * _constant(id_hashing.FIRST_FACTOR)
    word = ops.bitwise_xor(word, _shifted(word, id_hashing.SECOND_SHIFT))
    word = word * _constant(id_hashing.SECOND_FACTOR)
    return ops.bitwise_xor(word, _shifted(word, id_hashing.THIRD_SHIFT))


def _shifted(word: Tensor, places: int) -> Tensor:
    # The shift of a negative int32 brings ones in from the left.
    return ops.bitwise_and(ops.right_shift(word, _constant(places)), _constant(2 ** (32 - places) - 1))


def _split(ids: Tensor) -> Tensor:
    """Return integers of shape (...) as low and high words (..., 2)."""
    ids = ops.cast(ids, "int64")
    low = ops.bitwise_and(ids, ops.convert_to_tensor(2**32 - 1, dtype="int64"))
    low = ops.where(low < 2**31, low, low - 2**32)
    high = ops.right_shift(ids, ops.convert_to_tensor(32, dtype="int64"))
    return ops.cast(ops.stack([low, high], axis=-1), "int32")


def _constant(value: Any) -> Tensor:
    return ops.convert_to_tensor(np.asarray(value, dtype=np.int64).astype(np.int32), dtype="int32")


def _has_64_bits() -> bool:
    return bool(keras.backend.standardize_dtype(ops.convert_to_tensor(np.int64(0)).dtype) == "int64")
