"""Meta-World: its splits, its skills, and its own evaluation of our agents."""

from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import innerloop as il
from innerloop._env import encode
from innerloop._types import Transition
from innerloop.bridges import _metaworld, _skills
from innerloop.references.generic import Random

KEY = jax.random.key(0)
SPEC = il.EnvSpec(il.Box((39,)), il.Box((4,), -1.0, 1.0), 500)


class Diary(il.Agent):
    """Remembers the rewards and how often it has seen an end and adapted; acts as it has been told to."""

    episodes_per_adapt: int = eqx.field(static=True, default=2)

    def init(self, key):
        return {"reward": jnp.zeros(()), "ends": jnp.zeros(()), "rounds": jnp.zeros(()), "steps": jnp.zeros(())}

    def act(self, key, memory, timestep):
        return jnp.full((4,), 0.1), None

    def observe(self, key, memory, transition: Transition):
        after = transition.next_timestep
        seen = {"reward": after.reward, "ends": after.last.astype(jnp.float32), "steps": jnp.ones(())}
        return memory | {name: memory[name] + x for name, x in seen.items()}

    def adapt(self, key, memory, episodes):
        assert episodes.valid.ndim == 2
        return memory | {"rounds": memory["rounds"] + 1.0}


def test_a_wrong_split_is_refused(monkeypatch):
    """As released versions have it: what is called training is the test set."""
    tasks = [SimpleNamespace(env_name="reach-v3", data=bytes([i])) for i in range(3)]
    wrong = SimpleNamespace(ML1=lambda skill, seed: SimpleNamespace(train_tasks=tasks[:2], test_tasks=tasks[1:]))
    monkeypatch.setattr(_metaworld, "package", lambda *names: wrong)
    with pytest.raises(ValueError, match="1 of 2 test tasks are training tasks"):
        _metaworld.variants("ML1 reach-v3")
    right = SimpleNamespace(ML1=lambda skill, seed: SimpleNamespace(train_tasks=tasks[:2], test_tasks=tasks[2:]))
    monkeypatch.setattr(_metaworld, "package", lambda *names: right)
    assert _metaworld.variants("ML1 reach-v3") == (tasks[:2], tasks[2:])


def test_features_of_places_are_tenths_of_a_metre():
    """Of the hand and two objects, now and a step ago, and of the goal; all else is as it is."""
    space = _metaworld.meta_spec().obs
    zero, ones = encode(space, jnp.zeros((39,))), jax.vmap(lambda obs: encode(space, obs))(jnp.eye(39))
    steps = np.diagonal(np.asarray(ones) - np.asarray(zero))
    places = [*range(3), *range(4, 7), *range(11, 14)]
    expected = np.ones(39)
    expected[[*places, *(18 + i for i in places), 36, 37, 38]] = 10.0
    np.testing.assert_allclose(steps, expected, rtol=1e-5)
    np.testing.assert_allclose(zero[:3], [0.0, -7.5, -2.0], rtol=1e-5)


def test_the_official_agent_sees_every_step_and_adapts_between_episodes():
    """Two environments, episodes of three steps; observations end in action, reward and end, and are bare after a reset."""
    agent = _metaworld.OfficialAgent(Diary(), SPEC, 2)
    fresh, later = np.zeros((2, 45)), np.full((2, 45), 0.5)
    later[:, -1] = 0.0
    for _episode in range(4):
        agent.adapt_action(fresh)
        for _ in range(2):
            agent.adapt_action(later)
    agent.adapt()
    memory = agent._memory
    np.testing.assert_array_equal(memory["steps"], [11, 11])  # the last step of all is not known yet
    np.testing.assert_array_equal(memory["ends"], [3, 3])
    np.testing.assert_array_equal(memory["rounds"], [1, 1])
    np.testing.assert_allclose(memory["reward"], [4.0, 4.0])  # an end hides its reward, two of three steps show theirs
    agent.init()
    assert not np.any(agent._memory["steps"])


def test_in_evaluation_environments_end_one_by_one():
    agent = _metaworld.OfficialAgent(Diary(), SPEC, 2)
    fresh, later = np.zeros((2, 45)), np.full((2, 45), 0.5)
    later[:, -1] = 0.0
    agent.eval_action(fresh)
    agent.eval_action(later)
    agent.eval_action(np.stack([fresh[0], later[1]]))
    np.testing.assert_array_equal(agent._memory["ends"], [1, 0])
    np.testing.assert_array_equal(agent._timestep.first, [True, False])


@pytest.fixture(scope="module")
def reach():
    pytest.importorskip("metaworld")
    found = il.bridges.metaworld("ML1 reach-v3")
    yield found
    found.env.host.pool.close()


@pytest.mark.filterwarnings("ignore")
def test_skills_are_played_again_the_same_and_goals_are_hidden(reach):
    collector = il.JaxCollector(reach.env, reach.train, 2, 1)
    agent = Random(reach.env.spec)
    collect = jax.jit(lambda key: collector.collect(key, agent, collector.init(key, agent))[0])
    first, again = collect(KEY), collect(KEY)
    jax.tree.map(np.testing.assert_array_equal, first.transitions, again.transitions)
    assert reach.train.num_tasks == reach.test.num_tasks == 50
    assert not np.any(first.transitions.timestep.obs[..., -3:])
    assert first.transitions.next_timestep.last.sum() == 2
    assert (first.transitions.next_timestep.discount == 1).all()


@pytest.mark.filterwarnings("ignore")
def test_agents_see_what_meta_world_shows():
    """The simulator itself, beside ours, with the same actions."""
    pytest.importorskip("metaworld")
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    train, test = _metaworld.variants("ML1 reach-v3")
    theirs, ours = ALL_V3_ENVIRONMENTS["reach-v3"](), _skills.Skills([*train, *test])
    theirs.set_task(train[3])
    ours.set_task({"variant": 3})
    np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32):
        (obs, reward, *_), (seen, earned, *_) = theirs.step(action), ours.step(action)
        np.testing.assert_array_equal(seen, obs)
        assert earned == reward / 10
    theirs.close()
    ours.close()


@pytest.mark.filterwarnings("ignore")
def test_the_reward_for_training_says_how_far_the_goal_is():
    """As the simulator itself knows it, to 6 mm, for training and test tasks."""
    pytest.importorskip("metaworld")
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    row = il.benchmark("ml1-reach")
    train, test = _metaworld.variants("ML1 reach-v3")
    simulator = ALL_V3_ENVIRONMENTS["reach-v3"]()
    for variant, task in ((0, train[0]), (53, test[3])):
        simulator.set_task(task)
        simulator.reset()
        for action in np.random.default_rng(0).uniform(-1, 1, (20, 4)).astype(np.float32):
            obs, reward, *_ = simulator.step(action)
            distance = np.linalg.norm(simulator.tcp_center - simulator._target_pos)
            after = il.TimeStep(jnp.asarray(obs), action, jnp.asarray(reward / 10), jnp.ones(()), False, False)
            step = Transition(after, action, after, jnp.ones((), bool), None)
            shaped = row.shaped(_metaworld.Variant(jnp.asarray(variant)), step)
            said = -0.1 * np.log(2 * float(shaped) - reward / 10)
            assert abs(said - distance) < 0.006
    simulator.close()
    row.env.host.pool.close()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["ML1", "ML1 dance-v3", "ML11", "reach-v3"])
def test_unknown_names_are_said(name):
    pytest.importorskip("metaworld")
    with pytest.raises(ValueError, match="metaworld"):
        il.bridges.metaworld(name)


NO_ACTIONS = np.zeros((4, 4))


class Sprinters:
    """Copy i succeeds after i + 1 steps, again and again; the last two never do, and are cut off after five."""

    num_envs = 4

    def __init__(self):
        self.steps = np.zeros(4, int)

    def get_attr(self, name):
        return ["run"] * 4

    def call(self, name, *arguments):
        return (False,) * 4

    def step(self, actions):
        self.steps += 1
        succeeds = self.steps == [1, 2, 99, 99]
        cut_off = self.steps == 5
        self.steps[succeeds | cut_off] = 0
        return None, None, succeeds, cut_off, {"final_info": {"success": succeeds.astype(float)}}


def test_every_goal_counts_alike_in_the_official_evaluation():
    judged = _metaworld.EveryGoal(Sprinters(), 3)
    ended = np.array([judged.step(NO_ACTIONS)[2] for _ in range(4)])
    assert ended[:, 0].all(), "before evaluation begins nothing is held back"
    judged.call("toggle_terminate_on_success", True)
    judged._envs.steps[:] = 0
    ended = np.array([np.logical_or(*judged.step(NO_ACTIONS)[2:4]) for _ in range(16)])
    assert ended.sum(0).tolist() == [3, 3, 3, 3]
    assert ended[:3, 0].all()
    assert np.flatnonzero(ended[:, 3]).tolist() == [4, 9, 14]
    assert np.mean(judged.successes[0]["run"]) == 0.5
    assert judged.first() == 1.0, "as Meta-World counts: the fastest"
    judged.call("toggle_terminate_on_success", False)
    assert np.array([judged.step(NO_ACTIONS)[2] for _ in range(4)])[:, 0].all(), "the next adaptation sees every end"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_official_evaluation_judges_our_agents():
    pytest.importorskip("metaworld")
    verdict = il.bridges.official_evaluation(Random(SPEC), "ML1 reach-v3", adaptation_episodes=1, evaluation_episodes=1)
    assert 0 <= verdict.success < 0.9
    assert verdict.success <= verdict.first <= 1
    assert list(verdict.by_skill) == ["reach-v3"]
