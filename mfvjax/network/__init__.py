"""``Network``: the one face of every model, whatever it was made from."""

from mfvjax.network.face import Network as Network
