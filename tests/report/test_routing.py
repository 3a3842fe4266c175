"""The picture of routing shows what the net's routing is."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from innerloop.agents import FeedForward, Recurrent, TaskConditioned
from innerloop.benchmarks import benchmark
from innerloop.envs.wrappers import RevealTask
from innerloop.nn import PolicyOptions
from innerloop.report import _routing, plot_routing
from innerloop.report._routing import shares_by_task

KEY = jax.random.key(0)
ROW = benchmark("ten-tasks")
ENV = RevealTask(ROW.env, ROW.test.sample(KEY))
AGENT = TaskConditioned(
    ENV.spec, 10, key=KEY, widths=(4,), policy="mixture", policy_options=PolicyOptions(num_modules=3)
)


def test_shares_are_those_of_each_task() -> None:
    """With a gate that is set by hand, task k opens expert k mod 3."""
    gate = 9.0 * jnp.eye(3)[jnp.arange(10) % 3]
    agent = eqx.tree_at(lambda agent: agent.policy.gate.weight, AGENT, gate)
    shares = shares_by_task(agent, ENV, ROW.test, 1, 10)
    assert shares.shape == (10, 1, 1, 3)
    np.testing.assert_allclose(shares[:, 0, 0], np.eye(3)[np.arange(10) % 3], atol=1e-3)


def test_a_memory_routes_too_and_one_panel_is_drawn_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(_routing, "save", lambda figure, path: figures.append(figure))
    agent = Recurrent(ROW.env.spec, key=KEY, hidden_size=4, policy="library", head_widths=(4, 4))
    plot_routing(agent, ROW.env, ROW.test, 2, tmp_path / "x.png", num_tasks=3)
    pictures = [axes.images[0].get_array() for axes in figures[0].axes[:2]]
    for shares in pictures:
        assert shares.shape == (3, 4)
        np.testing.assert_allclose(np.asarray(shares).sum(axis=1), 1.0, rtol=1e-5)


def test_mistakes_are_told_and_a_picture_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"plot_routing\(agent=FeedForward\)"):
        plot_routing(FeedForward(ENV.spec, key=KEY), ENV, ROW.test, 1, tmp_path / "x.png")
    plot_routing(AGENT, ENV, ROW.test, 1, tmp_path / "x.png", "title")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
