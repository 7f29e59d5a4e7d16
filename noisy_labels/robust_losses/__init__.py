"""Losses for Keras that wrong labels lead astray less."""
