"""Layers that act on one vector or image and batch well under vmap (`x @ W` keeps the batch axis in front)."""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._env import Box, Space, encode
from innerloop._types import Key

Activation = Literal["tanh", "relu", "silu"]
Init = Literal["orthogonal", "uniform"]


def activate(name: Activation, x: Array) -> Array:
    """Apply an activation by name."""
    return {"tanh": jnp.tanh, "relu": jax.nn.relu, "silu": jax.nn.silu}[name](x)


def orthogonal(key: Key, num_in: int, num_out: int, scale: float = 1.0) -> Float[Array, "{num_in} {num_out}"]:
    """A matrix with orthonormal rows or columns (Saxe et al. 2014), times `scale`.

    Under vmap, too, it makes one at a time: two batches of QR decompositions that XLA runs side by side on as many cores
    wait for each other for ever (jaxlib 0.10).
    """

    @jax.custom_batching.sequential_vmap
    def draw(key: Key) -> Array:
        return jax.nn.initializers.orthogonal()(key, (num_in, num_out), jnp.float32)

    return scale * draw(key)


class Linear(eqx.Module):
    """y = x W + b.

    `init` "orthogonal": W orthogonal times `scale`, b zero. "uniform": both uniform on ±1/√num_in, so that the units of
    a first layer switch at different inputs; `scale` has no say then.
    """

    weight: Float[Array, "num_in num_out"]
    bias: Float[Array, " num_out"]

    def __init__(self, key: Key, num_in: int, num_out: int, scale: float = 1.0, init: Init = "orthogonal"):
        if init == "uniform":
            weight_key, bias_key = jax.random.split(key)
            bound = num_in**-0.5
            self.weight = jax.random.uniform(weight_key, (num_in, num_out), minval=-bound, maxval=bound)
            self.bias = jax.random.uniform(bias_key, (num_out,), minval=-bound, maxval=bound)
        elif init == "orthogonal":
            self.weight = orthogonal(key, num_in, num_out, scale)
            self.bias = jnp.zeros((num_out,))
        else:
            raise ValueError(f"Linear(init={init!r}): choose orthogonal or uniform.")

    def __call__(self, x: Float[Array, " num_in"]) -> Float[Array, " num_out"]:
        return x @ self.weight + self.bias


class MLP(eqx.Module):
    """Hidden layers of the given widths, each followed by the activation. No widths: the identity."""

    layers: tuple[Linear, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        key: Key,
        num_in: int,
        widths: tuple[int, ...],
        activation: Activation = "tanh",
        init: Init = "orthogonal",
    ):
        sizes = (num_in, *widths)
        keys = jax.random.split(key, max(len(widths), 1))
        pairs = zip(sizes, widths, keys, strict=False)
        self.layers = tuple(Linear(key, a, b, scale=2**0.5, init=init) for a, b, key in pairs)
        self.activation = activation

    def __call__(self, x: Float[Array, " num_in"]) -> Float[Array, " num_out"]:
        for layer in self.layers:
            x = activate(self.activation, layer(x))
        return x


class LayerNorm(eqx.Module):
    """Zero mean and unit variance over the features, then a scale and a shift of each (Ba et al. 2016)."""

    scale: Float[Array, " size"]
    bias: Float[Array, " size"]

    def __init__(self, size: int):
        self.scale = jnp.ones((size,))
        self.bias = jnp.zeros((size,))

    def __call__(self, x: Float[Array, " size"]) -> Float[Array, " size"]:
        centred = x - x.mean()
        return self.scale * centred * jax.lax.rsqrt(jnp.square(centred).mean() + 1e-6) + self.bias


class Product(eqx.Module):
    """(x A + a) ∘ (y B + b): multiplicative interactions of two vectors (Jayakumar et al. 2020, section 3).

    With y one-hot, a linear map of the result can pick another linear map of x for every value of y.
    """

    first: Linear
    second: Linear

    def __init__(self, key: Key, num_first: int, num_second: int, num_out: int):
        first_key, second_key = jax.random.split(key)
        self.first = Linear(first_key, num_first, num_out)
        self.second = Linear(second_key, num_second, num_out)

    def __call__(self, x: Float[Array, " num_first"], y: Float[Array, " num_second"]) -> Float[Array, " num_out"]:
        return self.first(x) * self.second(y)


class CNN(eqx.Module):
    """Two 3x3 convolutions (ReLU, same size) and a linear map to `num_out` features, for small grids and images."""

    kernels: tuple[Float[Array, "3 3 num_in num_out"], ...]
    project: Linear

    def __init__(self, key: Key, shape: tuple[int, ...], num_out: int, channels: int = 16):
        height, width, depth = shape
        first_key, second_key, project_key = jax.random.split(key, 3)
        init = jax.nn.initializers.he_normal()
        self.kernels = (
            init(first_key, (3, 3, depth, channels), jnp.float32),
            init(second_key, (3, 3, channels, channels), jnp.float32),
        )
        self.project = Linear(project_key, height * width * channels, num_out, scale=2**0.5)

    def __call__(self, x: Float[Array, "height width channels"]) -> Float[Array, " num_out"]:
        for kernel in self.kernels:
            x = jax.lax.conv_general_dilated(
                x[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )[0]
            x = jax.nn.relu(x)
        return jax.nn.relu(self.project(x.reshape(-1)))


class Encoder(eqx.Module):
    """An observation as features: one-hot if discrete, a small CNN if it has three axes, then an MLP.

    The MLP can be given `num_context` further inputs, which are not observed.
    """

    space: Space
    cnn: CNN | None
    mlp: MLP

    def __init__(
        self,
        key: Key,
        space: Space,
        widths: tuple[int, ...] = (),
        activation: Activation = "tanh",
        num_context: int = 0,
        init: Init = "orthogonal",
    ):
        cnn_key, mlp_key = jax.random.split(key)
        is_image = isinstance(space, Box) and len(space.shape) == 3
        self.space = space
        self.cnn = CNN(cnn_key, space.shape, 64) if is_image else None
        self.mlp = MLP(mlp_key, (64 if is_image else space.num_features) + num_context, widths, activation, init)

    @property
    def num_features(self) -> int:
        if self.mlp.layers:
            return self.mlp.layers[-1].bias.shape[0]
        return self.cnn.project.bias.shape[0] if self.cnn is not None else self.space.num_features

    def __call__(self, obs: Array, context: Float[Array, " num_context"] | None = None) -> Float[Array, " features"]:
        features = encode(self.space, obs) if self.cnn is None else self.cnn(obs)
        return self.mlp(features if context is None else jnp.concatenate([features, context]))
