"""How a context (a memory's output, a belief, a task) shapes the net that sees an observation."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._types import Key
from innerloop.nn._layers import MLP, Activation, Linear, activate, orthogonal

PolicyName = Literal["mlp", "film", "hyper", "heads", "mixture", "modular", "library"]
HyperInit = Literal["bias", "hfi", "kaiming", "normc"]
MakeOut = Callable[[int], eqx.Module]
"""Makes a last layer that takes so many features."""


@dataclass(frozen=True)
class PolicyOptions:
    """What a policy's structure has beside its layers."""

    hyper_init: HyperInit = "bias"
    """How a hypernetwork begins: the net of every context is the `mlp`'s; or with weights of that variance (`hfi`), or,
    for comparison, as plain layers are (`kaiming`, `normc`)."""
    num_modules: int = 4
    """Modules of each layer (`modular`) or of the library (`library`), or experts (`mixture`)."""
    hard_routing: bool = False
    """Whether one module is chosen where these three would mix all (straight-through: gradients are the mixture's)."""


class Conditioned(eqx.Module):
    """Outputs computed from x by a net that a context z has a say in. Calling it gives one for each of `outs`."""

    trunk: eqx.AbstractVar[eqx.Module]
    outs: eqx.AbstractVar[tuple[Any, ...]]

    @abstractmethod
    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        """The outputs."""


class Joined(Conditioned):
    """One net on x and z, side by side."""

    trunk: MLP
    outs: tuple[Any, ...]

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        return _read(self.outs, self.trunk(jnp.concatenate([x, z])))


class FiLM(Conditioned):
    """Every hidden unit is scaled and shifted as z says: act((1 + γ(z)) h + β(z)) (Perez et al. 2018, section 2).

    γ and β are linear and begin at 0: at first z has no say.
    """

    trunk: MLP
    outs: tuple[Any, ...]
    weight: Float[Array, "context changes"]

    def __init__(self, trunk: MLP, outs: tuple[Any, ...], num_context: int):
        self.trunk, self.outs = trunk, outs
        self.weight = jnp.zeros((num_context, 2 * sum(layer.bias.size for layer in trunk.layers)))

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        changes, start = z @ self.weight, 0
        for layer in self.trunk.layers:
            gain, shift = jnp.split(changes[start : start + 2 * layer.bias.size], 2)
            x = activate(self.trunk.activation, (1.0 + gain) * layer(x) + shift)
            start += 2 * layer.bias.size
        return _read(self.outs, x)


class Hyper(Conditioned):
    """Every linear layer, the last ones too, is a linear function of z (Beck et al. 2022; Beck et al. 2023, section 4).

    The function's offsets are the layers as they stand in `trunk` and `outs`. `init` says how it begins:

    - "bias": its weights at 0 and the offsets as those of a plain net, which the first one then is for every z
      (Bias-HyperInit, Beck et al. 2022, section 4.2).
    - "hfi": the offsets at 0, the weights uniform, so that with entries of z of unit variance layers have half the
      variance of a plain one from weights and half from biases (Chang et al. 2020, section 4.1).
    - "kaiming": the offsets at 0, the weights uniform with variance 2 / context (He et al. 2015); "normc": the same,
      Gaussian with columns of length 1. Both as if the outputs were features; a baseline.

    A Gaussian policy's deviation is not generated.
    """

    trunk: MLP
    outs: tuple[Any, ...]
    weight: Float[Array, "context weights"]

    def __init__(self, key: Key, trunk: MLP, outs: tuple[Any, ...], num_context: int, init: HyperInit = "bias"):
        if init not in get_args(HyperInit):
            raise ValueError(f"hyper_init={init!r}: choose one of {', '.join(get_args(HyperInit))}.")
        if init != "bias":
            trunk, outs = _with_weights((trunk, outs), [jnp.zeros_like(x) for x in _weights((trunk, outs))])
        self.trunk, self.outs = trunk, outs
        sizes = [(x.size, x.shape[0] if x.ndim > 1 else None) for x in _weights((trunk, outs))]
        keys = jax.random.split(key, len(sizes))
        blocks = [_emitter(key, num_context, *size, init) for key, size in zip(keys, sizes, strict=True)]
        self.weight = jnp.concatenate(blocks, axis=1)

    def at(self, z: Float[Array, " context"]) -> tuple[MLP, tuple[Any, ...]]:
        """The net for a context."""
        offsets = _weights((self.trunk, self.outs))
        ends = [sum(x.size for x in offsets[:i]) for i in range(1, len(offsets))]
        said = jnp.split(z @ self.weight, ends)
        weights = [x + y.reshape(x.shape) for x, y in zip(offsets, said, strict=True)]
        return _with_weights((self.trunk, self.outs), weights)

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        trunk, outs = self.at(z)
        return _read(outs, trunk(x))


class Heads(Conditioned):
    """One net on x, and last layers for each entry of z, weighed by it: with z one-hot, one head for each task."""

    trunk: MLP
    outs: tuple[Any, ...]

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        return _read(self.outs, (z[:, None] * self.trunk(x)[None]).reshape(-1))


class Bank(eqx.Module):
    """Layers of modules, all of the same width: module i of layer l + 1 is fed a mixture of those of layer l."""

    weights: tuple[Float[Array, "module num_in width"], ...]
    biases: tuple[Float[Array, "module width"], ...]
    activation: Activation = eqx.field(static=True)

    def __init__(self, key: Key, num_in: int, widths: tuple[int, ...], num_modules: int, activation: Activation):
        def layer(key: Key, num_in: int, width: int) -> Array:
            return jax.vmap(lambda key: orthogonal(key, num_in, width, 2**0.5))(jax.random.split(key, num_modules))

        keys = jax.random.split(key, len(widths))
        self.weights = tuple(map(layer, keys, (num_in, *widths[:-1]), widths))
        self.biases = tuple(jnp.zeros((num_modules, width)) for width in widths)
        self.activation = activation

    def __call__(
        self, x: Float[Array, " num_in"], routing: list[Float[Array, "module module"] | None]
    ) -> Float[Array, "module width"]:
        """What the last layer's modules say. `routing[l][i, j]`: the share of module j in what feeds module i of layer
        l + 1; None: each goes on with its own."""
        modules = self.biases[0].shape[0]
        h = jnp.broadcast_to(x, (modules, *x.shape))
        for weight, bias, shares in zip(self.weights, self.biases, [None, *routing], strict=True):
            h = h if shares is None else shares @ h
            h = activate(self.activation, jnp.einsum("mi,mio->mo", h, weight) + bias)
        return h


class Routed(Conditioned):
    """A net made of modules, of which z and x decide what each one's share is."""

    trunk: eqx.AbstractVar[Bank]
    is_hard: eqx.AbstractVar[bool]

    @abstractmethod
    def routing(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> Float[Array, "layer fed module"]:
        """The share of each module (last axis) in all that is fed at each layer; shares sum to 1."""


class Mixture(Routed):
    """A mixture of experts (Jacobs et al. 1991): whole nets on x, whose outputs are weighed by a softmax of z."""

    trunk: Bank
    outs: tuple[Any, ...]
    gate: Linear
    is_hard: bool = eqx.field(static=True)

    def routing(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> Float[Array, "1 1 module"]:
        return _shares(self.gate(z), self.is_hard)[None, None]

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        said = self.trunk(x, [None] * (len(self.trunk.weights) - 1))
        return _read(self.outs, (self.routing(z, x)[0, 0][:, None] * said).reshape(-1))


class Modular(Routed):
    """Soft modularisation (Yang et al. 2020, section 4): z and x decide how layers of modules are connected.

    The routing net embeds both and multiplies; layer by layer it gives logits for every pair of modules, from the
    embedding and the logits before. Each module of the next layer is fed the mixture that the softmax over its row makes.
    """

    trunk: Bank
    outs: tuple[Any, ...]
    embed_context: Linear
    embed_input: Linear
    logits: tuple[Linear, ...]
    back: tuple[Linear, ...]
    is_hard: bool = eqx.field(static=True)

    def __init__(
        self, key: Key, trunk: Bank, outs: tuple[Any, ...], num_context: int, num_in: int, is_hard: bool = False
    ):
        self.trunk, self.outs, self.is_hard = trunk, outs, is_hard
        modules, width = trunk.biases[0].shape
        num_routings = len(trunk.weights) - 1
        keys = jax.random.split(key, 2 + 2 * num_routings)
        # Of unit size for a one-hot context: products with small numbers would begin alike for all tasks.
        self.embed_context = Linear(keys[0], num_context, width, scale=width**0.5)
        self.embed_input = Linear(keys[1], num_in, width)
        self.logits = tuple(Linear(key, width, modules**2) for key in keys[2 : 2 + num_routings])
        self.back = tuple(Linear(key, modules**2, width) for key in keys[2 + num_routings : -1])

    def routing(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> Float[Array, "layer module module"]:
        """The share of each module (last axis) in what feeds each module of the next layer."""
        embedded, modules, found = self.embed_context(z) * self.embed_input(x), self.trunk.biases[0].shape[0], []
        seen = embedded
        for i, layer in enumerate(self.logits):
            logits = layer(jax.nn.relu(seen))
            found.append(_shares(logits.reshape(modules, modules), self.is_hard))
            if i < len(self.back):
                seen = self.back[i](logits) * embedded
        return jnp.stack(found)

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        return _read(self.outs, self.trunk(x, list(self.routing(z, x))).reshape(-1))


class Library(Routed):
    """One library of modules for all depths, composed as z and what has been computed so far say, after routing
    networks (Rosenbaum et al. 2018) and modular meta-learning (Alet et al. 2018): h ← Σ_m s_m f_m(h), s = router_d(z, h).

    A layer of its own makes the first h of x. Each depth d has a router; a module can be of use at all of them.
    """

    trunk: Bank
    outs: tuple[Any, ...]
    embed: MLP
    routers: tuple[Linear, ...]
    is_hard: bool = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        trunk: Bank,
        outs: tuple[Any, ...],
        num_context: int,
        num_in: int,
        depth: int,
        is_hard: bool = False,
    ):
        self.trunk, self.outs, self.is_hard = trunk, outs, is_hard
        modules, width = trunk.biases[0].shape
        embed_key, *keys = jax.random.split(key, 1 + depth)
        self.embed = MLP(embed_key, num_in, (width,), trunk.activation)
        self.routers = tuple(Linear(key, num_context + width, modules, scale=0.01) for key in keys)

    def _composed(self, z: Array, x: Array) -> tuple[Float[Array, " width"], Float[Array, "layer module"]]:
        """What the last depth says, and the shares at each one."""
        h, found = self.embed(x), []
        for router in self.routers:
            found.append(_shares(router(jnp.concatenate([z, h])), self.is_hard))
            h = found[-1] @ self.trunk(h, [])
        return h, jnp.stack(found)

    def routing(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> Float[Array, "layer 1 module"]:
        return self._composed(z, x)[1][:, None]

    def __call__(self, z: Float[Array, " context"], x: Float[Array, " num_in"]) -> tuple[Any, ...]:
        return _read(self.outs, self._composed(z, x)[0])


def conditioned(
    name: PolicyName,
    key: Key,
    num_context: int,
    num_in: int,
    widths: tuple[int, ...],
    outs: tuple[MakeOut, ...],
    activation: Activation = "tanh",
    options: PolicyOptions | None = None,
) -> Conditioned:
    """A net by the name of its structure, from a context of `num_context` and an input of `num_in` numbers.

    Args:
        widths: hidden layers; for `mixture` and `modular`, of each module; for `library`, the width of its modules, once
            for each depth.
        outs: make the last layers, given the number of their features.
    """
    options = options or PolicyOptions()
    if name not in get_args(PolicyName):
        raise ValueError(f"policy={name!r}: choose one of {', '.join(get_args(PolicyName))}.")
    least = {"mlp": 0, "modular": 2, "library": 2}.get(name, 1)
    if len(widths) < least:
        raise ValueError(f"policy={name!r}: needs hidden layers, {least} or more; got {widths}.")
    if name in ("mixture", "modular", "library"):
        return _routed(name, key, num_context, num_in, widths, outs, activation, options)
    if options.hard_routing:
        raise ValueError(f"hard_routing=True: policy={name!r} routes nothing; choose mixture, modular or library.")
    trunk = MLP(key, num_in + (num_context if name == "mlp" else 0), widths, activation)
    num_features = widths[-1] if widths else num_in + num_context
    made = tuple(make(num_features * (num_context if name == "heads" else 1)) for make in outs)
    if name == "film":
        return FiLM(trunk, made, num_context)
    if name == "hyper":
        return Hyper(jax.random.fold_in(key, 1), trunk, made, num_context, options.hyper_init)
    return Heads(trunk, made) if name == "heads" else Joined(trunk, made)


def _routed(
    name: PolicyName,
    key: Key,
    num_context: int,
    num_in: int,
    widths: tuple[int, ...],
    outs: tuple[MakeOut, ...],
    activation: Activation,
    options: PolicyOptions,
) -> Routed:
    """A net of modules by name."""
    num_modules, width, is_hard = options.num_modules, widths[-1], options.hard_routing
    if num_modules < 2:
        raise ValueError(f"num_modules={num_modules}: must be at least 2.")
    trunk_key, shape_key = jax.random.split(key)
    if name == "library":
        if len(set(widths)) > 1:
            raise ValueError(f"policy='library': its modules have one width, the same at every depth; got {widths}.")
        bank = Bank(trunk_key, width, widths[:1], num_modules, activation)
        made = tuple(make(width) for make in outs)
        return Library(shape_key, bank, made, num_context, num_in, len(widths), is_hard)
    bank = Bank(trunk_key, num_in, widths, num_modules, activation)
    made = tuple(make(num_modules * width) for make in outs)
    if name == "modular":
        return Modular(shape_key, bank, made, num_context, num_in, is_hard)
    gate = Linear(shape_key, num_context, num_modules, scale=0.01)
    return Mixture(bank, made, gate=gate, is_hard=is_hard)


def _shares(logits: Float[Array, "*fed module"], is_hard: bool) -> Float[Array, "*fed module"]:
    """Softmax; or all to the largest, with the softmax's gradients (straight-through, Bengio et al. 2013)."""
    soft = jax.nn.softmax(logits)
    if not is_hard:
        return soft
    chosen = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1])
    return chosen + (soft - jax.lax.stop_gradient(soft))


def _read(outs: tuple[Any, ...], features: Array) -> tuple[Any, ...]:
    return tuple(out(features) for out in outs)


def _weights(net: Any) -> list[Any]:
    """Weight and bias of every linear layer of a net."""
    layers = [x for x in jax.tree.leaves(net, is_leaf=_is_linear) if _is_linear(x)]
    return [x for layer in layers for x in (layer.weight, layer.bias)]


def _with_weights(net: Any, weights: list[Array]) -> Any:
    return eqx.tree_at(_weights, net, weights)


def _is_linear(x: Any) -> bool:
    return isinstance(x, Linear)


def _emitter(key: Key, num_context: int, size: int, fan_in: int | None, init: HyperInit) -> Array:
    """The weights that give a weight (of this fan-in) or a bias (None) of `size` numbers from the context."""
    if init == "bias":
        return jnp.zeros((num_context, size))
    if init == "normc":
        weight = jax.random.normal(key, (num_context, size))
        return weight / jnp.linalg.norm(weight, axis=0, keepdims=True)
    variance = 2.0 / num_context if init == "kaiming" else 0.5 / (num_context * (fan_in or 1))
    bound = (3.0 * variance) ** 0.5
    return jax.random.uniform(key, (num_context, size), minval=-bound, maxval=bound)
