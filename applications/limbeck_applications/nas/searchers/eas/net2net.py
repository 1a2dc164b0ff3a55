"""Net2Net: a trained network made wider or deeper without changing what it computes.

Paper: Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer" (arXiv:1511.05641), sections
2.3 (Net2WiderNet, Algorithm 1) and 2.4 (Net2DeeperNet); as used by Cai et al., "Efficient Architecture Search by
Network Transformation" (arXiv:1707.04873), section 3. Public code of the latter: han-cai/EAS (MIT). Written from the
papers.

What is the same: new units copy units taken by lot, and each copy passes on its share of what the original did; a new
layer is an identity kernel, and its batch norm gets the mean and deviation of what flows into it; noise, where it is
asked for, is relative to the deviation of the weights, and is put on the copies or on the new kernel.

What differs: batch norm's statistics are measured in train mode, so that on the images they were measured on the
deepened network computes the same in train mode as well; without images they are 0 and 1, and it computes the same in
eval mode only. Widening keeps what is computed in both modes. What would change it is refused with the reason: sigmoid
and leaky ReLU cannot be applied twice, norms that divide by a statistic of each image have no identity, and group and
layer norm mix the units of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from limbeck.errors import UsageError
from limbeck.networks import FunctionalNetwork, State

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)


@dataclass(frozen=True)
class Block:
    """One convolution with what follows it, by the names of the modules.

    Attributes:
        conv: the convolution.
        norm: its norm, or nothing.
        rest: activations and poolings.
    """

    conv: str
    norm: str
    rest: tuple[str, ...]


def wider(
    network: FunctionalNetwork,
    state: State,
    place: int,
    width: int,
    chance: torch.Generator,
    noise: float = 0.0,
) -> State:
    """Return weights of the network whose convolution ``place`` has ``width`` filters; all else is as it was.

    Args:
        network: convolutions in a row, flattened into one linear layer. Widths are taken from ``state``, so that
            several layers can be widened one after the other.
        state: its weights, of any floating-point type.
        place: which convolution, counted from 0.
        width: at least as many filters as there are.
        chance: draws the units to copy, and the noise; on the CPU.
        noise: deviation of the noise on the copies' weights, relative to that of the weights; 0 keeps the function.

    Raises:
        UsageError: the network is no such chain, or widening would change what it computes.
    """
    blocks = _blocks(network)
    block, modules = _at(blocks, place, network), dict(network.module.named_modules())
    old = state[f"{block.conv}.weight"].shape[0]
    if width < old:
        raise _refused(network, "widened", f"layer {place} has {old} filters already, which is more than {width}")
    norm = modules[block.norm] if block.norm else None
    if isinstance(norm, nn.LayerNorm) or (isinstance(norm, nn.GroupNorm) and norm.num_groups < norm.num_channels):
        raise _refused(
            network, "widened", f"{type(norm).__name__} mixes the units of a layer, and copies change the mix"
        )
    copied = torch.cat([torch.arange(old), torch.randint(old, (width - old,), generator=chance)])
    grown = dict(state)
    for name in filter(None, (block.conv, block.norm)):
        for key in _own(name, state):
            if state[key].dim():
                grown[key] = state[key][copied.to(state[key].device)]
    weight = f"{block.conv}.weight"
    grown[weight] = torch.cat([state[weight], _noisy(grown[weight][old:], noise, chance)])
    last = place == len(blocks) - 1
    after = f"{network.classifier_name if last else blocks[place + 1].conv}.weight"
    grown[after] = _shared(state[after], copied, old)
    return grown


def deeper(
    network: FunctionalNetwork,
    state: State,
    child: FunctionalNetwork,
    place: int,
    chance: torch.Generator,
    noise: float = 0.0,
    images: Tensor | None = None,
) -> State:
    """Return weights of the network that has one more convolution, the identity, after convolution ``place``.

    Args:
        network: convolutions in a row, flattened into one linear layer.
        state: its weights.
        child: the same network with one more convolution, its norm and its ReLU.
        place: the convolution, counted from 0, after which ``child`` has the new one.
        chance: draws the noise; on the CPU.
        noise: deviation of the noise on the identity kernel, relative to the kernel's; 0 keeps the function.
        images: normalised [n, ch, h, w], on which a new batch norm is measured; 0 and 1 when None.

    Raises:
        UsageError: the network is no such chain, or the new layer would change what it computes.
    """
    blocks, longer = _blocks(network), _blocks(child)
    before, new = _at(blocks, place, network), _at(longer, place + 1, child)
    added = _added(network, child, new, before)
    names = [name for name in _order(child) if name not in added]
    grown = {
        f"{name}{key.removeprefix(old)}": state[key]
        for old, name in zip(_order(network), names, strict=True)
        for key in _own(old, state)
    }
    kernel = child.module.get_parameter(f"{new.conv}.weight")
    grown |= _identity(new.conv, kernel, state[f"{before.conv}.weight"], chance, noise)
    if new.norm:
        norm, zeros = child.module.get_submodule(new.norm), grown[f"{new.conv}.bias"]
        grown |= _undone(new.norm, norm, zeros, None)
        if images is not None:
            grown |= _undone(new.norm, norm, zeros, _measured(child, grown, new.conv, images))
    return grown


def _blocks(network: FunctionalNetwork) -> list[Block]:
    """Read a chain; refuse what is none."""
    modules, found = dict(network.module.named_modules()), list[Block]()
    for name in _order(network)[:-1]:
        layer = modules[name]
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            found.append(Block(name, "", ()))
        elif found and isinstance(layer, NORMS) and not found[-1].norm and not found[-1].rest:
            found[-1] = Block(found[-1].conv, name, ())
        elif found and not list(layer.children()) and not list(layer.parameters()):
            found[-1] = Block(found[-1].conv, found[-1].norm, (*found[-1].rest, name))
        else:
            raise _no_chain(network, f"layer '{name}' is {type(layer).__name__}")
    return found


def _order(network: FunctionalNetwork) -> list[str]:
    """Return the names of the layers in the order they are applied; the classifier is the last."""
    children = dict(network.module.named_children())
    features, classifier = children.get("features"), children.get("classifier")
    if len(children) != 2 or not isinstance(features, nn.Sequential) or not isinstance(classifier, nn.Linear):
        parts = ", ".join(f"'{name}', {type(child).__name__}" for name, child in children.items())
        raise _no_chain(network, f"it is {type(network.module).__name__} of {parts or 'nothing'}")
    return [*(f"features.{name}" for name, _ in features.named_children()), "classifier"]


def _own(name: str, state: State) -> list[str]:
    return [key for key in state if key.startswith(f"{name}.")]


def _at(blocks: list[Block], place: int, network: FunctionalNetwork) -> Block:
    if not 0 <= place < len(blocks):
        raise UsageError(
            f"network '{network.name}' has {len(blocks)} convolutions: give 0 to {len(blocks) - 1}, not {place}."
        )
    return blocks[place]


def _noisy(weights: Tensor, noise: float, chance: torch.Generator) -> Tensor:
    if not noise or not weights.numel():
        return weights
    drawn = torch.randn(weights.shape, generator=chance, dtype=weights.dtype).to(weights.device)
    return weights + noise * weights.std(correction=0) * drawn


def _shared(weight: Tensor, copied: Tensor, old: int) -> Tensor:
    """Give every copy of a unit its share of the unit's outgoing weights, [out, old * area] or [out, old, h, w]."""
    parts = weight.reshape(weight.shape[0], old, -1)
    share = 1 / torch.bincount(copied, minlength=old).to(weight.dtype)[copied]
    given = parts[:, copied.to(weight.device)] * share.to(weight.device)[None, :, None]
    return given.flatten(1) if weight.dim() == 2 else given.reshape(weight.shape[0], -1, *weight.shape[2:])


def _added(network: FunctionalNetwork, child: FunctionalNetwork, new: Block, before: Block) -> list[str]:
    """Return the names of a new block's layers, once it is sure that they can be the identity."""
    modules = dict(child.module.named_modules())
    conv, norm = modules[new.conv], modules[new.norm] if new.norm else None
    added = [name for name in (new.conv, new.norm, *new.rest[:1]) if name]
    if norm is not None and not isinstance(norm, nn.BatchNorm2d):
        raise _refused(
            network, "deepened", f"{type(norm).__name__} divides by a statistic of each image, so it has no identity"
        )
    for owner, block in ((network.module, before), (child.module, new)):
        first = type(owner.get_submodule(block.rest[0])).__name__ if block.rest else "nothing"
        if first != "ReLU":
            raise _refused(network, "deepened", f"{first} follows a convolution, and only ReLU can be applied twice")
    rest = [repr(modules[name]) for name in _order(child) if name not in added]
    if rest != [repr(network.module.get_submodule(name)) for name in _order(network)]:
        raise _refused(network, "deepened", "the larger network differs in more than one convolution, norm and ReLU")
    assert isinstance(conv, nn.Conv2d)
    kernel, same = conv.kernel_size[0], conv.in_channels == conv.out_channels
    if not same or conv.padding != (kernel // 2,) * 2 or conv.kernel_size != (kernel,) * 2 or kernel % 2 == 0:
        raise _refused(network, "deepened", f"{conv} has no identity: it must keep channels and image size")
    return added


def _identity(name: str, kernel: Tensor, like: Tensor, chance: torch.Generator, noise: float) -> State:
    """Return a kernel [width, width, k, k] that passes on what it gets, and a bias of zeros."""
    width, size = kernel.shape[0], kernel.shape[-1]
    weight = torch.zeros(kernel.shape, dtype=like.dtype, device=like.device)
    weight[range(width), range(width), size // 2, size // 2] = 1
    return {f"{name}.weight": _noisy(weight, noise, chance), f"{name}.bias": weight.new_zeros(width)}


def _measured(child: FunctionalNetwork, state: State, tap: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the channels that flow out of a layer in train mode; no buffer is changed."""
    with torch.no_grad():
        copy = {key: value.clone() for key, value in state.items()}
        maps = child.features(copy, images, [tap])[tap]
    variance, mean = torch.var_mean(maps, dim=(0, 2, 3), correction=0)
    return mean, variance


def _undone(name: str, norm: nn.Module, zeros: Tensor, measured: tuple[Tensor, Tensor] | None) -> State:
    """Return a batch norm that gives back what it is given: of measured mean and variance, or of 0 and 1."""
    assert isinstance(norm, nn.BatchNorm2d)
    mean, variance = measured or (zeros, zeros + 1)
    counted = torch.zeros((), dtype=torch.long, device=zeros.device)
    found = {"weight": (variance + norm.eps).sqrt(), "bias": mean, "running_mean": mean, "running_var": variance}
    return {f"{name}.{key}": value.clone() for key, value in {**found, "num_batches_tracked": counted}.items()}


def _no_chain(network: FunctionalNetwork, what: str) -> UsageError:
    return UsageError(
        f"network '{network.name}' cannot be grown: {what}; it must be convolutions, norms, activations and poolings "
        "in a row ('features'), flattened into one linear layer ('classifier')."
    )


def _refused(network: FunctionalNetwork, verb: str, reason: str) -> UsageError:
    return UsageError(f"network '{network.name}' cannot be {verb} without changing what it computes: {reason}.")
