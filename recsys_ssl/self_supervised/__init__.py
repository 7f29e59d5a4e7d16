"""Self-supervised item learning: masks, dropout of features, what fields tell of each other."""
