"""Two networks that choose each other's labels: co-teaching and its relatives."""
