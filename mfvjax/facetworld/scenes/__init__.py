"""The painted scenes, one module per class."""
