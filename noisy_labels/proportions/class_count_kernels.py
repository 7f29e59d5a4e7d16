"""Exact posteriors of classes in bags whose count of every class is known, compiled.

The lattice of a bag holds every number of labels of all classes but one that its counts allow; the last
class has the rest.  State t is the mixed-radix number of these counts; one label of class k adds strides[k].
"""

from __future__ import annotations

import numba
import numpy as np

_kernel = numba.njit(cache=True, nogil=True, error_model="numpy")


@_kernel  # type: ignore[misc]
def lattice_posteriors(chances, offsets, counts, chosen, out, log_z):  # type: ignore[no-untyped-def]
    """Write P(class) of each member of the chosen bags, and log Σ Π of the weights of labels with the counts.

    `chances` are positive weights of shape (n_members, n_classes), bag by bag.  NaN where doubles cannot hold
    a posterior.
    """
    n_classes = chances.shape[1]
    strides = np.empty(n_classes, np.int64)
    for bag in chosen:
        first, last = offsets[bag], offsets[bag + 1]
        rest = np.argmax(counts[bag])
        size = 1
        for k in range(n_classes):
            strides[k] = 0
            if k != rest:
                strides[k] = size
                size *= counts[bag, k] + 1
        log_z[bag] = _one_bag(chances[first:last], counts[bag], strides, size, out[first:last])


@_kernel  # type: ignore[misc]
def _one_bag(chances, counts, strides, size, out):  # type: ignore[no-untyped-def]
    m, n_classes = chances.shape
    prefixes = np.zeros((m, size))
    prefixes[0, 0] = 1.0
    for i in range(m - 1):
        before, after = prefixes[i], prefixes[i + 1]
        largest = 0.0
        for t in range(size):
            total = 0.0
            for k in range(n_classes):
                stride = strides[k]
                if stride == 0:
                    total += chances[i, k] * before[t]
                elif (t // stride) % (counts[k] + 1) > 0:
                    total += chances[i, k] * before[t - stride]
            after[t] = total
            largest = max(largest, total)
        after /= largest
    suffix, earlier = np.zeros(size), np.empty(size)
    suffix[size - 1] = 1.0
    logarithm = 0.0
    for i in range(m - 1, -1, -1):
        out[i] = 0.0
        largest = 0.0
        for t in range(size):
            total = 0.0
            for k in range(n_classes):
                stride = strides[k]
                if stride == 0 or (t // stride) % (counts[k] + 1) < counts[k]:
                    way = chances[i, k] * suffix[t + stride]
                    out[i, k] += prefixes[i, t] * way
                    total += way
            earlier[t] = total
            largest = max(largest, total)
        out[i] /= out[i].sum()
        logarithm += np.log(largest)
        for t in range(size):
            suffix[t] = earlier[t] / largest
    return logarithm + np.log(suffix[0])
