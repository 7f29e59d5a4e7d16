"""Sparse graphs: find the edges and the weights that a graph network can do without."""
