"""Tables of any size in the place of `keras.layers.Embedding` and the embedding layers of `keras_rs`."""

from __future__ import annotations

from typing import Any

import keras

from recsys_ssl.embeddings.sparse_embedding import SparseEmbedding
from sparse_data.type_checks import check_type


def sparse_embedding_from(layer: keras.layers.Embedding, *, padding_id: int | None = None) -> SparseEmbedding:
    """Return a `SparseEmbedding` with the rows of an `Embedding` or a `keras_rs.layers.EmbedReduce`.

    It takes the same ids of shape (batch,) or (batch, length), dense or ragged, and the same weights, and
    gives the same vectors.

    Parameters
    ----------
    layer : keras.layers.Embedding, built
        The new layer has its rows, its name, its initializer, its dtype policy and, where it has one, its
        combiner.
    padding_id : int, optional
        An id that stands for nothing. A layer with ``mask_zero=True`` needs the 0 here: it hands a mask on,
        which `SparseEmbedding` does not, and `EmbedReduce` pools row 0 all the same, which
        `SparseEmbedding` with a padding does not.

    Returns
    -------
    SparseEmbedding

    Raises
    ------
    ValueError
        If the layer is not built, has a mask and no ``padding_id`` is given, or has a regularizer or a
        constraint, which would act on the whole table.

    Examples
    --------
    >>> import numpy as np
    >>> dense = keras.layers.Embedding(4, 2)
    >>> dense.build()
    >>> sparse = sparse_embedding_from(dense)
    >>> bool(np.all(sparse(np.array([3, 1])) == dense(np.array([3, 1]))))
    True
    """
    check_type("layer", layer, keras.layers.Embedding, "Take one table at a time.")
    if not layer.built:
        raise ValueError(f"`layer` must be built; got {layer.name!r} without rows. Call it once first.")
    if layer.mask_zero and padding_id is None:
        raise ValueError("`padding_id` must be given for a layer with mask_zero=True; got None. Pass 0.")
    for name in ("embeddings_regularizer", "embeddings_constraint"):
        if getattr(layer, name) is not None:
            raise ValueError(
                f"`layer` must have no {name}, which acts on the whole table; got {layer.name!r} with one. "
                "Leave it out, or add a loss on the vectors of the batch."
            )
    sparse = SparseEmbedding(
        layer.input_dim,
        layer.output_dim,
        getattr(layer, "combiner", None),
        embeddings_initializer=layer.embeddings_initializer,
        padding_id=padding_id,
        name=layer.name,
        dtype=layer.dtype_policy,
    )
    sparse.embeddings.assign(layer.embeddings)
    return sparse


def sparse_embeddings_from(layer: Any) -> dict[str, SparseEmbedding]:
    """Return the tables of a `keras_rs.layers.DistributedEmbedding` by name, each a `SparseEmbedding`.

    A feature of the configuration ``config`` is then ``tables[config.table.name](ids, weights)``, with the
    inputs that the layer takes. Features that share a table share the layer. The optimizers that the
    configuration names are not taken over: compile the model with one of this library.

    Parameters
    ----------
    layer : keras_rs.layers.DistributedEmbedding, built

    Returns
    -------
    dict of str to SparseEmbedding

    Raises
    ------
    ValueError
        If the layer is not built.
    """
    if not hasattr(layer, "get_embedding_tables"):
        got = type(layer).__name__
        raise TypeError(f"`layer` must be a DistributedEmbedding; got {got}. Use `sparse_embedding_from`.")
    if not layer.built:
        raise ValueError(f"`layer` must be built; got {layer.name!r} without rows. Call it once first.")
    rows = layer.get_embedding_tables()
    tables = {}
    for table in layer.get_config()["tables"]:
        sparse = SparseEmbedding(
            table["vocabulary_size"],
            table["embedding_dim"],
            table["combiner"],
            embeddings_initializer=keras.saving.deserialize_keras_object(table["initializer"]),
            name=table["name"],
        )
        sparse.embeddings.assign(rows[table["name"]])
        tables[table["name"]] = sparse
    return tables
