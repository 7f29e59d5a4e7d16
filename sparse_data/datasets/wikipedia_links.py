"""Wikipedia links, bundled: articles about squirrels, the nouns in them, and which article links to which."""

from __future__ import annotations

from importlib import resources

import numpy as np

from sparse_data.bags import Bags
from sparse_data.datasets.interactions import Interactions


def fetch_wikipedia_links() -> Interactions:
    """Return the links between 2,223 articles of Wikipedia; it comes with the package and needs no network.

    The task: for an article (the user), recommend an article (the item) that it links to. In the original
    graph links have no direction, so each one is here twice, from either end: 93,996 interactions. Links of
    an article to itself and doubled links are dropped (the bundled file has none). There are no titles, no
    text and no times: an article is a number and a bag of nouns, which are numbers as well.

    Returns
    -------
    Interactions
        Ordered by user, then item. `users` and `items` describe the same articles: "user_id" and "item_id"
        count from 0, "nouns" (Bags of int, from 0 to 2,088) are the nouns found in the article, sorted,
        without counts; 113 articles have none. Leave "nouns" out to see what the links alone can tell.

    References
    ----------
    B. Rozemberczki, C. Allen and R. Sarkar. Multi-scale Attributed Node Embedding. 2021, arXiv:1909.13021.
    O. Platonov et al. A Critical Look at the Evaluation of GNNs under Heterophily. ICLR 2023,
    arXiv:2302.11640 (who took duplicated articles out; MIT licence, beside the file).

    Examples
    --------
    >>> links = fetch_wikipedia_links()
    >>> links
    Interactions(93996 rows; users: user_id, nouns; items: item_id, nouns)
    >>> links.item_ids[links.user_ids == 5]
    array([...])
    """
    source = resources.files("sparse_data.datasets") / "bundled" / "squirrel_filtered.npz"
    with resources.as_file(source) as path, np.load(path) as arrays:
        edges = arrays["edges"].astype(np.int64)
        features = arrays["node_features"]
    n_pages = len(features)
    edges = edges[edges[:, 0] != edges[:, 1]]
    both = np.concatenate([edges, edges[:, ::-1]])  # (2 n_edges, 2)
    # One number a pair: unique() then drops duplicates and sorts by user, then item.
    user_ids, item_ids = np.divmod(np.unique(both[:, 0] * n_pages + both[:, 1]), n_pages)
    # The features are 0 or 1, so the columns that hold a 1 say all.
    page_of, nouns = np.nonzero(features)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(page_of, minlength=n_pages))])
    bags = Bags(nouns, offsets)
    pages = np.arange(n_pages, dtype=np.int64)
    return Interactions(
        user_ids, item_ids, users={"user_id": pages, "nouns": bags}, items={"item_id": pages, "nouns": bags}
    )
