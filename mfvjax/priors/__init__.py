"""Priors of natural images: total variation, jittered crops, and the enlargement between phases."""
