"""The command line: audit a file of labels."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from noisy_labels.audits.audit_files import write_audit
from noisy_labels.audits.label_audit import audit_labels
from noisy_labels.audits.label_files import read_label_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: errors and warnings are a line each, no traceback."""
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            _audit(options)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for message in dict.fromkeys(str(warning.message) for warning in told):
        print(f"Warning: {message}", file=sys.stderr)  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m noisy_labels", description="Find labels that are wrong.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    audit = commands.add_parser(
        "audit",
        help="write a report of the labels that are likely wrong",
        description="Write label_audit.html, label_issues.csv and label_audit.json.",
    )
    audit.add_argument(
        "labels", help=".npy with one label a row, or .csv, .tsv or .parquet with a column of them"
    )
    audit.add_argument(
        "pred_probs",
        help="out-of-sample probabilities, a column a class: .npy, or a table (also that of the labels)",
    )
    audit.add_argument("--output", default="label-audit", help="folder to write to (default: %(default)s)")
    audit.add_argument("--label-column", default="label", help="default: %(default)s")
    audit.add_argument("--probability-columns", nargs="+", help="default: all columns of PRED_PROBS")
    audit.add_argument("--id-column", help="column of LABELS with what the rows are called")
    audit.add_argument("--text-column", help="column of LABELS to show beside each label")
    audit.add_argument("--classes", nargs="+", help="the class of each column of probabilities, in order")
    audit.add_argument("--method", default="auto", help="of find_label_issues (default: %(default)s)")
    audit.add_argument("--worst", type=int, default=200, help="labels in the report's table (default: 200)")
    audit.add_argument("--title", default="Label audit")
    return parser


def _audit(options: argparse.Namespace) -> None:
    files = read_label_files(
        options.labels,
        options.pred_probs,
        label_column=options.label_column,
        probability_columns=options.probability_columns,
        id_column=options.id_column,
        text_column=options.text_column,
        classes=options.classes,
    )
    audit = audit_labels(
        files.labels, files.pred_probs, classes=files.classes.tolist(), ids=files.ids, method=options.method
    )
    written = write_audit(
        audit, options.output, title=options.title, texts=files.texts, n_worst=options.worst
    )
    print(  # noqa: T201
        f"{audit.count.estimate:,} of {len(audit.labels):,} labels are expected to be wrong "
        f"({audit.count.low:,} to {audit.count.high:,}); {len(audit.rows):,} are flagged."
    )
    print("Wrote " + ", ".join(str(path) for path in written))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
