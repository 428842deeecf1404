"""The candidates that benchmarks compare do the same work: one step of each from one crop."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.workload import StepValues
from mfvjax.ascent.plan import PhaseValues
from mfvjax.ascent.scene import Frame, Reader
from mfvjax.ascent.step import Facets, Now, Step
from mfvjax.models import ops
from mfvjax.objective import stack_objectives, unit_objective
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase
from mfvjax.updates import MeanAbsoluteStep
from tests.small_graph import small_network

torch = pytest.importorskip("torch", reason="torch is not installed: no peers to compare with")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Torch's threads spin while they wait, which takes minutes on a machine with other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def windows():
    rng = np.random.default_rng(1)
    coarse = rng.uniform(40, 210, (3, 6, 6, 3)).repeat(5, 1).repeat(5, 2)
    return np.clip(coarse + rng.normal(0, 6, coarse.shape), 0, 255).astype(np.float32)


def test_the_torch_network_is_the_same_network(network, windows):
    from benchmarks.torch_network import TorchNetwork

    ours = network.read(network.params, jnp.asarray(windows))
    theirs = TorchNetwork(network, stop_at="prob")(torch.from_numpy(windows).permute(0, 3, 1, 2))
    assert set(ours) <= set(theirs)
    for name, activation in ours.items():
        np.testing.assert_allclose(
            np.moveaxis(theirs[name].numpy(), 1, -1), activation, rtol=1e-4, atol=1e-5
        )


def test_the_torch_network_computes_nothing_beyond_what_is_asked(network, windows):
    from benchmarks.torch_network import TorchNetwork

    planes = torch.from_numpy(windows).permute(0, 3, 1, 2)
    assert "prob" not in TorchNetwork(network)(planes)


@pytest.mark.parametrize(
    "op", [ops.TanH(), ops.Concat(-2), ops.LRN(3, within_channel=True), ops.Softmax(-2)]
)
def test_layers_without_a_counterpart_are_refused(op):
    from benchmarks.torch_network import TorchNetwork

    made = small_network([("odd", op, ["data"], "odd")], logits_layer="odd")
    with pytest.raises(ValueError, match=r"layer 'odd' \(.*\) has no counterpart in torch"):
        TorchNetwork(made)


def test_networks_without_a_graph_and_unknown_layers_are_refused(network):
    from benchmarks.torch_network import TorchNetwork

    own = types.SimpleNamespace(name="own", forward=lambda params, net_input: {})
    with pytest.raises(ValueError, match="network 'own' is not made from a graph"):
        TorchNetwork(own)
    with pytest.raises(ValueError, match="has no layer 'fc9'"):
        TorchNetwork(network, stop_at="fc9")


UNITS = [0, 3, 6]
STEP_SIZE, MARGIN_PX = 2.0, 4


def values_with(tv):
    return StepValues(STEP_SIZE, MARGIN_PX, tv)


def our_step(network, windows, tv):
    phase = Phase(1, MeanAbsoluteStep(STEP_SIZE, MARGIN_PX), projections=(Clip(), tv))
    values = PhaseValues.of(phase)
    frame = Frame.of(Reader(network.forward, network.preprocessing), None)
    objectives = [unit_objective(f"fc4:{i}") for i in UNITS]
    keys = jax.random.split(jax.random.key(0), len(UNITS))
    groups = jnp.zeros(len(UNITS), jnp.int32)
    facets = Facets(stack_objectives(objectives, network.layers), keys, groups)
    row = jnp.asarray(values.steps[0])
    windows = jnp.asarray(windows)
    state = jax.vmap(values.plan.parts(row, (), ()).transformation().init)(windows)
    step = Step(frame, values.plan, frame.window_size)
    result = step(network.params, facets, Now(row, (), keys), windows, state)
    return np.asarray(result.numbers)


def test_a_sequential_step_is_ours(network, windows):
    pytest.importorskip("skimage", reason="scikit-image is not installed: no sequential peer")
    from benchmarks.sequential import Sequential

    peer = Sequential(network)
    tv = TV(0.3, rule="scikit-image")
    theirs = [peer.step(w, u, values_with(tv)) for w, u in zip(windows, UNITS, strict=True)]
    ours = our_step(network, windows, tv)
    # Other orders of the pixels within a sweep, one limit: apart by what the sweeps leave undone.
    assert np.sqrt(np.mean((np.stack(theirs) - ours) ** 2)) < 0.02


# The same sweeps to rounding; Chambolle-Pock's share only their limit with ours.
@pytest.mark.parametrize(
    ("method", "tv", "atol"),
    [
        ("scikit-image", TV(0.3, rule="scikit-image", num_sweeps=12), 1e-3),
        ("red-black", TV(0.3, num_sweeps=12), 1e-3),
        ("chambolle-pock", TV(0.3, num_sweeps=600), 0.05),
    ],
)
def test_a_batched_step_is_ours(network, windows, method, tv, atol):
    from benchmarks.batched_torch import BatchedTorch

    peer = BatchedTorch(network, method=method, compiled=False)
    theirs = peer.step(peer.to_device(windows), torch.tensor(UNITS), values_with(tv))
    ours = our_step(network, windows, tv)
    np.testing.assert_allclose(theirs.permute(0, 2, 3, 1).numpy(), ours, atol=atol)
    assert np.abs(ours - windows).max() > 1  # the step did something
