"""What becomes of a module: its names, its mode, its values; and which modules are refused."""

import copy
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.torch.needs import torch_or_skip

torch = torch_or_skip()

from torch import nn  # noqa: E402

from mfvjax import Network, Preprocessing  # noqa: E402
from mfvjax.network.torch_layouts import layout_of  # noqa: E402
from tests.torch.reference import activations_of, net_inputs, randomized  # noqa: E402
from tests.torch.small_modules import (  # noqa: E402
    Does,
    Inner,
    Outputs,
    Returns,
    Tied,
    Transformer,
    small_cnn,
)

SIZE = (16, 24)


def network_of(module, **options):
    return Network.from_torch(module.eval(), **{"input_size": SIZE, **options})


def activations(network, net_input):
    return network.forward(network.params, jnp.asarray(net_input.transpose(0, 2, 3, 1)))


def test_names_come_in_order_and_the_head_tells_its_input():
    network = network_of(small_cnn(), class_names=list("abcde"), name="mine")
    assert list(network.layers) == [str(i) for i in range(9)]
    assert (network.name, network.logits_layer, network.num_classes) == ("mine", "8", 5)
    assert network.layers["4"].shape == (4, 6, 12)
    assert network.layers["4"].receptive_field.stride == (4, 4)
    returned = network_of(Returns(lambda logits, maps: logits))
    assert list(returned.layers) == ["stem", "act", "head.input", "head"]
    assert returned.code_layer("head") == "head.input"
    assert list(network_of(small_cnn(), layers=["3", "8"]).layers) == ["3", "8"]


def test_preprocessing_is_done_before():
    module, images = small_cnn().eval(), np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    network = network_of(
        module,
        input_size=None,
        preprocessing=Preprocessing(SIZE, mean=tuple(255 * mean), scale=tuple(1 / (255 * std))),
    )
    normal = ((images / 255 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    with torch.no_grad():
        theirs = module(torch.from_numpy(normal)).numpy()
    mine = network.activations(images.astype(np.float32), "8")["8"]
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_a_module_in_training_mode_is_read_in_inference_mode_and_stays_as_it_is():
    module = randomized(small_cnn()).train()
    before = copy.deepcopy(module.state_dict())
    with pytest.warns(UserWarning, match="Sequential is in training mode; it is read in inference"):
        network = Network.from_torch(module, input_size=SIZE)
    net_input = net_inputs(SIZE)
    mine = activations(network, net_input)
    assert module.training
    assert all(part.training for part in module)
    assert all(torch.equal(module.state_dict()[name], before[name]) for name in before)
    theirs = activations_of(copy.deepcopy(module).eval(), net_input)
    np.testing.assert_allclose(mine["8"], theirs["8"], atol=1e-5)
    trained = activations_of(module, net_input)
    assert np.abs(mine["8"] - trained["8"]).max() > 0.01  # dropout and the batch's statistics


def test_later_training_of_the_module_changes_nothing():
    module = small_cnn()
    network = network_of(module)
    before = activations(network, net_inputs(SIZE))["8"]
    fingerprint = network.fingerprint
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.add_(1)
    np.testing.assert_array_equal(activations(network, net_inputs(SIZE))["8"], before)
    again = network_of(module)
    assert network.fingerprint == fingerprint != again.fingerprint


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_numbers_of_other_types_are_computed_in_float32(dtype):
    module = small_cnn().eval().to(dtype)
    network = network_of(copy.deepcopy(module))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(network.params)} <= {"float32", "int32"}
    theirs = activations_of(module.float(), net_inputs(SIZE))["8"]
    np.testing.assert_allclose(activations(network, net_inputs(SIZE))["8"], theirs, atol=1e-5)


def test_tied_and_plain_tensors_are_values_too():
    module = Tied()
    network = network_of(module)
    assert network.params.keys() == {"scale", "first.weight", "first.bias", "second.bias"}
    theirs = activations_of(module, net_inputs(SIZE))
    mine = activations(network, net_inputs(SIZE))
    np.testing.assert_allclose(mine["output"], theirs[""], atol=1e-5)
    np.testing.assert_allclose(np.moveaxis(mine["second"], -1, 1), theirs["second"], atol=1e-5)


def test_a_second_call_has_a_name_of_its_own():
    module = randomized(Transformer())
    network = network_of(module)
    theirs = activations_of(module, net_inputs(SIZE))
    mine = activations(network, net_inputs(SIZE))
    assert network.layers["attention"].shape == network.layers["attention#2"].shape == (7, 16)
    for name in ("attention", "attention#2", "norm", "head"):
        np.testing.assert_allclose(mine[name], theirs[name], atol=1e-5)
    assert network.layers["attention[1]"].shape == (7, 7)
    assert str(network.resolve("norm:3@cls")) == "norm:3@0"
    np.testing.assert_allclose(mine["head.input"], mine["norm"][:, 0], atol=1e-6)


OUTPUTS = {
    "alone in a tuple": lambda logits, maps: (logits,),
    "alone in a dictionary": lambda logits, maps: {"out": logits},
    "called logits": lambda logits, maps: {"features": maps, "logits": logits},
    "a dataclass": lambda logits, maps: Outputs(None, logits, (maps, maps * 2)),
}


@pytest.mark.parametrize("give", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_the_classes_are_found_in_what_is_returned(give):
    network = network_of(Returns(give))
    assert network.logits_layer == "head"
    assert network.layers["head"].shape == (5,)


def test_parts_of_outputs_have_names():
    network = network_of(Returns(OUTPUTS["a dataclass"]))
    assert network.layers["output[hidden_states][1]"].shape == (7, 11, 8)
    inner = network_of(Inner(Returns(OUTPUTS["called logits"]), lambda found: found["logits"]))
    assert {"inner[features]", "inner[logits]", "inner.head"} <= inner.layers.keys()
    pair = network_of(Inner(Returns(lambda logits, maps: (maps, logits)), lambda found: found[1]))
    assert pair.layers["inner"].shape == (7, 11, 8)
    assert pair.layers["inner[1]"].shape == (5,)


def test_several_outputs_without_logits_need_to_be_told():
    module = Returns(lambda logits, maps: (maps, logits))
    with pytest.raises(ValueError, match=r"calls none of them logits.*output\[0\], output\[1\]"):
        network_of(module)
    told = network_of(module, logits_layer="output[1]")
    assert (told.logits_layer, told.num_classes) == ("output[1]", 5)
    assert network_of(module, logits_layer="").logits_layer == ""


def test_wrappers_are_taken_off():
    module = small_cnn().eval()
    parallel = nn.DataParallel.__new__(nn.DataParallel)  # would look for devices if it were called
    nn.Module.__init__(parallel)
    parallel.module = module
    parallel = network_of(parallel)
    compiled = network_of(torch.compile(module))
    assert list(parallel.layers) == list(compiled.layers) == list(network_of(module).layers)


def test_new_tensors_and_types_of_ones_own_are_taken():
    def do(_, maps):
        counts = torch.arange(maps.shape[-1]) + torch.zeros(maps.shape[-1], dtype=torch.float64)
        return maps + counts.to(torch.float32) + torch.tensor(2.0)

    module = Does(do).eval()
    theirs = activations_of(module, net_inputs(SIZE))["odd"]
    mine = activations(network_of(module), net_inputs(SIZE))["odd"]
    np.testing.assert_allclose(np.moveaxis(np.asarray(mine), -1, 1), theirs, atol=1e-5)


def branches(_, maps):
    return maps if maps.sum() > 0 else -maps


UNTRACEABLE = {
    "a branch": (branches, "'odd' .Odd. cannot be traced: what it does depends on the values"),
    "a number": (lambda _, maps: maps * maps.max().item(), "depends on the values"),
    "a mask": (lambda _, maps: maps[maps > 0].reshape(1, 1, 1, -1), "depends on the values"),
    "numpy": (lambda _, maps: torch.from_numpy(maps.numpy()), "depends on the values"),
    "a tensor of no kind": (lambda odd, maps: maps + odd.table[0], "register_buffer"),
    "chance": (lambda _, maps: nn.functional.dropout(maps), "draws random numbers"),
    "no operator": (lambda _, maps: torch.special.airy_ai(maps), "lacks an operator"),
}


@pytest.mark.parametrize(("do", "message"), UNTRACEABLE.values(), ids=UNTRACEABLE.keys())
def test_modules_that_cannot_be_traced_say_why(do, message):
    with pytest.raises(ValueError, match=message):
        network_of(Does(do))


def test_a_wrong_size_names_the_submodule_and_the_shape():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 5))
    assert network_of(module, input_size=(16, 16)).num_classes == 5
    match = r"submodule '2' \(Linear\) fails for an input of shape \(5, 3, 20, 20\) \(batch, chann"
    with pytest.raises(ValueError, match=match):
        network_of(module, input_size=(20, 20))
    with pytest.raises(ValueError, match=r"cannot take images of 20x20: submodule '2' \(Linear\)"):
        network_of(module, input_size=(16, 16)).with_input_size((20, 20))


class BatchStatistics(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))


REFUSED = {
    "no module": (small_cnn().state_dict(), TypeError, "takes a torch.nn.Module, not OrderedDict"),
    "a class": (nn.ReLU, TypeError, "not ReLU; make one of the class first"),
    "TorchScript": (torch.jit.script(small_cnn()), ValueError, "is TorchScript, which cannot"),
    "meta": (nn.Conv2d(3, 4, 3, device="meta"), ValueError, "has parameters without values"),
    "batch": (BatchStatistics(), ValueError, "submodule '1' .BatchNorm2d. normalizes by the stat"),
    "nothing": (Returns(lambda logits, maps: None), ValueError, "returns no tensor"),
    "sparse": (nn.ParameterList([torch.eye(3).to_sparse()]), ValueError, "quantized or sparse"),
}


@pytest.mark.parametrize(("module", "kind", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_network_is_refused(module, kind, message):
    if isinstance(module, nn.Module):
        module.eval()
    with pytest.raises(kind, match=message):
        Network.from_torch(module, input_size=SIZE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["conv9"]}, "no activations .'conv9'.; it has: 0, 1, 2"),
        ({"logits_layer": "fc"}, "no layer 'fc'; the layers are: 0, 1, 2"),
        ({"input_size": None}, "give preprocessing, or input_size"),
        ({"class_names": ["a"]}, "1 class names for the 5 units"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        network_of(small_cnn(), **options)


def test_nothing_of_torchs_or_jaxs_settings_stays_changed():
    before = dict(jax.config.values), torch.get_default_device(), torch.is_grad_enabled()
    seed = torch.initial_seed()
    state = torch.random.get_rng_state()
    network_of(small_cnn())
    with pytest.raises(ValueError, match="depends on the values"):
        network_of(Does(branches))
    assert (dict(jax.config.values), torch.get_default_device(), torch.is_grad_enabled()) == before
    assert torch.initial_seed() == seed
    state_after = torch.random.get_rng_state()
    assert torch.equal(state[:8], state_after[:8])
    plain = torch.ones(2) + torch.arange(2)
    assert type(plain) is torch.Tensor
    assert plain.device.type == "cpu"


def test_bfloat16_is_near_float32():
    network = network_of(randomized(small_cnn()))
    net_input = net_inputs(SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = activations(network.with_precision("bfloat16"), net_input)["8"]
    exact = activations(network, net_input)["8"]
    assert fast.dtype == exact.dtype
    difference = np.abs(fast - exact).max() / np.abs(exact).max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(
    ("module", "num_axes", "given", "layout"),
    [
        (nn.Conv2d(3, 4, 3), 4, None, "NCHW"),
        (nn.Conv2d(3, 4, 3), 3, None, None),
        (nn.Linear(3, 4), 4, "NCHW", "NHWC"),
        (nn.LayerNorm(4), 3, None, "NTC"),
        (nn.ReLU(), 4, "NHWC", "NHWC"),
        (nn.ReLU(), 4, None, None),
        (nn.Flatten(), 2, "NCHW", None),
    ],
)
def test_layers_that_tell_their_layout(module, num_axes, given, layout):
    assert layout_of(module, num_axes, given) == layout


def test_a_subclass_with_a_forward_of_its_own_tells_nothing():
    class Permuting(nn.LayerNorm):
        def forward(self, maps):
            return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    assert layout_of(Permuting(4), 4, "NCHW") is None
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), Permuting(4), nn.Flatten(), nn.Linear(4 * 14 * 22, 5)
    )
    assert network_of(module).layers["1"].shape == (14, 22, 4)
