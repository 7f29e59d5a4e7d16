"""Labels of several workers, and what they say together."""
