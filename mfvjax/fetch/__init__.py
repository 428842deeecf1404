"""Published networks, fetched, verified, converted and put where ``Network.load`` finds them."""

from mfvjax.fetch.networks import Fetched as Fetched
from mfvjax.fetch.networks import fetch as fetch
from mfvjax.fetch.sources import SOURCES as SOURCES
