"""What recommenders have in common: their interface, and the exact search for the best items."""
