"""Networks as Flax modules that return every named activation in one pass."""
