"""Losses as functions of arrays: softmax with its corrections, contrastive losses."""
