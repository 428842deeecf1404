"""The benchmark command: options, tables, floors, and what it says where peers are missing."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from skimage.restoration import denoise_tv_bregman

from benchmarks import __main__ as command
from benchmarks import alone, candidates, facets, floor, harness, report, sweeps, workload
from benchmarks.context import Context
from benchmarks.energy import tv_energy
from benchmarks.ours import Ours
from benchmarks.parts import network as network_part
from benchmarks.parts import steps as steps_part
from benchmarks.parts import tv as tv_part
from benchmarks.parts import views as views_part
from mfvjax.ascent import visualize
from mfvjax.models import layers
from mfvjax.priors.projections import Clip
from mfvjax.priors.tv_projection import TV
from mfvjax.recipe import Phase, Recipe
from mfvjax.recipes import RELEASE_CENTER_BIASED, RELEASE_MEAN_IMAGE
from mfvjax.schedule import Ramp
from mfvjax.updates import MeanAbsoluteStep
from mfvjax.views import RandomView
from tests.oracles import tv as tv_oracle
from tests.small_graph import small_network
from tests.tiny_network import tiny_network

TABLE = report.Table(
    "A title", ["what", "value"], [["first", 1.2345], ["second", "no torch"]], ["N."]
)


# Options.


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parts", "steps,stairs"], "there is no part 'stairs'; the parts are steps, network"),
        (["--network", "vgg"], "invalid choice: 'vgg'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--quick", "--full"], "--quick and --full exclude each other"),
    ],
)
def test_wrong_options_end_with_a_message(words, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(words)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(SystemExit, match="JAX finds no GPU; use --device cpu"):
        command.main(["--device", "gpu"])


def test_every_part_exists_and_is_documented():
    options = command.parse([])
    assert options.parts == list(command.PARTS)
    for name in options.parts:
        part = __import__(f"benchmarks.parts.{name}", fromlist=["run"])
        assert callable(part.run)


# Tables.


def test_the_command_prints_a_table_and_fills_the_page(tmp_path, monkeypatch, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(
        "before\n<!-- results: cpu_caffenet_tv -->\nold\n<!-- end: cpu_caffenet_tv -->\nafter\n"
    )
    monkeypatch.setattr(tv_part, "run", lambda context: [TABLE])
    monkeypatch.setattr(network_part, "run", lambda context: [TABLE])
    command.main(["--parts", "tv,network"], folder=tmp_path)
    told = capsys.readouterr().out
    assert "A title" in told
    assert "no torch" in told
    assert "README.md has no place for cpu_caffenet_network" in told
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| first | 1.23 |\n| second | no torch |\n\nN.\n" in text
    saved = json.loads((tmp_path / "results/cpu_caffenet_tv.json").read_text())
    assert saved["command"] == "python -m benchmarks --device cpu --network caffenet --parts tv"
    assert saved["header"]["versions"]["jax"] == jax.__version__
    report.fill_readme(readme, tmp_path / "results")
    assert readme.read_text() == text  # filling is idempotent


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.012345, "0.0123"), (12345.6, "12,346"), (12345, "12,345"), ("-", "-")],
)
def test_cells(value, text):
    assert report.shown(value) == text


# Timing.


def test_candidates_run_in_turn_after_a_warm_up():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = harness.interleaved(runs, repeats=2, warm_up=1)
    assert "".join(order) == "ab" * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}
    assert harness.medians({"a": [3.0, 1.0, 2.0]}) == {"a": 2.0}


def test_missing_packages_are_named():
    assert harness.missing("json") is None
    assert harness.missing("no_such_package") == "no no_such_package"


# Energy and sweeps.


def noisy_images(seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.uniform(40, 210, (2, 6, 6, 3)).repeat(5, 1).repeat(5, 2)
    return np.clip(blocks + rng.normal(0, 8, blocks.shape), 0, 255).astype(np.float32)


def test_the_energy_is_that_of_the_oracle():
    images = noisy_images()
    ours = tv_energy(images[1], images[0], 0.3)
    assert ours == pytest.approx(tv_oracle.energy(images[1], images[0], 0.3), rel=1e-12)
    both = tv_energy(images, images[::-1], 0.3)
    assert both == pytest.approx(ours + tv_energy(images[0], images[1], 0.3), rel=1e-12)


def test_a_case_holds_the_energies_of_scikit_image():
    images = noisy_images()
    case = sweeps.Case.of(images, 0.05)
    for image, found in zip(images, case.energies, strict=True):
        done = denoise_tv_bregman(image, weight=0.05, max_num_iter=100, eps=1e-3)
        assert found == pytest.approx(tv_oracle.energy(done, image, 0.05), rel=1e-6)


@pytest.mark.parametrize("needed", [1, 2, 3, 7, 8, 100])
def test_enough_sweeps_are_the_fewest(needed):
    images = noisy_images()

    def denoise(images, fidelity, count):
        mean = images.mean((1, 2), keepdims=True)
        return mean + (images - mean) / (1 + count / 1000)  # smoother with every sweep

    wanted = sweeps.energies_of(denoise(images, 1e-6, needed), images, 1e-6)
    easy, hard = wanted * 1.5, wanted * (1 + 1e-9)
    cases = [sweeps.Case(images, 1e-6, energies) for energies in (easy, hard)]
    assert sweeps.enough(denoise, cases) == needed


def test_sweeps_that_are_never_enough_are_an_error():
    case = sweeps.Case(noisy_images(), 0.1, np.zeros(2))
    with pytest.raises(ValueError, match="512 sweeps do not reach"):
        sweeps.enough(lambda images, fidelity, count: images, [case])


# Work.


def test_a_run_gives_each_candidate_the_phases_in_turn():
    seen = []

    class Watcher:
        def run_phase(self, canvases, units, phase, seed):
            seen.append((canvases.shape, tuple(units), phase.num_steps, seed))
            return canvases

    work = workload.Workload(small_network(), (0, 1), np.zeros((2, 30, 30, 3)), RELEASE_MEAN_IMAGE)
    canvases, seconds = workload.run_recipe(Watcher(), work, seed=7)
    assert seen == [
        ((2, 30, 30, 3), (0, 1), 190, 7),
        ((2, 36, 36, 3), (0, 1), 150, 8),
        ((2, 36, 36, 3), (0, 1), 20, 9),
        ((2, 36, 36, 3), (0, 1), 10, 10),
    ]
    assert canvases.shape == (2, 36, 36, 3)
    assert len(seconds) == 4


def test_offsets_are_those_of_the_release():
    rng = np.random.default_rng(0)
    drawn = np.array([workload.draw_offset(rng, (272, 250), (227, 227), 0.3) for _ in range(4000)])
    assert drawn.min(0).tolist() == [0, 0]
    assert drawn.max(0).tolist() == [45, 23]
    # clip(int(normal(free / 2, 0.3 free))): half a pixel below the middle.
    np.testing.assert_allclose(drawn.mean(0), [22.0, 11.0], atol=0.7)


def test_the_numbers_of_each_step_are_those_of_the_release():
    phase = RELEASE_CENTER_BIASED.phases[3]  # 30 steps of 3, TV from 0.1 to 2, margin 50
    values = workload.steps_of(phase)
    assert len(values) == 30
    assert {(step.step_size, step.margin_px) for step in values} == {(3.0, 50)}
    assert [step.tv.fidelity for step in values] == pytest.approx(
        [0.1 - (0.1 - 2.0 * i) / 30 for i in range(30)]
    )
    assert {(step.tv.rule, step.tv.tolerance) for step in values} == {("scikit-image", 1e-3)}
    assert workload.offset_std_of(phase) == 0.1
    bare = workload.without_tv(phase)
    assert bare.projections == (Clip(),)
    assert [step.tv for step in workload.steps_of(bare)] == [None] * 30


def test_phases_that_peers_do_not_know_are_refused():
    phase = Phase(2, optax.adam(0.1), view=RandomView())
    with pytest.raises(ValueError, match="no step of a given mean absolute change"):
        workload.steps_of(phase)
    with pytest.raises(ValueError, match="the phase does not crop"):
        workload.offset_std_of(phase)


def test_sweeps_are_set_phase_by_phase():
    recipe = sweeps.with_sweeps(RELEASE_MEAN_IMAGE, (3, 7, 5, 4))
    tvs = [workload.tv_of(phase) for phase in recipe.phases]
    assert [tv.num_sweeps for tv in tvs] == [3, 7, 5, 4]
    assert {(tv.rule, tv.order, tv.tolerance) for tv in tvs} == {("isotropic", "red-black", None)}
    old = [workload.tv_of(phase).fidelity for phase in RELEASE_MEAN_IMAGE.phases]
    assert [tv.fidelity for tv in tvs] == old


class Waiter:
    """A candidate that takes a known time for a step of one facet, by a clock of its own."""

    def __init__(self, seconds, clock):
        self.seconds, self.clock = seconds, clock

    def run_phase(self, canvases, units, phase, seed):
        self.clock.seconds += self.seconds * len(canvases) * phase.num_steps
        return canvases


class Clock:
    seconds = 0.0

    def perf_counter(self):
        return self.seconds


def test_the_table_of_steps_projects_and_compares(monkeypatch):
    work = workload.Workload(
        small_network(), (0,) * 10, np.zeros((10, 30, 30, 3)), RELEASE_MEAN_IMAGE
    )
    clock = Clock()
    monkeypatch.setattr(workload, "time", clock)
    found = [
        candidates.Entry("sequential", Waiter(4e-3, clock), work),
        candidates.Entry("batched torch, isotropic", "no torch", work),
        candidates.Entry("mfvjax, isotropic", Waiter(1e-3, clock), work),
    ]
    monkeypatch.setattr(steps_part, "entries", lambda context: found)
    (table,) = steps_part.run(Context(quick=True))
    rows = {row[0]: row for row in table.rows}
    assert rows["batched torch, isotropic"][1:3] == ["no torch", None]
    whole = rows["sequential"][table.columns.index("whole run, s")]
    assert whole == pytest.approx(4e-3 * 10 * 370)
    assert float(rows["mfvjax, isotropic"][-1]) == pytest.approx(4)


def test_ways_whose_packages_are_missing_say_so(monkeypatch):
    context = Context()
    missing = {"no_torch": "no torch", "no_scikit_image": "no scikit-image"}
    for name, value in {"network": small_network(), **missing}.items():
        monkeypatch.setitem(context.__dict__, name, value)
    ways = {entry.name: entry.candidate for entry in candidates.entries(context)}
    assert ways.pop("sequential") == "no torch"
    assert ways.pop("batched torch, isotropic") == "no torch"
    assert ways.pop("batched torch, release's rule") == "no torch"
    assert {type(way).__name__ for way in ways.values()} == {"Ours"}
    del context.__dict__["no_torch"]
    monkeypatch.setitem(context.__dict__, "no_torch", None)
    assert context.no_sequential == "no scikit-image"


def test_the_library_takes_the_steps_of_a_phase():
    network = tiny_network()
    starts = noisy_images()
    phase = Phase(3, MeanAbsoluteStep(Ramp(2.0, 1.0)), projections=(Clip(), TV(0.3, num_sweeps=4)))
    done = Ours(network).run_phase(starts, (3, 5), phase, 0)
    recipe = Recipe("three", (phase,))
    units, one = ["fc:3", "fc:5"], jax.devices()[:1]
    wanted = visualize(network, units, starts, recipe=recipe, key=0, devices=one)
    np.testing.assert_array_equal(done, wanted.images)


def test_a_process_of_its_own_takes_single_steps():
    (values,) = workload.steps_of(alone.one_step(RELEASE_MEAN_IMAGE.phases[0]))
    assert values.step_size == 1.0
    assert values.tv == TV(0.4, rule="isotropic", num_sweeps=12, tolerance=1e-3)


def test_what_a_process_of_its_own_cannot_do_is_an_error():
    with pytest.raises(ValueError, match="no candidate 'caffe'; there are imports, mfvjax"):
        alone.measure("caffe", "caffenet", "cpu")
    with pytest.raises(RuntimeError, match=r"'mfvjax' failed in its own process: (?s:.*)KeyError"):
        alone.measure("mfvjax", "no-such-network", "cpu")


# Facet statistics.


def small_context(monkeypatch, **changes):
    context = Context(quick=True)
    values = {"network": small_network(), "no_torch": "no torch", **changes}
    for name, value in values.items():
        monkeypatch.setitem(context.__dict__, name, value)
    monkeypatch.setitem(facets.LAYERS, "caffenet", ("conv1", "both"))
    monkeypatch.setattr(views_part, "SUBJECT", ("no folder", 5))
    return context


def test_the_work_of_facet_statistics_is_of_each_facets_own_images(monkeypatch):
    context = small_context(monkeypatch)
    work = facets.FacetWork.of(context, 3, subject=("no folder", 5))
    images = facets.made_up(context.network.input_size, 3)
    assert work.starts.shape == (3, 30, 30, 3)
    assert work.largest == 1.0
    for objective, start, some in zip(work.objectives, work.starts, images, strict=True):
        np.testing.assert_allclose(start, some.astype(np.float64).mean(0), atol=1e-4)
        reading, first, second = objective.terms
        assert (reading.layer, reading.channels, reading.weight) == ("fc4", 5, 1.0)
        assert (first.layer, second.layer) == ("conv1", "both")
        found = np.asarray(context.network.activations(some.astype(np.float32), ["both"])["both"])
        np.testing.assert_allclose(second.means, found.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(second.deviations, found.std((1, 2)).mean(0), rtol=1e-4)


@pytest.mark.slow
def test_the_table_of_facet_statistics_says_where_torch_is_missing(monkeypatch):
    context = small_context(monkeypatch)
    with jax.numpy_dtype_promotion("standard"):  # Adam's own arithmetic mixes dtypes
        (table,) = views_part.run(context)
    rows = {row[0]: row for row in table.rows}
    assert rows["batched torch"] == ["batched torch", "no torch", None, None]
    _, each, whole, ratio = rows["mfvjax"]
    assert whole == pytest.approx(each * 128 / 1000)
    assert ratio == "1.00"
    assert rows[views_part.PUBLISHED][2] == pytest.approx(
        rows[views_part.PUBLISHED][1] * 370 / 1000
    )


# The floor.


def test_operations_of_the_network_are_those_that_xla_counts():
    network = small_network()
    spec = network.forward.spec
    kernel = jnp.zeros((5, 5, 3, 8))

    def convolve(images):
        return layers.convolve(images, kernel, stride=(2, 2))

    images = jnp.zeros((4, 30, 30, 3))
    counted = jax.jit(convolve).lower(images).compile().cost_analysis()["flops"]
    first = dataclasses.replace(spec, layers=spec.layers[:1])
    ours = floor.network_cost(first, 4, last="conv1")
    assert ours.operations == pytest.approx(2 * counted, rel=0.01)  # forward and backward
    # conv1 written, read, its gradient likewise, read again; the kernel twice.
    assert ours.bytes_moved == 4 * (5 * 4 * 13 * 13 * 8 + 2 * kernel.size)


def test_the_floor_of_caffenet_is_the_published_number_of_multiplications():
    from benchmarks.networks import caffenet_spec

    cost = floor.network_cost(caffenet_spec(), 10, last="fc8")
    assert cost.operations / 10 / 4 == pytest.approx(724e6, rel=0.005)  # per image and pass
    assert floor.network_cost(caffenet_spec(), 10, last="conv1").operations < cost.operations


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    rates = floor.Rates(bandwidth=100.0, matrix=1000.0, elementwise=10.0)
    cost = floor.Cost(operations=50.0, bytes_moved=20.0)
    assert cost.seconds(rates, matrix=True) == pytest.approx(0.2)
    assert cost.seconds(rates, matrix=False) == pytest.approx(5.0)
    apart, fused = (floor.tv_cost(10, 100, fused=fused) for fused in (False, True))
    assert apart.operations == fused.operations
    assert apart.bytes_moved == 4 * 7 * 10 * 100
    assert fused.bytes_moved == 4 * 2 * 10


def test_rates_are_measured():
    rates = floor.measure_rates(size=64, repeats=1)
    assert min(dataclasses.astuple(rates)) > 1e6
