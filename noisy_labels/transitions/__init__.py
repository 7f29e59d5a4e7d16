"""Transition matrices of label noise: made, estimated, and used to correct a loss."""
