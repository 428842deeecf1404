"""What the network sees of the image in each step; see `mfvjax.contracts.View`."""

from mfvjax.views.crop import Crop as Crop
from mfvjax.views.random_view import RandomView as RandomView
from mfvjax.views.roll import Roll as Roll
