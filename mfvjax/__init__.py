"""Multifaceted feature visualization in JAX: every facet of every unit of an image network."""

from mfvjax.types import Unit as Unit
