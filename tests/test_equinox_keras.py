"""Models of two other libraries as networks: Equinox, channels first, and Keras on JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mfvjax.domain import RGB
from mfvjax.judging import judge_run
from mfvjax.network import Network
from mfvjax.pipeline import run_unit
from mfvjax.preprocess import Preprocessing
from mfvjax.priors.projections import Clip
from mfvjax.recipe import Phase, Recipe
from mfvjax.types import ReceptiveField
from mfvjax.updates import MeanAbsoluteStep
from tests.domain_networks import two_kinds

SIZE = (32, 32)
EATS = Preprocessing(SIZE, mean=127.5, scale=1 / 64)
CLASSES = ("balloon", "pool table", "volcano")
FIELDS = {  # a 3x3 convolution of stride 2, a 3x3 pooling of stride 2, a 3x3 convolution
    "stem": ReceptiveField((3, 3), (2, 2), (-1, -1)),
    "norm": ReceptiveField((3, 3), (2, 2), (-1, -1)),
    "pool": ReceptiveField((7, 7), (4, 4), (-1, -1)),
    "conv": ReceptiveField((15, 15), (4, 4), (-1, -1)),
    "code": None,
    "logits": None,
}
SHAPES = {
    "stem": (16, 16, 8),
    "norm": (16, 16, 8),
    "pool": (7, 7, 8),
    "conv": (5, 5, 12),
    "code": (12,),
    "logits": (3,),
}


@pytest.fixture(scope="module", autouse=True)
def types_as_users_have_them():
    """Strict promotion is the tests', not that of users or of these libraries."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (count, *SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def equinox_model():
    """A model for one image, channels first, with batch normalization; and its call for a batch."""
    eqx = pytest.importorskip("equinox")

    class Cnn(eqx.Module):
        stem: eqx.nn.Conv2d
        norm: eqx.nn.BatchNorm
        pool: eqx.nn.MaxPool2d
        conv: eqx.nn.Conv2d
        head: eqx.nn.Linear

        def __init__(self, key):
            keys = jax.random.split(key, 3)
            self.stem = eqx.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=keys[0])
            self.norm = eqx.nn.BatchNorm(8, axis_name="batch", mode="ema")
            self.pool = eqx.nn.MaxPool2d(3, 2)
            self.conv = eqx.nn.Conv2d(8, 12, 3, key=keys[1])
            self.head = eqx.nn.Linear(12, 3, key=keys[2])

        def __call__(self, image, state):
            out = {"stem": self.stem(image)}
            out["norm"], state = self.norm(out["stem"], state)
            out["pool"] = self.pool(jax.nn.relu(out["norm"]))
            out["conv"] = jax.nn.relu(self.conv(out["pool"]))
            out["code"] = out["conv"].mean((1, 2))
            out["logits"] = self.head(out["code"])
            return out, state

    def batched(model, state, images):
        mapped = jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
        return mapped(images, state)

    model, state = eqx.nn.make_with_state(Cnn)(jax.random.key(1))
    for seed in range(3):  # running averages other than those of the start
        batch = 2 + jax.random.normal(jax.random.key(seed), (4, 3, *SIZE))
        _, state = batched(model, state, batch)
    return eqx.nn.inference_mode(model), state, batched


@pytest.fixture(scope="module")
def equinox_network(equinox_model):
    import equinox as eqx

    model, state, batched = equinox_model
    params, static = eqx.partition((model, state), eqx.is_array)

    def forward(params, images):
        model, state = eqx.combine(params, static)
        return batched(model, state, images)[0]

    return Network.from_function(
        forward, params, preprocessing=EATS, name="equinox cnn", class_names=CLASSES
    )


@pytest.fixture(scope="module")
def keras_model(tmp_path_factory):
    """A functional model whose outputs are all its layers, in the layout of the Equinox one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")  # read when Keras is imported
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        keras = pytest.importorskip("keras")
    layers = keras.layers
    keras.utils.set_random_seed(3)
    image = keras.Input((*SIZE, 3))
    out = {}
    padded = layers.ZeroPadding2D(1)(image)
    out["stem"] = layers.Conv2D(8, 3, strides=2)(padded)
    norm = layers.BatchNormalization(beta_initializer="random_normal")
    out["norm"] = norm(out["stem"])
    out["pool"] = layers.MaxPooling2D(3, 2)(layers.ReLU()(out["norm"]))
    out["conv"] = layers.Conv2D(12, 3, activation="relu")(out["pool"])
    out["code"] = layers.GlobalAveragePooling2D()(out["conv"])
    out["logits"] = layers.Dense(3)(layers.Dropout(0.5)(out["code"]))
    norm.moving_mean.assign(np.linspace(-1, 1, 8))
    norm.moving_variance.assign(np.linspace(0.5, 2, 8))
    return keras.Model(image, out)


@pytest.fixture(scope="module")
def keras_network(keras_model):
    weights = (keras_model.trainable_variables, keras_model.non_trainable_variables)
    params = [[variable.value for variable in group] for group in weights]

    def forward(params, images):
        return keras_model.stateless_call(*params, images, training=False)[0]

    return Network.from_function(
        forward, params, preprocessing=EATS, name="keras cnn", class_names=CLASSES
    )


@pytest.fixture(params=["equinox", "keras"])
def network(request):
    return request.getfixturevalue(f"{request.param}_network")


def test_layers_and_receptive_fields_are_those_of_arithmetic(network):
    assert {name: info.shape for name, info in network.layers.items()} == SHAPES
    fields = {name: info.receptive_field for name, info in network.layers.items()}
    assert fields == FIELDS
    assert (network.logits_layer, network.code_layer("logits")) == ("logits", "code")


def test_activations_are_those_of_equinox(equinox_model, equinox_network):
    """One image at a time, each layer called by hand."""
    model, state, _ = equinox_model
    found = equinox_network.activations(images(3))
    for row, image in enumerate(images(3)):
        stem = model.stem(jnp.asarray((image - 127.5) / 64).transpose(2, 0, 1))
        average, variance = map(np.asarray, state.get(model.norm.ema_state_index))
        scale = np.asarray(model.norm.weight) / np.sqrt(variance + model.norm.eps)
        bias = np.asarray(model.norm.bias)
        norm = (np.asarray(stem) - average[:, None, None]) * scale[:, None, None]
        norm += bias[:, None, None]
        pool = model.pool(jnp.asarray(np.maximum(norm, 0)))
        conv = np.maximum(model.conv(pool), 0)
        code = conv.mean((1, 2))
        slow = {"stem": stem, "norm": norm, "pool": pool, "conv": conv, "code": code}
        slow["logits"] = np.asarray(model.head.weight) @ code + np.asarray(model.head.bias)
        for name, expected in slow.items():
            expected = np.moveaxis(np.asarray(expected), 0, -1)
            np.testing.assert_allclose(found[name][row], expected, atol=2e-5, err_msg=name)


def test_activations_are_those_of_keras(keras_model, keras_network):
    expected = keras_model.predict((images(3) - 127.5) / 64, verbose=0)
    found = keras_network.activations(images(3))
    for name in SHAPES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, err_msg=name)


def slope_of(network, row, column, channel):
    def activation(batch):
        return network.read(network.params, batch)["conv"][0, row, column, channel]

    return np.asarray(jax.jit(jax.grad(activation))(jnp.asarray(images(1))))


def test_gradients_are_those_of_equinox(equinox_model, equinox_network):
    model, state, batched = equinox_model

    def plain(batch):
        eaten = ((batch - 127.5) / 64).transpose(0, 3, 1, 2)
        return batched(model, state, eaten)[0]["conv"][0, 7, 2, 1]

    expected = jax.jit(jax.grad(plain))(jnp.asarray(images(1)))
    found = slope_of(equinox_network, 2, 1, 7)
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-7)
    inside = np.zeros(SIZE, bool)
    inside[7:22, 3:18] = True
    assert (found[0][~inside] == 0).all()


def test_gradients_are_those_of_keras(keras_model, keras_network):
    def plain(batch):
        return keras_model((batch - 127.5) / 64, training=False)["conv"][0, 2, 1, 7]

    expected = jax.jit(jax.grad(plain))(jnp.asarray(images(1)))
    found = slope_of(keras_network, 2, 1, 7)
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_training_that_deletes_its_arrays_leaves_the_network(keras_model, keras_network):
    """Keras gives the arrays of its variables away (donates them) when it predicts or trains."""
    before = keras_network.activations(images(1))["logits"]
    keras_model.predict(images(1), verbose=0)
    np.testing.assert_array_equal(keras_network.activations(images(1))["logits"], before)


def test_the_main_job_on_one_judged_by_the_other(network, equinox_network, keras_network):
    judge = keras_network if network is equinox_network else equinox_network
    phase = Phase(num_steps=10, update=MeanAbsoluteStep(2.0), projections=(Clip(),))
    run = run_unit(
        network,
        two_kinds(RGB, 12, size=SIZE),
        unit="logits:1",
        num_facets=2,
        num_mean_images=5,
        recipe=Recipe("few steps", (phase,)),
        controls=False,
    )
    judgement = judge_run(run, judge)
    assert run.title == "pool table"
    assert run.network["name"] == network.name
    assert run.shown.images.shape[0] == 2
    start = network.activations(run.facets.mean_images, "logits")["logits"][:, 1]
    assert (run.scores["activation"] > np.asarray(start)).all()
    assert (judgement.class_index, judgement.judge["name"]) == (1, judge.name)
    assert judgement.judge["code_layer"] == "code"
    assert ((judgement.shown.rank >= 1) & (judgement.shown.rank <= 3)).all()
