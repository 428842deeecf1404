"""Caffe's files (``.prototxt``, ``.caffemodel``) into graphs and Flax parameters.

python -m weights_convert NET.prototxt WEIGHTS.caffemodel -o NET.safetensors
"""

from weights_convert.convert import convert as convert
from weights_convert.errors import CaffeFormatError as CaffeFormatError
from weights_convert.errors import CaffeWarning as CaffeWarning
from weights_convert.reading import read_caffe as read_caffe
