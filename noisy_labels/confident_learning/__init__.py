"""Which labels are wrong, by confident learning: counts, issues, scores, audits, a classifier."""
