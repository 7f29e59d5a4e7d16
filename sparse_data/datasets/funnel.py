"""A click -> conversion funnel with planted answers: known probabilities and potential conversions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from sparse_data.checks import check_count, check_ids_in_range, check_in_range, check_ndim, check_same_length
from sparse_data.datasets.impressions import Impressions
from sparse_data.type_checks import check_seed

_SCALE = 2.0  # of the logits: what a unit of preference weighs
_BLOCK_ROWS = 1 << 18
_BISECTIONS = 60  # intervals of [-50, 50] shrink below the rounding of float64


@dataclass(frozen=True, eq=False)
class PlantedFunnel:
    """A drawn log of impressions together with all that it was drawn from.

    Attributes
    ----------
    impressions : Impressions
    p_click, p_conversion : ndarray of shape (n,)
        True pCTR, and true pCVR: the probability of a conversion if clicked, for all impressions.
    potential_conversions : int8 ndarray of shape (n,)
        Whether each impression would convert if clicked; the observed conversions are those of the clicks.
    user_factors : ndarray of shape (n_users, dim)
    click_factors, conversion_factors : ndarray of shape (n_items, dim)
    item_popularity : ndarray of shape (n_items,)
        Sums to one; proportional to ``1 / rank``.
    strength, click_intercept, conversion_intercept : float
    """

    impressions: Impressions
    p_click: NDArray[np.float64]
    p_conversion: NDArray[np.float64]
    potential_conversions: NDArray[np.int8]
    user_factors: NDArray[np.float64]
    click_factors: NDArray[np.float64]
    conversion_factors: NDArray[np.float64]
    item_popularity: NDArray[np.float64]
    strength: float
    click_intercept: float
    conversion_intercept: float

    @property
    def p_click_conversion(self) -> NDArray[np.float64]:
        """True pCTCVR of all impressions: the product of the two."""
        return self.p_click * self.p_conversion

    def probabilities(
        self, user_ids: ArrayLike, item_ids: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the true pCTR and pCVR of any pairs, shown or not.

        Parameters
        ----------
        user_ids, item_ids : array_like of int of shape (n,)

        Returns
        -------
        p_click, p_conversion : ndarray of shape (n,)
        """
        users = check_ids_in_range("user_ids", check_ndim("user_ids", user_ids, 1), len(self.user_factors))
        items = check_ids_in_range("item_ids", check_ndim("item_ids", item_ids, 1), len(self.click_factors))
        check_same_length(user_ids=users, item_ids=items)
        clicks = self.strength * _preferences(self.user_factors, self.click_factors, users, items)
        conversions = _preferences(self.user_factors, self.conversion_factors, users, items)
        return (
            np.asarray(expit(self.click_intercept + _SCALE * clicks)),
            np.asarray(expit(self.conversion_intercept + _SCALE * conversions)),
        )


def make_funnel(
    n: int = 100_000,
    *,
    n_users: int = 5_000,
    n_items: int = 2_000,
    dim: int = 8,
    strength: float = 1.0,
    correlation: float = 0.5,
    click_rate: float = 0.1,
    conversion_rate: float = 0.1,
    random_state: int | np.random.Generator | None = None,
) -> PlantedFunnel:
    r"""Draw impressions, clicks and conversions whose probabilities are known, clicked or not.

    Users :math:`a` and items :math:`i` have factors

    .. math::

        u_a, v_i, e_i \sim N(0, I_{dim}), \qquad w_i = \rho v_i + \sqrt{1 - \rho^2}\, e_i,

    which make a preference in clicking and one in converting, of variance 1 and correlation :math:`\rho`:

    .. math::

        s_{ai} = u_a \cdot v_i / \sqrt{dim}, \qquad t_{ai} = u_a \cdot w_i / \sqrt{dim}.

    Of an impression, the user is drawn uniformly and the item, independently, from a Zipf law
    :math:`p_i \propto 1 / rank(i)`. Then

    .. math::

        y \sim Bernoulli(pCTR), \quad pCTR = \sigma(\alpha + 2 \cdot strength \cdot s), \qquad
        r \sim Bernoulli(pCVR), \quad pCVR = \sigma(\beta + 2 t), \qquad z = y r,

    where :math:`\alpha` and :math:`\beta` make the mean pCTR and the mean pCVR of the impressions equal to
    the rates asked for. The potential conversion :math:`r` is drawn for every impression and is independent
    of the click given user and item; the log tells it for clicks only. With strength and correlation above
    0, clicks have more conversions than other impressions would have: what a model learns from clicks alone
    is biased for the whole space.

    The features are user_id, item_id, and fields that follow from the factors, the value of an entity being
    the one of k random directions that its factor points to most: segment (of users, 8 values), category (of
    the click factor, 16) and brand (of the conversion factor, 48). A last one, position (8 values, drawn
    uniformly), has no effect at all. All are int64.

    Parameters
    ----------
    n : int, default=100000
        Number of impressions.
    n_users, n_items : int, default=5000, 2000
    dim : int, default=8
        Of the factors.
    strength : float, default=1.0
        How much clicks follow the preference in clicking, in [0, 1]; at 0 they are drawn by lot.
    correlation : float, default=0.5
        :math:`\rho`, in [-1, 1].
    click_rate : float, default=0.1
        In (0, 1).
    conversion_rate : float, default=0.1
        Mean of pCVR over all impressions, in (0, 1).
    random_state : int, numpy.random.Generator or None, default=None

    Returns
    -------
    PlantedFunnel
        Impressions are in random order, so that any half of them may train and the other test.

    Raises
    ------
    ValueError
        If a parameter lies outside its range.

    References
    ----------
    X. Ma et al. Entire Space Multi-Task Model. SIGIR 2018, arXiv:1804.07931 (the funnel).

    Examples
    --------
    >>> planted = make_funnel(1000, n_users=50, n_items=20, random_state=0)
    >>> planted.impressions
    Impressions(1000 rows; 106 clicks; 32 conversions; user_id, item_id, segment, category, brand, position)
    >>> float(planted.p_click.mean().round(6))
    0.1
    """
    check_count("n", n)
    check_count("n_users", n_users)
    check_count("n_items", n_items)
    check_count("dim", dim)
    check_in_range("strength", strength, 0, 1)
    check_in_range("correlation", correlation, -1, 1)
    check_in_range("click_rate", click_rate, 0, 1, closed="neither")
    check_in_range("conversion_rate", conversion_rate, 0, 1, closed="neither")
    rng = np.random.default_rng(check_seed("random_state", random_state))
    user_factors = rng.normal(size=(n_users, dim))
    click_factors = rng.normal(size=(n_items, dim))
    own = rng.normal(size=(n_items, dim))
    conversion_factors = correlation * click_factors + np.sqrt(1 - correlation**2) * own
    weights = 1.0 / (1.0 + rng.permutation(n_items))
    popularity: NDArray[np.float64] = weights / weights.sum()
    users = rng.integers(n_users, size=n)
    items = rng.choice(n_items, size=n, p=popularity)
    draws = rng.random((2, n))
    click_logits = _SCALE * strength * _preferences(user_factors, click_factors, users, items)
    conversion_logits = _SCALE * _preferences(user_factors, conversion_factors, users, items)
    click_intercept = _intercept(click_logits, click_rate)
    conversion_intercept = _intercept(conversion_logits, conversion_rate)
    p_click = np.asarray(expit(click_intercept + click_logits))
    p_conversion = np.asarray(expit(conversion_intercept + conversion_logits))
    clicks = (draws[0] < p_click).astype(np.int8)
    potential = (draws[1] < p_conversion).astype(np.int8)
    columns = {
        "user_id": users,
        "item_id": items,
        "segment": _field(user_factors, 8, rng)[users],
        "category": _field(click_factors, 16, rng)[items],
        "brand": _field(conversion_factors, 48, rng)[items],
        "position": rng.integers(8, size=n),
    }
    return PlantedFunnel(
        Impressions(columns, clicks, clicks * potential),
        p_click,
        p_conversion,
        potential,
        user_factors,
        click_factors,
        conversion_factors,
        popularity,
        float(strength),
        click_intercept,
        conversion_intercept,
    )


def _preferences(
    user_factors: NDArray[np.float64],
    item_factors: NDArray[np.float64],
    users: NDArray[np.integer],
    items: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Return ``u · v / sqrt(dim)`` of each pair, shape (n,), a block of pairs at a time."""
    preferences = np.empty(len(users))
    for start in range(0, len(users), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        preferences[block] = np.einsum("nd,nd->n", user_factors[users[block]], item_factors[items[block]])
    return np.asarray(preferences / np.sqrt(user_factors.shape[1]))


def _intercept(logits: NDArray[np.float64], rate: float) -> float:
    """Return what must be added to the logits so that the mean of their sigmoids is `rate`."""
    low, high = -50.0 - float(logits.max()), 50.0 - float(logits.min())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(middle + logits).mean() < rate else (low, middle)
    return (low + high) / 2


def _field(factors: NDArray[np.float64], n_values: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each row the random direction that it points to most, shape (n,)."""
    directions = rng.normal(size=(factors.shape[1], n_values))
    return np.asarray(np.argmax(factors @ directions, axis=1))
