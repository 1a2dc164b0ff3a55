"""Forward mode by layers: values and their derivatives in a weight direction, side by side in one tensor.

A batch [n, ...] goes through a network as [2n, ...], values first and derivatives after them. What is linear in it,
such as pooling, needs no rule of its own; convolutions, linear layers, instance norm and ReLU have one each, written so
that values and derivatives share a kernel. It is what ``torch.autograd.forward_ad`` computes, which takes norms apart
into elementwise operations and is slower than double backward. A network with a layer that has no rule is left to
those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Gradients = Mapping[str, Tensor]
aten = torch.ops.aten


class NoRuleError(Exception):
    """A layer does what no rule here covers."""


class Stacked(Tensor):
    """Values and derivatives of a batch, [2n, ...]; or values alone [n, ...], as long as they are ``still``.

    Attributes:
        directions: derivative of each weight by the weight's ``id``.
        still: whether derivatives are zero and left out.
    """

    directions: dict[int, Tensor]
    still: bool

    @classmethod
    def wrap(cls, plain: Tensor, directions: dict[int, Tensor], *, still: bool = False) -> Stacked:
        """Return a tensor as one of these."""
        wrapped = plain.as_subclass(cls)
        wrapped.directions, wrapped.still = directions, still
        return wrapped

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer a function of PyTorch by its rule.

        Raises:
            NoRuleError: it has none.
        """
        with torch._C.DisableTorchFunctionSubclass():
            if func in _SEEN:
                return func(*args, **(kwargs or {}))
            rule = _RULES.get(func)
            if rule is None:
                raise NoRuleError(f"no rule for {func}")
            return rule(*args, **(kwargs or {}))

    def plain(self) -> Tensor:
        """Return it without its meaning."""
        return self.as_subclass(Tensor)

    def full(self) -> Tensor:
        """Return values and derivatives [2n, ...], zeros for those that are left out."""
        plain = self.plain()
        return torch.cat([plain, torch.zeros_like(plain)]) if self.still else plain

    def like(self, plain: Tensor, *, still: bool = False) -> Stacked:
        """Return what became of this batch."""
        return Stacked.wrap(plain, self.directions, still=still)

    def direction(self, weight: Tensor | None) -> Tensor | None:
        """Return the derivative of a weight, zero where it stays."""
        if weight is None:
            return None
        found = self.directions.get(id(weight))
        return torch.zeros_like(weight) if found is None else found


def stacked_logits(forward: Callable[[Tensor], Tensor], images: Tensor, weights: Gradients, along: Gradients) -> Tensor:
    """Return logits [n, C] and, after them, their derivatives [n, C] when ``weights`` move in the direction ``along``.

    Args:
        forward: the network under these very weights.
        images: [n, ch, h, w].
        weights: by name.
        along: directions by the same names.

    Raises:
        NoRuleError: a layer has no rule.
    """
    directions = {id(weight): along[name] for name, weight in weights.items()}
    with torch._C.DisableTorchFunctionSubclass():
        batch = Stacked.wrap(images, directions, still=True)
    found = forward(batch)
    if not isinstance(found, Stacked) or found.still:
        raise NoRuleError("the logits do not depend on the weights")
    with torch._C.DisableTorchFunctionSubclass():
        return found.plain()


class _Convolution(torch.autograd.Function):
    """y = x * w + b and y' = x' * w + x * w' + b', the directions w' and b' held constant."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, weight: Tensor, bias: Tensor | None, along: Any, how: Any, still: bool) -> Any:
        """Return [2n, out, h, w]."""
        half = len(batch) if still else len(batch) // 2
        weight_along, bias_along = along
        out = torch.convolution(batch, weight, bias, *how)
        if still:
            out = torch.cat([out, torch.convolution(batch, weight_along, bias_along, *how)])
        else:
            rest = bias_along if bias is None or bias_along is None else bias_along - bias
            out[half:] += torch.convolution(batch[:half], weight_along, rest, *how)
        ctx.save_for_backward(batch, weight, weight_along)
        ctx.how, ctx.still, ctx.half, ctx.has_bias = how, still, half, bias is not None
        return out

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return gradients at the batch, the weight and the bias."""
        batch, weight, along = ctx.saved_tensors
        half, how, wants = ctx.half, ctx.how, ctx.needs_input_grad
        own = grad[:half] if ctx.still else grad
        at_batch, at_weight, _ = aten.convolution_backward(own, batch, weight, None, *how, (wants[0], wants[1], False))
        if wants[0]:
            values = batch[:half]
            at_values, _, _ = aten.convolution_backward(grad[half:], values, along, None, *how, (True, False, False))
            at_batch[:half] += at_values
        at_bias = grad[:half].sum((0, 2, 3)) if ctx.has_bias and wants[2] else None
        return at_batch, at_weight, at_bias, None, None, None


class _InstanceNorm(torch.autograd.Function):
    """y = g u + b and y' = g u' + g' u + b' of the normalised maps u = (x - mean) r, r one over the deviation.

    With <., .> the mean over a map, u' = r (x' - <x'> - <x', u> u). All that is needed, forth and back, is a sum of
    whole maps, each times a number; the numbers follow from a few means of products.
    """

    @staticmethod
    def forward(ctx: Any, batch: Tensor, weight: Tensor, bias: Tensor, along: Any, eps: float) -> Any:
        """Return [2n, ch, ...]."""
        half, channels = len(batch) // 2, batch.shape[1]
        out, rows = torch.empty_like(batch), (2, half * channels, -1)
        sizes = (half, channels, batch[0, 0].numel(), channels)
        out[:half], mean, r = aten.native_group_norm(batch[:half], weight, bias, *sizes, eps)
        g, g_along, b_along = (each.repeat(half)[:, None] for each in (weight, *along))
        mean, r = mean.view(-1, 1), r.view(-1, 1)
        x, v = batch.view(rows)
        v_mean = v.mean(1, keepdim=True)
        q = r * (_mean_product(v, x) - mean * v_mean)
        x_times = r * (g_along - g * r * q)
        torch.addcmul(b_along - g * r * v_mean - x_times * mean, v, g * r, out=out.view(rows)[1])
        out.view(rows)[1].addcmul_(x, x_times)
        ctx.save_for_backward(batch, mean, r, v_mean, q, g, g_along)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return gradients at the batch, the weight and the bias."""
        batch, mean, r, v_mean, q, g, g_along = ctx.saved_tensors
        rows, half = (2, len(r), -1), len(batch) // 2
        (x, v), (f, e) = batch.view(rows), grad.contiguous().view(rows)
        e_mean, f_mean, ev = e.mean(1, keepdim=True), f.mean(1, keepdim=True), _mean_product(e, v)
        eu, fu = (r * (_mean_product(each, x) - mean * own) for each, own in ((e, e_mean), (f, f_mean)))
        p = g * eu
        found = torch.empty_like(batch)
        at_x, at_v = found.view(rows)
        u_times = -g * r * eu
        torch.addcmul(-g * r * e_mean - u_times * r * mean, e, g * r, out=at_v).addcmul_(x, u_times * r)
        u_times = r.square() * (3 * p * q - g * (ev - e_mean * v_mean)) - r * (g * fu + g_along * eu)
        ones = r.square() * (q * g * e_mean + p * v_mean) - r * (g * f_mean + g_along * e_mean)
        torch.addcmul(ones - u_times * r * mean, f, g * r, out=at_x).addcmul_(e, r * (g_along - q * g * r))
        at_x.addcmul_(v, -r.square() * p).addcmul_(x, u_times * r)
        count = x.shape[1]
        at_weight = count * (fu + r * (ev - v_mean * e_mean - q * eu)).view(half, -1).sum(0)
        return found, at_weight, count * f_mean.view(half, -1).sum(0), None, None


class _Relu(torch.autograd.Function):
    """y = max(x, 0) and y' = x' where x > 0."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor) -> Any:
        """Return [2n, ...]."""
        half = len(batch) // 2
        out = torch.empty_like(batch)
        torch.clamp_min(batch[:half], 0, out=out[:half])
        aten.threshold_backward.grad_input(batch[half:], out[:half], 0, grad_input=out[half:])
        ctx.save_for_backward(out[:half])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        """Return the gradient at the batch."""
        (values,) = ctx.saved_tensors
        half = len(values)
        found = torch.empty_like(grad)
        for part in (slice(0, half), slice(half, None)):
            aten.threshold_backward.grad_input(grad[part], values, 0, grad_input=found[part])
        return found


def _conv2d(
    batch: Stacked,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Stacked:
    if isinstance(padding, str) or isinstance(weight, Stacked):
        raise NoRuleError("a convolution of another kind")
    sizes = [[each] * 2 if isinstance(each, int) else list(each) for each in (stride, padding, dilation)]
    how = (*sizes, False, [0, 0], groups)
    along = (batch.direction(weight), batch.direction(bias))
    return batch.like(_Convolution.apply(batch.plain(), weight, bias, along, how, batch.still))


def _linear(batch: Stacked, weight: Tensor, bias: Tensor | None = None) -> Stacked:
    plain = batch.plain()
    values = plain if batch.still else plain[: len(plain) // 2]
    along = functional.linear(values, torch.as_tensor(batch.direction(weight)), batch.direction(bias))
    if not batch.still:
        along = along + functional.linear(plain[len(values) :], weight)
    return batch.like(torch.cat([functional.linear(values, weight, bias), along]))


def _group_norm(
    batch: Stacked, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Stacked:
    if groups != batch.shape[1] or weight is None or bias is None:
        raise NoRuleError("a norm over several channels, or without scale and shift")
    along = (batch.direction(weight), batch.direction(bias))
    return batch.like(_InstanceNorm.apply(batch.full().contiguous(), weight, bias, along, eps))


def _mean_product(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean over each map of a product, [rows, 1]."""
    means: Tensor = torch.linalg.vecdot(one, other)[:, None] / one.shape[1]
    return means


def _relu(batch: Stacked, inplace: bool = False) -> Stacked:
    return batch.like(_Relu.apply(batch.full()))


def _linear_in(func: Callable[..., Tensor]) -> Callable[..., Stacked]:
    """Return the rule of a function that is linear in its first argument and takes no other activation or weight."""

    def rule(batch: Stacked, *args: Any, **kwargs: Any) -> Stacked:
        others = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        if not isinstance(batch, Stacked) or any(id(each) in batch.directions for each in others):
            raise NoRuleError(f"{func} of weights")
        if any(isinstance(each, Stacked) for each in others):
            raise NoRuleError(f"{func} of two activations")
        return batch.like(func(batch.plain(), *args, **kwargs), still=batch.still)

    return rule


def _add(one: Stacked, other: Any, *, alpha: int = 1) -> Stacked:
    if not (isinstance(one, Stacked) and isinstance(other, Stacked)) or one.still or other.still or alpha != 1:
        raise NoRuleError("a sum of other things than activations")
    return one.like(one.plain() + other.plain())


_SEEN: set[Any] = {Tensor.size, Tensor.dim, Tensor.numel, Tensor.__len__, Tensor.is_floating_point} | {
    getattr(Tensor, name).__get__ for name in ("shape", "device", "dtype", "ndim", "requires_grad", "is_cuda")
}
"""What only looks at a tensor."""

_OWN: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.conv2d: _conv2d,
    functional.linear: _linear,
    functional.group_norm: _group_norm,
    functional.relu: _relu,
    torch.relu: _relu,
    Tensor.relu: _relu,
    Tensor.add: _add,
    Tensor.__add__: _add,
    Tensor.__iadd__: _add,
    torch.add: _add,
}
_LINEAR: tuple[Callable[..., Any], ...] = (
    functional.avg_pool2d,
    functional.adaptive_avg_pool2d,
    torch.flatten,
    Tensor.flatten,
    Tensor.reshape,
    Tensor.view,
    Tensor.matmul,
    Tensor.__matmul__,
    torch.matmul,
    Tensor.contiguous,
)
_RULES = _OWN | {func: _linear_in(func) for func in _LINEAR}
