"""Clicks and conversions from a frame or a log: a classifier, its batches, ranking by what it says."""
