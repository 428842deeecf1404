"""The networks that benchmarks run: CaffeNet's shape with random weights, and two real ones."""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Callable

import numpy as np

from mfvjax.models.graph import GraphSpec
from mfvjax.network import Network
from mfvjax.preprocess import CAFFE_IMAGENET


def caffenet() -> Network:
    """CaffeNet with random weights: the published architecture's cost, nobody's weights."""
    from mfvjax.network.caffe import from_graph

    spec = caffenet_spec()
    return from_graph(
        spec,
        random_arrays(spec),
        architecture="caffe_graph",
        name="caffenet",
        preprocessing=CAFFE_IMAGENET,
        logits_layer="fc8",
    )


def caffenet_spec() -> GraphSpec:
    """The graph of the published CaffeNet."""
    from mfvjax.fetch.definitions import write_definition
    from weights_convert.plan import plan_prototxt

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "caffenet.prototxt"
        path.write_text(write_definition("caffenet"))
        return plan_prototxt(path).graph


def random_arrays(spec: GraphSpec) -> dict[str, np.ndarray]:
    """Weights that keep activations in range, by ``"layer/parameter"`` in Flax's layout."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer, shapes in spec.parameter_shapes().items():
        for name, shape in shapes.items():
            fan_in = int(np.prod(shape[:-1])) if name == "kernel" else 1e4
            spread = np.float32(np.sqrt(2 / fan_in))
            arrays[f"{layer}/{name}"] = rng.standard_normal(shape, np.float32) * spread
    return arrays


def squeezenet() -> Network:
    """SqueezeNet v1.0 from the folder of real test data (``MFVJAX_TEST_DATA``).

    Raises:
      FileNotFoundError: the folder is not there.
    """
    folder = data_folder() / "models/squeezenet_v1.0"
    return Network.from_caffe(folder / "deploy.prototxt", folder / "squeezenet_v1.0.caffemodel")


def mobilenet() -> Network:
    """MobileNet v1 0.75/192 from the folder of real test data; a Flax module, as a user's is.

    Raises:
      FileNotFoundError: the folder is not there.
    """
    from benchmarks.mobilenet import load_mobilenet

    weights = data_folder() / "models/mobilenet_v1_0.75_192/weights.npz"
    return load_mobilenet(weights, data_folder() / "synset_words.txt")


def data_folder() -> pathlib.Path:
    """The folder of real data; it may not exist."""
    default = pathlib.Path(__file__).parents[2] / "shared"
    return pathlib.Path(os.environ.get("MFVJAX_TEST_DATA", default))


NETWORKS: dict[str, Callable[[], Network]] = {
    "caffenet": caffenet,
    "squeezenet": squeezenet,
    "mobilenet": mobilenet,
}
