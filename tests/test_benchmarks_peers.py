"""The candidates that benchmarks compare do the same work: one step of each from one crop."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from benchmarks.workload import StepValues
from mfvjax.ascent.plan import PhaseValues
from mfvjax.ascent.scene import Frame, Reader
from mfvjax.ascent.step import Facets, Now, Step
from mfvjax.models import ops
from mfvjax.objective import stack_objectives, statistics_objective, unit_objective
from mfvjax.parametrizations import Fourier
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase
from mfvjax.updates import MeanAbsoluteStep, Optax
from mfvjax.views import RandomView
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


CANVAS = (34, 34)


def statistics_objectives(network, windows):
    layers = ["conv1", "both"]
    found = {name: np.asarray(a) for name, a in network.activations(windows, layers).items()}
    return [
        0.5 * unit_objective("fc4:3")
        + statistics_objective({name: a[i : i + 1] for name, a in found.items()}, layers)
        for i in range(len(windows))
    ]


def views_for_torch(matrices, offsets, size):
    """From pixels ``(row, column)`` of a view and of the canvas to torch's -1 to 1, x before y."""
    m, o = np.asarray(matrices, np.float64), np.asarray(offsets, np.float64)
    span, half = np.array(CANVAS), np.array(size) / 2
    slopes = m * half[None, None] / (span[None, :, None] / 2)
    middle = np.einsum("bij,j->bi", m, half - 0.5) + o
    shift = (middle + 0.5) / (span / 2) - 1
    return np.stack(
        [
            [[s[1, 1], s[1, 0], t[1]], [s[0, 1], s[0, 0], t[0]]]
            for s, t in zip(slopes, shift, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def our_views(network, windows):
    """One step of plain descent on Fourier coefficients: start, loss, gradient and views."""
    rng = np.random.default_rng(2)
    canvases = jnp.asarray(rng.uniform(20, 235, (3, 5, 5, 3)).astype(np.float32))
    canvases = jax.image.resize(canvases, (3, *CANVAS, 3), "cubic").clip(10, 245)
    view = RandomView()
    phase = Phase(1, optax.sgd(1.0), view, projections=(), parametrization=Fourier())
    values = PhaseValues.of(phase)
    frame = Frame.of(Reader(network.forward, network.preprocessing), None)
    step = Step(frame, values.plan, CANVAS)
    keys = jax.random.split(jax.random.key(5), 3)
    objectives = stack_objectives(statistics_objectives(network, windows), network.layers)
    row = jnp.asarray(values.steps[0])
    numbers = jax.vmap(lambda image: Fourier().encode(image, step.scene))(canvases)
    state = jax.vmap(values.plan.parts(row, (), ()).transformation().init)(numbers)
    facets = Facets(objectives, keys, jnp.zeros(3, jnp.int32))
    result = step(network.params, facets, Now(row, (), keys), numbers, state)
    own = [jax.random.split(jax.random.fold_in(key, 1))[0] for key in keys]
    found = [view.transform(key, CANVAS, network.input_size) for key in own]
    matrices, offsets = (np.stack(part) for part in zip(*found, strict=True))
    views = views_for_torch(matrices, offsets, network.input_size)
    return canvases, numbers, -result.values, numbers - result.numbers, views


def test_loss_and_gradient_of_the_statistics_recipe_are_ours(network, windows, our_views):
    from benchmarks.torch_views import Picture, TorchViews, look

    canvases, numbers, losses, gradient, views = our_views
    peer = TorchViews(network)
    picture = Picture(Fourier(), CANVAS, "cpu")
    theirs = picture.encode(peer.to_device(canvases)).requires_grad_()
    seen = look(
        picture.decode(theirs), torch.tensor(views, dtype=torch.float32), network.input_size
    )
    loss = peer.loss_of(statistics_objectives(network, windows))(seen)
    loss.sum().backward()
    ours = np.moveaxis(np.asarray(numbers), 3, 1)
    assert np.abs(theirs.detach().numpy() - ours).max() < 1e-4 * np.abs(ours).max()
    np.testing.assert_allclose(loss.detach().numpy(), losses, rtol=1e-4)
    for found, wanted in zip(
        theirs.grad.numpy(), np.moveaxis(np.asarray(gradient), 3, 1), strict=True
    ):
        assert np.linalg.norm(found - wanted) < 1e-3 * np.linalg.norm(wanted)


def test_views_are_drawn_as_ours_are(network):
    from benchmarks.torch_views import draw_views, views_of

    # The same squares, said in both ways.
    side, center, angle = 0.7, np.array([0.45, 0.6]), 0.13
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = network.input_size
    matrix = turn * side * np.array(CANVAS) / np.array(size)
    offset = center * np.array(CANVAS) - 0.5 - matrix @ (np.array(size) / 2 - 0.5)
    wanted = views_for_torch(matrix[None], offset[None], size)[0]
    values = (torch.tensor([side]), torch.tensor(center[None]), torch.tensor([angle]))
    np.testing.assert_allclose(views_of(*values)[0], wanted, atol=1e-6)
    # And as often.
    drawn = draw_views(torch.Generator().manual_seed(0), RandomView(), torch.zeros(4000, 1))
    keys = jax.random.split(jax.random.key(0), 4000)
    ours = jax.vmap(lambda key: RandomView().transform(key, CANVAS, size))(keys)
    ours = views_for_torch(*ours, size)
    for statistic in (np.mean, np.std, np.min, np.max):
        found, wanted = (statistic(part, axis=0) for part in (drawn.numpy(), ours))
        np.testing.assert_allclose(found, wanted, atol=0.02)


def test_pictures_one_by_one_are_those_of_the_batch(network, windows):
    from benchmarks.torch_views import TorchViews

    canvases = np.pad(windows, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    rate = {"learning_rate": 0.05}
    still = RandomView(0.9, 0.9, degrees=0.0)
    phase = Phase(3, Optax(optax.adam, rate), still, parametrization=Fourier(), projections=())
    objectives = statistics_objectives(network, windows)
    peer = TorchViews(network)
    peer.draw = lambda *args: torch.tensor([[[0.9, 0, 0], [0, 0.9, 0]]]).expand(len(args[-1]), 2, 3)
    together = peer.run_phase(canvases, objectives, phase, 0)
    peer.together = 1
    alone = peer.run_phase(canvases, objectives, phase, 0)
    np.testing.assert_allclose(alone, together, atol=0.05)
    assert np.abs(together - canvases).max() > 5
