"""Labels known only as totals of bags."""
