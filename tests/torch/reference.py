"""The same module run by PyTorch itself: the oracle of all tests here."""

import numpy as np
import torch


def activations_of(module, net_input):
    """Copies of what every submodule returned, by its path; of tuples the first.

    A copy is taken as soon as the submodule is done: what is done to it in place later is not it.
    """
    found, handles = {}, []

    def hook(path):
        def note(_module, _arguments, result):
            tensor = result[0] if isinstance(result, tuple) else result
            number = 1 + sum(name.partition("#")[0] == path for name in found)
            found[path if number == 1 else f"{path}#{number}"] = tensor.detach().clone().numpy()

        return note

    for path, part in module.named_modules():
        handles.append(part.register_forward_hook(hook(path)))
    with torch.no_grad():
        module(torch.from_numpy(net_input))
    for handle in handles:
        handle.remove()
    return found


def gradient_of(module, net_input, path, channel):
    """The gradient to the input of the sum of one channel of what a submodule returned."""
    kept = []
    part = module.get_submodule(path)
    handle = part.register_forward_hook(lambda _m, _a, result: kept.append(result.clone()))
    argument = torch.from_numpy(net_input).requires_grad_()
    module(argument)
    handle.remove()
    kept[0][:, channel].sum().backward()
    return argument.grad.numpy()


def randomized(module, seed=0):
    """The module in inference mode, with statistics and weights that hide nothing.

    New modules have weights of zero, scales of a millionth, and statistics of 0 and 1, all of which
    would agree with anything.
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.1, generator=rng)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=rng)
            elif tensor.is_floating_point() and tensor.abs().max() < 1e-3:
                tensor.normal_(0, 0.05, generator=rng)
    return module.eval()


def net_inputs(size, batch=2, seed=0):
    """Random net inputs as PyTorch takes them."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, 3, *size)).astype(np.float32)
