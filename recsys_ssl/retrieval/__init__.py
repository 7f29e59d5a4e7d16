"""Two towers, their training, and the items they retrieve."""
