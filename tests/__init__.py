"""Tests; importing the package makes its type checker known to the import hook by its full name."""

from tests import typecheck as typecheck
