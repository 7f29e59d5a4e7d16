"""Learning from labels that are wrong or known only as proportions of groups."""
