"""Discovery's programs for CPU, CUDA and TPU, and those that score a run."""

import functools

import jax
import jax.numpy as jnp
import pytest

from mfvjax.ascent.scene import Reader
from mfvjax.facets import cluster, embed, num_facets, stability
from mfvjax.facets.code_pass import Layers, read_batch
from mfvjax.facets.pca import project
from mfvjax.facets.places import MapWindow
from mfvjax.facets.reading import AskedUnits
from mfvjax.facets.top import _nothing, _update
from mfvjax.facets.tsne import Steps, descend
from mfvjax.objective import stack_objectives, unit_objective
from mfvjax.pipeline import scoring
from tests.lowering import assert_portable, export_all, shaped
from tests.small_graph import small_network
from tests.tiny_network import tiny_network

EIGENSOLVERS = {"lapack_ssyevd_ffi", "cusolver_syevd_ffi", "Eigh"}


def shape(*sizes, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(sizes, dtype)


CODES, VALID, POINTS = shape(64, 48), shape(64, dtype=bool), shape(64, 2)
STEPS = shaped(Steps.of(60, perplexity=19.0, num_iterations=1000, num_exaggerated=500))
DRAWS = shaped(cluster.start_draws(jax.random.key(0), 3, num_slots=cluster.slots(4)))
NUMBER = shape(dtype=jnp.int32)


def several(tree, count=2):
    """The shapes of so many units side by side."""
    return jax.tree.map(lambda leaf: shape(count, *leaf.shape, dtype=leaf.dtype), tree)


def exported(function, *args, **kwargs):
    programs = export_all(function, *args, **kwargs)
    assert_portable(programs)
    return programs


# Maps and clusters


@pytest.mark.parametrize("codes", [shape(64, 48), shape(64, 200)], ids=["few", "many"])
def test_principal_components(codes):
    for program in exported(project, codes, VALID, num_components=50).values():
        assert len(program.products) >= 2
        assert program.custom_calls <= EIGENSOLVERS


def test_the_map():
    for program in exported(descend, CODES, POINTS, VALID, STEPS).values():
        search, steps = program.loops
        assert (search.ends, search.length) == ("counted", 40)
        assert (steps.ends, steps.inside) == ("bounded", ())  # the number of steps is an argument
        assert not program.custom_calls


@pytest.mark.parametrize("begin", [None, POINTS], ids=["pca", "random"])
def test_codes_to_maps_alone_and_side_by_side(begin):
    args = (CODES, VALID, begin, STEPS)
    for program in exported(embed._embed, *args, num_components=50).values():
        assert program.custom_calls <= EIGENSOLVERS
    together = exported(embed._embed_together, *several(args), num_components=50)
    assert all(program.custom_calls <= EIGENSOLVERS for program in together.values())


def test_clusters():
    for program in exported(cluster.partition, DRAWS, POINTS, VALID, NUMBER).values():
        *starts, sweeps = program.loops
        assert all(loop.ends == "counted" for loop in starts)
        assert (sweeps.ends, sweeps.inside) == ("until", ())
        assert not program.custom_calls


def test_silhouettes_by_number_of_clusters():
    tried = shape(9, dtype=jnp.int32)
    for program in exported(num_facets._cluster_by_number, DRAWS, POINTS, VALID, tried).values():
        assert program.loops[0].length == 9
        assert len(program.products) >= 2


def test_stability():
    rows = shape(5, 64, dtype=jnp.int32)
    programs = exported(stability._resampled_labels, rows, several(DRAWS, 5), POINTS, VALID, NUMBER)
    assert all(program.loops[0].length == 5 for program in programs.values())


# Passes of the network


@functools.cache
def made(kind):
    """A user's module, or a Caffe graph."""
    return {"module": tiny_network, "graph": small_network}[kind]()


@pytest.fixture(params=["float32", "bfloat16"])
def precision(request):
    return request.param


@pytest.fixture(params=["module", "graph"])
def network(request, precision):
    return made(request.param).with_precision(precision)


MAP = "conv2"  # a layer of both


def assert_precision(network, programs):
    """Convolutions are of the type that the network was asked to compute in."""
    assert_portable(programs)
    wanted = {"float32": "f32", "bfloat16": "bf16"}[network.compute_dtype]
    for program in programs.values():
        maps = [product for product in program.products if "convolution" in product.name]
        assert {kind for product in maps for kind in product.types} == {wanted}


def pixels(network, count=4, dtype=jnp.uint8):
    return shape(count, *network.input_size, 3, dtype=dtype)


def asked_units(network):
    """Two units of the map, read inside it."""
    window = MapWindow((1, network.layers[MAP].shape[0] - 1), (1, 3))
    return AskedUnits(shape(2, dtype=jnp.int32), shape(2, dtype=jnp.int32), window)


def test_the_pass_that_reads_codes(network):
    units = asked_units(network)
    asked = {
        Layers(MAP, MAP, "place"): units,
        Layers(network.logits_layer, MAP): units._replace(window=None),
    }
    programs = export_all(
        read_batch,
        shaped(network.params),
        pixels(network),
        asked,
        forward=network.forward,
        preprocessing=network.preprocessing,
    )
    assert_precision(network, programs)


@pytest.mark.parametrize("only_active", [False, True])
def test_the_pass_that_keeps_the_best_images(network, only_active):
    programs = export_all(
        _update,
        shaped(network.params),
        pixels(network),
        shape(4, dtype=jnp.int32),
        shaped({MAP: _nothing(2, 3)}),
        {MAP: asked_units(network)},
        forward=network.forward,
        preprocessing=network.preprocessing,
        only_active=only_active,
    )
    assert_precision(network, programs)


def test_activations(network):
    layers = tuple(network.layers)
    programs = export_all(network._read_selected, shaped(network.params), pixels(network), layers)
    assert_precision(network, programs)


# Scores


@pytest.mark.parametrize("unit", ["logits", "map"])
def test_the_gradient_that_scores_fragments(network, unit):
    name = f"{network.logits_layer}:1" if unit == "logits" else f"{MAP}:1@1,2"
    units = [unit_objective(network.resolve(name))] * 3
    readouts = stack_objectives(units, network.layers)
    reader = Reader(network.forward, network.preprocessing)
    images = pixels(network, 3, jnp.float32)
    params = shaped(network.params)
    programs = export_all(scoring._gradient, reader, params, images, shaped(readouts))
    assert_precision(network, programs)
