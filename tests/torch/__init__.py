"""Tests of PyTorch networks, in an environment that has PyTorch; see `needs`."""
