"""Rounds: what is played side by side is what would have been played in turn."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from innerloop._agent import Agent, Player
from innerloop._collect import JaxCollector, StreamCollector
from innerloop._evaluate import evaluate
from innerloop._rollout import Ring, remember, where, writes_while_playing
from innerloop._task import sample_tasks
from innerloop.agents import FeedForward, Gradient, PolicyObjective, Recurrent
from innerloop.envs.navigation import Navigation, navigation_goals
from innerloop.nn import CoreOptions
from innerloop.references.generic import Constant

KEY = jax.random.key(0)
ENV, GOALS = Navigation(max_steps=5), navigation_goals()


class Stubborn(Agent):
    """Plays as another agent does, and writes its memory anew at every step."""

    agent: Agent
    episodes_per_adapt: int = eqx.field(static=True)

    def init(self, key: Any) -> Any:
        return self.agent.init(key), jnp.zeros(())

    def act(self, key: Any, memory: Any, timestep: Any) -> Any:
        return self.agent.act(key, memory[0], timestep)

    def observe(self, key: Any, memory: Any, transition: Any) -> Any:
        return self.agent.observe(key, memory[0], transition), memory[1] + 1.0

    def adapt(self, key: Any, memory: Any, episodes: Any) -> Any:
        return self.agent.adapt(key, memory[0], episodes), memory[1]


def test_episodes_side_by_side_are_those_in_turn() -> None:
    base = FeedForward(ENV.spec, key=KEY, widths=(4,))
    agent = Gradient(base, PolicyObjective(ENV.spec.obs), episodes_per_round=3)
    tasks = sample_tasks(GOALS, KEY, 2)
    one, other = (
        eqx.filter_jit(JaxCollector(ENV, GOALS, 2, 3, 3).play)(KEY, x, tasks) for x in (agent, Stubborn(agent, 3))
    )
    for x, y in zip(jax.tree.leaves(one.transitions), jax.tree.leaves(other.transitions), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other.memories[1][0], [0.0, 15.0, 30.0])


class Going(Constant):
    """Always the same action, which it is given."""

    way: Any = None

    def act(self, key: Any, memory: Any, timestep: Any) -> Any:
        return self.way, super().act(key, memory, timestep)[1]


class Pointing(Player):
    """Plays every task with the coordinates of its goal as the action."""

    episodes_per_adapt: int = eqx.field(static=True, default=1)

    def on(self, task: Any) -> Agent:
        return Going(ENV.spec, way=task.goal)


def test_a_player_knows_the_task_in_training_and_nowhere_else() -> None:
    collector = JaxCollector(ENV, GOALS, 4, 1)
    trials, _ = collector.collect(KEY, Pointing(), collector.init(KEY, Pointing()))
    goals = jnp.broadcast_to(trials.tasks.goal[:, None, None, None], trials.transitions.action.shape)
    np.testing.assert_array_equal(trials.transitions.action, goals)
    with pytest.raises((ValueError, TypeError), match="Agent"):
        evaluate(KEY, Pointing(), collector)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs whole trials"):
        StreamCollector(ENV, GOALS, 2, 5).init(KEY, Pointing())


def test_tracing_tells_who_writes_while_playing() -> None:
    feedforward, recurrent = FeedForward(ENV.spec, key=KEY), Recurrent(ENV.spec, key=KEY)
    objective = PolicyObjective(ENV.spec.obs)
    for agent, writes in (
        (feedforward, False),
        (recurrent, True),
        (Gradient(feedforward, objective), False),
        (Gradient(recurrent, objective), True),
    ):
        assert writes_while_playing(KEY, ENV, agent, GOALS.sample(KEY), agent.init(KEY)) == writes


def test_unchanged_leaves_are_not_selected() -> None:
    kept, changed = jnp.ones((3,)), jnp.zeros(())
    jaxpr = jax.make_jaxpr(lambda c, x, y: where(c, (x, y + 1.0), (x, y)))(jnp.asarray(True), kept, changed)
    assert str(jaxpr).count("select_n") == 1


def test_a_ring_is_not_copied_to_remember_a_step() -> None:
    rings = [Ring(jnp.full((3, 2), x), jnp.asarray(i)) for i, x in enumerate((0.0, 1.0))]
    for valid in (True, False):
        kept = remember(jnp.asarray(valid), *rings)
        assert kept.rows is rings[0].rows
        assert int(kept.num_rows) == (0 if valid else 1)


def test_memories_that_nobody_reads_are_not_stored() -> None:
    """As long as only the first one is read, more rounds take no more room."""
    agent = Recurrent(ENV.spec, key=KEY, core="transformer", core_options=CoreOptions(context=128))

    def room(num_rounds: int) -> int:
        def play(key: Any) -> Any:
            trials = JaxCollector(ENV, GOALS, 2, num_rounds).play(key, agent, sample_tasks(GOALS, key, 2))
            return trials.returns(), jax.tree.map(lambda x: x[:, 0], trials.memories)

        return jax.jit(play).lower(KEY).compile().memory_analysis().temp_size_in_bytes

    assert room(20) < 2 * room(2)


def test_nobody_adapts_after_the_last_round() -> None:
    """The memory at a round's start is what was adapted on the rounds before it; the last adaptation is left out."""
    counted = []

    class Counting(Stubborn):
        def adapt(self, key: Any, memory: Any, episodes: Any) -> Any:
            jax.debug.callback(lambda: counted.append(1))
            return memory[0], memory[1] + 1.0

    agent = Counting(FeedForward(ENV.spec, key=KEY, widths=(4,)), 2)
    jax.block_until_ready(JaxCollector(ENV, GOALS, 1, 3, 2).play(KEY, agent, sample_tasks(GOALS, KEY, 1)))
    jax.effects_barrier()
    assert len(counted) == 2
