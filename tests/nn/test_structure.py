import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop.nn import Linear, PolicyOptions, conditioned

KEY = jax.random.key(0)
CONTEXT, SEEN, NUM_OUT = 5, 3, 2
Z, X = (jax.random.normal(jax.random.key(i), (n,)) for i, n in ((1, CONTEXT), (2, SEEN)))
NAMES = ("mlp", "film", "hyper", "heads", "mixture", "modular", "library")


def make(name, widths=(8, 8), **options):
    outs = (lambda num: Linear(jax.random.key(7), num, NUM_OUT), lambda num: Linear(jax.random.key(8), num, 1))
    return conditioned(name, KEY, CONTEXT, SEEN, widths, outs, options=PolicyOptions(**options))


def numbers(net, z=Z, x=X):
    return jnp.concatenate(net(z, x))


def moved(net):
    """The same net, with every parameter off where it began."""
    leaves, tree = jax.tree.flatten(net)
    keys = jax.random.split(jax.random.key(3), len(leaves))
    return jax.tree.unflatten(
        tree, [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    )


@pytest.mark.parametrize("name", NAMES)
def test_context_and_observation_both_have_a_say_once_trained(name):
    net = moved(make(name))
    said = numbers(net)
    assert said.shape == (NUM_OUT + 1,)
    assert np.all(np.abs(said - numbers(net, z=-Z)) > 1e-4)
    assert np.all(np.abs(said - numbers(net, x=-X)) > 1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_can_learn_from_where_it_begins(name):
    net = make(name)
    gradient = jax.grad(lambda net: jnp.sin(numbers(net)).sum())(net)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("name", ["film", "hyper"])
def test_the_first_net_is_the_plain_one_whatever_the_context(name):
    net = make(name)
    plain = jnp.concatenate([out(net.trunk(X)) for out in net.outs])
    for z in (jnp.zeros(CONTEXT), Z, 100 * Z):
        np.testing.assert_array_equal(numbers(net, z), plain)
    assert np.any(np.asarray(plain) != 0)


def test_a_hypernetwork_of_a_one_hot_context_is_one_free_net_for_each():
    net = moved(make("hyper"))
    first, second = (net.at(jnp.eye(CONTEXT)[i])[0].layers[0].weight for i in (0, 1))
    size, offset = SEEN * 8, net.trunk.layers[0].weight
    np.testing.assert_allclose(first, offset + net.weight[0, :size].reshape(SEEN, 8), rtol=1e-6)
    np.testing.assert_allclose(second, offset + net.weight[1, :size].reshape(SEEN, 8), rtol=1e-6)


@pytest.mark.parametrize("init", ["hfi", "kaiming", "normc"])
def test_other_hypernetworks_begin_with_the_variance_they_name(init):
    net = conditioned("hyper", KEY, 400, 50, (300,), (lambda num: Linear(KEY, num, 1),), options=PolicyOptions(init))
    z = jax.random.normal(KEY, (400,))
    layer = net.at(z)[0].layers[0]
    expected = {"hfi": (0.5 / 50, 0.5), "kaiming": (2.0, 2.0), "normc": (1.0, 1.0)}[init]
    size = float(jnp.square(z).mean())
    np.testing.assert_allclose(layer.weight.var() / size, expected[0], rtol=0.1)
    np.testing.assert_allclose(layer.bias.var() / size, expected[1], rtol=0.3)


def test_film_is_the_formula():
    net = moved(make("film", (4,)))
    gain, shift = jnp.split(Z @ net.weight, 2)
    hidden = jnp.tanh((1 + gain) * net.trunk.layers[0](X) + shift)
    np.testing.assert_allclose(net(Z, X)[0], net.outs[0](hidden), rtol=1e-5)


def test_heads_of_a_one_hot_context_share_the_net_and_nothing_else():
    net = make("heads")
    weight = net.outs[0].weight.reshape(CONTEXT, 8, NUM_OUT)
    for i in range(CONTEXT):
        np.testing.assert_allclose(net(jnp.eye(CONTEXT)[i], X)[0], net.trunk(X) @ weight[i], rtol=1e-4, atol=1e-6)


def test_a_mixture_with_one_open_gate_is_that_expert():
    net = make("mixture", (6,), num_modules=3)
    net = eqx.tree_at(lambda net: net.gate.bias, net, jnp.array([0.0, 200.0, 0.0]))
    expert = jnp.tanh(X @ net.trunk.weights[0][1] + net.trunk.biases[0][1])
    np.testing.assert_allclose(net(Z, X)[0], expert @ net.outs[0].weight[6:12], rtol=1e-5)


def test_routing_is_a_mixture_for_every_module_and_decides_what_it_is_fed():
    net = moved(make("modular", (8, 8, 8), num_modules=3))
    routing = net.routing(Z, X)
    assert routing.shape == (2, 3, 3)
    np.testing.assert_allclose(routing.sum(axis=-1), 1.0, rtol=1e-6)
    assert np.any(np.abs(routing - net.routing(-Z, X)) > 1e-3)
    bank, h = net.trunk, [jnp.tanh(X @ net.trunk.weights[0][j] + net.trunk.biases[0][j]) for j in range(3)]
    for layer in (1, 2):
        fed = [sum(routing[layer - 1][i, j] * h[j] for j in range(3)) for i in range(3)]
        h = [jnp.tanh(fed[i] @ bank.weights[layer][i] + bank.biases[layer][i]) for i in range(3)]
    np.testing.assert_allclose(net(Z, X)[0], net.outs[0](jnp.concatenate(h)), rtol=1e-5)


def test_a_library_is_the_same_modules_at_every_depth():
    net = moved(make("library", (4, 4, 4), num_modules=3))
    weight, bias = net.trunk.weights[0], net.trunk.biases[0]
    h = jnp.tanh(X @ net.embed.layers[0].weight + net.embed.layers[0].bias)
    for depth in range(3):
        router = net.routers[depth]
        shares = jax.nn.softmax(Z @ router.weight[:CONTEXT] + h @ router.weight[CONTEXT:] + router.bias)
        np.testing.assert_allclose(net.routing(Z, X)[depth, 0], shares, rtol=1e-5)
        h = sum(shares[m] * jnp.tanh(h @ weight[m] + bias[m]) for m in range(3))
    np.testing.assert_allclose(net(Z, X)[0], net.outs[0](h), rtol=1e-5)


@pytest.mark.parametrize("name", ["mixture", "modular", "library"])
def test_hard_routing_chooses_the_largest_share_and_learns_as_the_mixture_would(name):
    soft, hard = (moved(make(name, hard_routing=is_hard)) for is_hard in (False, True))
    mixed, chosen = (np.asarray(net.routing(Z, X)[0]) for net in (soft, hard))
    np.testing.assert_array_equal(chosen, np.eye(4)[mixed.argmax(axis=-1)])

    def slopes(net):
        return jax.grad(lambda z: net.routing(z, X)[0, :, 1:3].sum())(Z)

    np.testing.assert_allclose(slopes(hard), slopes(soft), rtol=1e-5)
    assert np.any(slopes(hard) != 0)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match=r"policy='library': its modules have one width.*got \(8, 4\)"):
        make("library", (8, 4))
    with pytest.raises(ValueError, match=r"hard_routing=True: policy='heads' routes nothing"):
        make("heads", hard_routing=True)
    with pytest.raises(ValueError, match=r"policy='modular': needs hidden layers, 2 or more; got \(8,\)"):
        make("modular", (8,))
    with pytest.raises(ValueError, match=r"policy='film': needs hidden layers, 1 or more; got \(\)"):
        make("film", ())
    with pytest.raises(ValueError, match=r"num_modules=1: must be at least 2"):
        make("mixture", num_modules=1)
