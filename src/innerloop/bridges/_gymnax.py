"""gymnax (Lange 2022): classic control, bsuite, MinAtar and small meta-learning problems.

The dynamics are the package's own `step_env` and `reset_env`, which do not reset. Its tasks are ours to say: parameters
that vary, and what its reset draws but a trial must keep.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop._env import Box, Discrete, Env, EnvSpec, Space, advance, restart
from innerloop._extras import package
from innerloop._task import Finite, Sampled, TaskDistribution
from innerloop._types import Key, TimeStep
from innerloop.bridges._bridge import Bridged, alike, as_arrays, bounded, flatten, lenient, scalar, split_draws

EXTRA = "gymnax"


class GymnaxTask(NamedTuple):
    """Values of the parameters that vary, and of the parts of the state that are held, in the env's order of names."""

    params: Float[Array, "*batch varied"]
    held: tuple[Array, ...]


class GymnaxEnv(Env):
    """An env of gymnax: its own rewards, endings and time limit.

    Observations other than a number are flattened to a vector. A step that terminates is no truncation, even if it is
    the last in time.
    """

    spec: EnvSpec
    package: Any = eqx.field(static=True)
    params: Any
    varied: tuple[str, ...] = eqx.field(static=True)
    held: tuple[str, ...] = eqx.field(static=True)

    @lenient()
    def __init__(
        self,
        name: str,
        varied: tuple[str, ...] = (),
        held: tuple[str, ...] = (),
        params: Mapping[str, Any] | None = None,
        **settings: Any,
    ):
        gym = package(EXTRA)
        if name not in gym.registered_envs:
            raise ValueError(f"gymnax(name={name!r}): choose one of {', '.join(gym.registered_envs)}.")
        self.package, standard = gym.make(name, **settings)
        _check_names(name, "vary", varied, [x for x, value in vars(standard).items() if isinstance(value, float)])
        _check_names(name, "params", tuple(params or ()), list(vars(standard)))
        standard = standard.replace(**(params or {}))
        state = jax.eval_shape(self.package.reset_env, jax.random.key(0), standard)[1]
        obs, action = self.package.observation_space(standard), self.package.action_space(standard)
        _check_names(name, "hold", held, list(vars(state)))
        self.params, self.varied, self.held = as_arrays(standard), varied, held
        self.spec = EnvSpec(_obs_space(name, obs), _action_space(name, action), int(standard.max_steps_in_episode))

    def _params(self, task: GymnaxTask) -> Any:
        return self.params.replace(**{name: task.params[i] for i, name in enumerate(self.varied)})

    def _see(self, obs: Any) -> Array:
        return obs.astype(jnp.int32) if isinstance(self.spec.obs, Discrete) else flatten(obs)

    @lenient()
    def reset(self, key: Key, task: GymnaxTask) -> tuple[Any, TimeStep]:
        params = self._params(task)
        obs, state = self.package.reset_env(key, params)
        if self.held:
            state = state.replace(**dict(zip(self.held, task.held, strict=True)))
            obs = self.package.observe(key, state, None, params)
        return as_arrays(state), restart(self.spec, self._see(obs))

    @lenient()
    def step(self, key: Key, task: GymnaxTask, state: Any, action: Array) -> tuple[Any, TimeStep]:
        params = self._params(task)
        obs, after, reward, terminated, _ = self.package.step_env(key, state, action, params)
        truncated = self.package.is_truncated(after, params)
        timestep = advance(
            self._see(obs), action, scalar(reward), terminated=terminated, truncated=truncated & ~terminated
        )
        return alike(after, state), timestep


def _check_names(env: str, argument: str, names: tuple[str, ...], known: list[str]) -> None:
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ValueError(f"gymnax({env!r}, {argument}={', '.join(wrong)}): choose among {', '.join(known)}.")


def _obs_space(name: str, space: Any) -> Space:
    spaces = package(EXTRA, "environments.spaces")
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.Box):
        size = 1
        for length in space.shape:
            size *= int(length)
        return Box((size,))
    raise ValueError(f"gymnax({name!r}): observations are {space}; only Discrete and Box are bridged.")


def _action_space(name: str, space: Any) -> Space:
    spaces = package(EXTRA, "environments.spaces")
    if isinstance(space, spaces.Discrete):
        return Discrete(int(space.n))
    if isinstance(space, spaces.Box):
        return bounded(f"gymnax({name!r})", space, tuple(int(x) for x in space.shape), space.low, space.high)
    raise ValueError(f"gymnax({name!r}): actions are {space}; only Discrete and Box are bridged.")


def gymnax(
    name: str,
    *,
    vary: Mapping[str, tuple[float, float]] | None = None,
    hold: tuple[str, ...] = (),
    num_draws: int = 0,
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> Bridged:
    """gymnax's env `name`; its tasks are uniform draws of parameters, and what is held of the state.

    `vary`: parameters that are floats, with their range. `hold`: parts of the state that `reset` draws and that a task
    keeps for all its episodes, such as where the goal is. `params`: other values for all tasks. `num_draws`: make so many
    draws once, leave doubles out, and hold a fifth of the rest out for testing; with 0, training and test tasks have the
    same distribution, from which none is drawn twice (if it is continuous). `settings` go to the package's `make`.
    """
    ranges = dict(vary or {})
    for parameter, (low, high) in ranges.items():
        if not low < high:
            raise ValueError(f"gymnax({name!r}, vary={parameter}: ({low}, {high})): low must be below high.")
    if num_draws < 0:
        raise ValueError(f"gymnax({name!r}, num_draws={num_draws}): must not be negative.")
    env = GymnaxEnv(name, tuple(ranges), hold, params, **settings)
    if not ranges and not hold:
        if num_draws:
            raise ValueError(f"gymnax({name!r}, num_draws={num_draws}): nothing to draw; say what to vary or to hold.")
        single = Finite(GymnaxTask(jnp.zeros((1, 0)), ()))
        return Bridged(env, single, single)
    lows, highs = (jnp.asarray([bounds[i] for bounds in ranges.values()], jnp.float32) for i in (0, 1))

    @lenient()
    def sample(key: Key) -> GymnaxTask:
        params_key, reset_key = jax.random.split(key)
        values = jax.random.uniform(params_key, lows.shape, minval=lows, maxval=highs)
        task = GymnaxTask(values, ())
        if hold:
            state = as_arrays(env.package.reset_env(reset_key, env._params(task))[1])
            task = GymnaxTask(values, tuple(getattr(state, part) for part in hold))
        return task

    tasks: TaskDistribution = Sampled(sample)
    if num_draws:
        return Bridged(env, *split_draws(tasks, jax.random.key(seed), num_draws))
    return Bridged(env, tasks, tasks)
