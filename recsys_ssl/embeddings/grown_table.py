"""Carry an embedding table over to a larger one."""

from __future__ import annotations

from keras import ops

from recsys_ssl.embeddings.sparse_embedding import SparseEmbedding
from recsys_ssl.sparse_training import backend_module
from sparse_data import checks

BLOCK = 1 << 18  # rows to copy at once


def grown(layer: SparseEmbedding, num_rows: int) -> SparseEmbedding:
    """Return a larger table with the old rows as they are and first values in the new ones.

    The layer itself is unchanged. The optimizer's slots belong to the old table: give the model that reads
    the new one an optimizer of its own.

    Parameters
    ----------
    layer : SparseEmbedding
    num_rows : int
        Rows of the new table, more than the old one has.

    Returns
    -------
    SparseEmbedding
        Of the same configuration otherwise, the name included.

    Raises
    ------
    TypeError
        If `layer` is no SparseEmbedding.
    ValueError
        If the table would not grow.

    Examples
    --------
    >>> small = SparseEmbedding(3, 2, embeddings_initializer="zeros")
    >>> _ = small.embeddings.assign([[1, 1], [2, 2], [3, 3]])
    >>> grown(small, 5).get_weights()[0].tolist()
    [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [0.0, 0.0], [0.0, 0.0]]
    """
    if not isinstance(layer, SparseEmbedding):
        raise TypeError(
            f"`layer` must be a SparseEmbedding; got {type(layer).__name__}. "
            "Pass the table inside it, such as `model.get_layer(name)`."
        )
    hint = "The table has that many rows already; pass more."
    checks.check_count("num_rows", num_rows, minimum=layer.num_rows + 1, hint=hint)
    larger: SparseEmbedding = type(layer).from_config({**layer.get_config(), "num_rows": num_rows})
    # Written over the first rows of a whole table of first values: new rows drawn on their own would, where
    # the initializer has a fixed seed, be those that the old rows began with.
    blocks = (
        (start, ops.stop_gradient(layer.embeddings[start : start + BLOCK]))
        for start in range(0, layer.num_rows, BLOCK)
    )
    backend_module().fill(larger.embeddings, blocks)
    return larger
