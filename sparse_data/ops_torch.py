"""The sparse ops of `sparse_data.ops_numpy` on torch.

Same names, arguments and results, with gradients with respect to every float argument. Arguments are tensors
(or what ``torch.as_tensor`` takes); integers among the values become the default float type. Ids are not
looked at before the op, since that would wait for the device: an id out of range raises torch's own error.
"""

from __future__ import annotations

from typing import Any

try:
    import torch
    from torch.nn import functional
except ImportError as error:
    raise ImportError("sparse_data.ops_torch needs torch; pip install 'sparselabels[torch]'") from error

from sparse_data.checks import check_count, check_one_of
from sparse_data.ops_inputs import Combiner, Kind

Tensor = torch.Tensor


def segment_sum(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the sum of each segment; see `ops_numpy.segment_sum`."""
    values, segment_ids = _segments(values, segment_ids)
    return values.new_zeros(num_segments, *values.shape[1:]).index_add(0, segment_ids, values)


def segment_mean(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the mean of each segment, 0 for an empty one; see `ops_numpy.segment_mean`."""
    values, segment_ids = _segments(values, segment_ids)
    counts = segment_sum(torch.ones_like(values), segment_ids, num_segments)
    return segment_sum(values, segment_ids, num_segments) / counts.clamp(min=1)


def segment_max(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the maximum of each segment, 0 for an empty one; see `ops_numpy.segment_max`."""
    values, segment_ids = _segments(values, segment_ids)
    index = segment_ids.long()
    if values.ndim == 2:  # scatter_reduce wants one index a value: (n_values, 1) to (n_values, dim)
        index = index[:, None].expand_as(values)
    zeros = values.new_zeros(num_segments, *values.shape[1:])
    return zeros.scatter_reduce(0, index, values, "amax", include_self=False)


def segment_softmax(values: Tensor, segment_ids: Tensor, num_segments: int) -> Tensor:
    """Return the softmax over the values of each segment; see `ops_numpy.segment_softmax`."""
    values, segment_ids = _segments(values, segment_ids)
    # The maxima cancel out of the ratio, so no gradient need pass through them.
    maxima = segment_max(values.detach(), segment_ids, num_segments)
    maxima = maxima.masked_fill(maxima.isneginf(), 0)
    exponentials = (values - maxima[segment_ids]).exp()
    return _divide(exponentials, segment_sum(exponentials, segment_ids, num_segments)[segment_ids])


def pooled_lookup(
    table: Tensor, values: Tensor, offsets: Tensor, weights: Tensor | None = None, combiner: Combiner = "sum"
) -> Tensor:
    """Return one combined table row a bag, shape (n_bags, dim); see `ops_numpy.pooled_lookup`."""
    check_one_of("combiner", combiner, ("sum", "mean", "sqrtn"))
    table, values, offsets = _floats(table), torch.as_tensor(values), torch.as_tensor(offsets)
    weights = None if weights is None else torch.as_tensor(weights).to(table.dtype)
    sums = _weighted_sums(table, values, offsets, weights)
    if combiner == "sum":
        return sums
    if weights is None:
        divisors = offsets.diff().to(table.dtype)
        return _divide(sums, (divisors if combiner == "mean" else divisors.sqrt())[:, None])
    if combiner == "mean":
        return _divide(sums, csr_degree(offsets, weights)[:, None])
    squares = csr_degree(offsets, weights**2)
    # The gradient of a square root at 0 is infinite: give it a 1 there, the sum is 0 anyway.
    return sums / squares.masked_fill(squares == 0, 1).sqrt()[:, None]


def csr_degree(indptr: Tensor, data: Tensor | None = None) -> Tensor:
    """Return the number of entries of each CSR row, or their sum; see `ops_numpy.csr_degree`."""
    indptr = torch.as_tensor(indptr)
    if data is None:
        return indptr.diff()
    return segment_sum(data, _row_of_entry(indptr, len(data)), len(indptr) - 1)


def normalize_csr(
    indptr: Tensor, indices: Tensor, data: Tensor, num_cols: int, kind: Kind = "symmetric"
) -> Tensor:
    """Return the data scaled by the sums of rows and columns; see `ops_numpy.normalize_csr`."""
    check_one_of("kind", kind, ("symmetric", "row", "column"))
    indptr, indices, data = torch.as_tensor(indptr), torch.as_tensor(indices), _floats(data)
    row_sums = csr_degree(indptr, data)[_row_of_entry(indptr, len(data))]
    column_sums = segment_sum(data, indices, num_cols)[indices]
    if kind == "row":
        return _divide(data, row_sums)
    if kind == "column":
        return _divide(data, column_sums)
    products = row_sums * column_sums
    return (data / products.masked_fill(products == 0, 1).sqrt()).masked_fill(products == 0, 0)


def propagate(indptr: Tensor, indices: Tensor, data: Tensor, x: Tensor) -> Tensor:
    """Return the product of a CSR matrix and a dense matrix; see `ops_numpy.propagate`."""
    x = _floats(x)
    data = torch.as_tensor(data).to(x.dtype)
    return _weighted_sums(x, torch.as_tensor(indices), torch.as_tensor(indptr), data)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k largest scores of each row and their columns; see `ops_numpy.top_k`."""
    scores = _floats(scores)
    num_columns = scores.shape[1]
    k = check_count("k", k, maximum=num_columns)
    values, columns = scores.detach().topk(min(k + 1, num_columns), dim=1)
    if k < num_columns:
        # torch picks any of equal scores; it matters where the first one left out equals the last one taken.
        tied = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
        columns = columns[:, :k].clone()
        kept = _largest(scores.detach()[tied], values[tied, k - 1 : k], k)
        columns[tied] = kept.nonzero()[:, 1].reshape(-1, k)  # (n_tied * k,) to (n_tied, k)
    columns = columns.sort(dim=1).values
    values, order = scores.gather(1, columns).sort(dim=1, descending=True, stable=True)
    return values, columns.gather(1, order)


def unique_rows(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct ids in rising order and the position of each; see `ops_numpy.unique_rows`."""
    unique, inverse = torch.unique(torch.as_tensor(ids), return_inverse=True)
    return unique, inverse


def project_l0(values: Tensor, k: int) -> Tensor:
    """Return a copy that keeps the k entries of largest magnitude; see `ops_numpy.project_l0`."""
    values = _floats(values)
    k = check_count("k", k, minimum=0, maximum=values.numel())
    if k == 0:
        return torch.zeros_like(values)
    magnitudes = values.detach().abs().flatten()
    kept = _largest(magnitudes, magnitudes.topk(k).values[-1:], k)
    return values.masked_fill(~kept.reshape(values.shape), 0)


def _floats(array: Any) -> Tensor:
    tensor = torch.as_tensor(array)
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def _segments(values: Tensor, segment_ids: Tensor) -> tuple[Tensor, Tensor]:
    return _floats(values), torch.as_tensor(segment_ids)


def _row_of_entry(indptr: Tensor, num_entries: int) -> Tensor:
    rows: Tensor = torch.arange(len(indptr) - 1, device=indptr.device)
    # On a CPU the size is counted at no cost, and a wrong one would be written past the end of memory.
    size = None if indptr.device.type == "cpu" else num_entries
    return torch.repeat_interleave(rows, indptr.diff(), output_size=size)


def _weighted_sums(table: Tensor, values: Tensor, offsets: Tensor, weights: Tensor | None) -> Tensor:
    if len(offsets) == 1:  # embedding_bag takes no fewer than one bag
        return table[:0]
    return functional.embedding_bag(
        values.long(),
        table,
        offsets.long(),
        mode="sum",
        per_sample_weights=weights,
        include_last_offset=True,
    )


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the ratio, 0 where the denominator is 0, with finite gradients on both sides."""
    empty = denominator == 0
    return (numerator / denominator.masked_fill(empty, 1)).masked_fill(empty, 0)


def _largest(scores: Tensor, threshold: Tensor, k: int) -> Tensor:
    """Return a mask of k scores along the last axis; of those at the threshold the first ones enter."""
    larger = scores > threshold
    spare = k - larger.sum(-1, keepdim=True)
    equal = scores == threshold
    return larger | (equal & (equal.cumsum(-1) <= spare))
