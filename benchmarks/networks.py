"""The networks that benchmarks run: CaffeNet's shape with random weights, and a real SqueezeNet."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

from mfvjax.network import Network


def caffenet() -> Network:
    """CaffeNet with random weights: the published architecture's cost, nobody's weights."""
    from flax import nnx

    from mfvjax.models.caffenet import CaffeNet
    from mfvjax.preprocess import CAFFE_IMAGENET

    return Network.from_nnx(
        CaffeNet(rngs=nnx.Rngs(0)), preprocessing=CAFFE_IMAGENET, logits_layer="fc8"
    )


def squeezenet() -> Network:
    """SqueezeNet v1.0 from the folder of real test data (``MFVJAX_TEST_DATA``).

    Raises:
      FileNotFoundError: the folder is not there.
    """
    default = pathlib.Path(__file__).parents[2] / "shared"
    folder = pathlib.Path(os.environ.get("MFVJAX_TEST_DATA", default)) / "models/squeezenet_v1.0"
    return Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")


NETWORKS: dict[str, Callable[[], Network]] = {"caffenet": caffenet, "squeezenet": squeezenet}
