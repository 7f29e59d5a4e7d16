"""Who would buy if they clicked? Conversions are known of clicks alone; predict them for all impressions.

Trains a few methods on a made-up log, of which it is known what everybody would have done, and on
Hillstrom's e-mail campaign where the data are there (SPARSELABELS_DATA); prints what `evaluate_funnel`
measures, and draws whether probabilities mean what they say:

    python examples/conversion_funnel.py --pictures FOLDER   # minutes
    python examples/conversion_funnel.py --fast              # seconds
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas
from matplotlib.figure import Figure

from recsys_ssl.funnels.entire_space_classifier import EntireSpaceClassifier
from recsys_ssl.measures.calibration import reliability_table
from recsys_ssl.measures.conversion_metrics import evaluate_funnel
from sparse_data.datasets.download import DownloadError
from sparse_data.datasets.funnel import make_funnel
from sparse_data.datasets.hillstrom import fetch_hillstrom


def predictions_of(methods, train, test, **settings):
    """Return the predictions of each method on the test impressions."""
    found = {}
    for method in methods:
        model = EntireSpaceClassifier(method, **settings)
        found[method] = model.fit(train, train.clicks, train.conversions).predict_proba(test)
    return found


def table_of(found, test, potential=None):
    """Return what is measured, a column a method; "shared_ctr" is pCTR of "base" for all, as in the paper."""
    columns = {}
    for method, predictions in found.items():
        table = evaluate_funnel(
            test.clicks,
            test.conversions,
            predictions,
            shared_ctr=found["base"]["ctr"],
            potential_conversions=potential,
        )
        rows = table[table["metric"].isin(["auc", "mean_ratio"])]
        columns[method] = rows.set_index(["prediction", "label", "population", "metric"])["value"]
    return pandas.DataFrame(columns).round(3)


def draw_reliability(found, labels, name):
    """Draw predicted against observed rates in ten bins of equal mass."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for method, predictions in found.items():
        bins = reliability_table(labels, predictions[name])
        axes.plot(bins["predicted"], bins["observed"], marker="o", label=method)
    top = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, top], [0, top], color="gray", linestyle=":")
    axes.set(xlabel=f"predicted {name}", ylabel="observed", title=f"Reliability of {name}, all impressions")
    axes.legend()
    return figure


def draw_bias(found, planted_cvr, clicks):
    """Draw how much pCVR is too large, among clicked impressions and where nobody clicked."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for shift, label, rows in ((-0.2, "clicked", clicks), (0.2, "not clicked", ~clicks)):
        bias = [predictions["cvr"][rows].mean() - planted_cvr[rows].mean() for predictions in found.values()]
        axes.bar(np.arange(len(found)) + shift, bias, width=0.4, label=label)
    axes.axhline(0, color="gray", linewidth=1)
    axes.set_xticks(range(len(found)), list(found))
    axes.set(ylabel="mean pCVR - mean true pCVR", title="Bias of pCVR on the planted funnel")
    axes.legend()
    return figure


def main() -> None:
    """Train, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="few impressions and methods")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", default=None, help="folder where the pictures are saved")
    options = parser.parse_args()

    n = 20_000 if options.fast else 300_000
    methods = ("base", "esmm") if options.fast else ("base", "esmm", "escm2_ips", "escm2_dr", "dcmt", "nise")
    settings = {"dim": 8, "hidden_units": (32,), "learning_rate": 0.005, "batch_size": 512}
    settings |= {"epochs": 3 if options.fast else 10, "seed": options.seed, "verbose": not options.fast}
    planted = make_funnel(n, n_users=n // 100, n_items=200, click_rate=0.2, random_state=options.seed)
    half = n // 2
    train, test = planted.impressions.take(slice(half)), planted.impressions.take(slice(half, n))
    found = predictions_of(methods, train, test, **settings)
    table = table_of(found, test, planted.potential_conversions[half:])
    print(f"Planted funnel, {test}\n{table.to_string()}")
    figures = {
        "reliability_ctcvr": draw_reliability(found, test.conversions, "ctcvr"),
        "bias_of_cvr": draw_bias(found, planted.p_conversion[half:], test.clicks == 1),
    }
    try:
        mails = fetch_hillstrom(download=False)
    except DownloadError:
        print(
            "Hillstrom's e-mail campaign is not there: sparse_data.datasets.fetch_hillstrom() downloads it."
        )
    else:
        order = np.random.default_rng(options.seed).permutation(len(mails))
        train, test = mails.take(order[::2]), mails.take(order[1::2])
        found = predictions_of(methods, train, test, calibrate=True, **settings)
        print(f"Hillstrom, {test}, calibrated\n{table_of(found, test).to_string()}")
    if options.pictures is not None:
        for name, figure in figures.items():
            figure.savefig(Path(options.pictures) / f"entire_space_{name}.png", dpi=120)


if __name__ == "__main__":
    main()
