"""Soft actor-critic (Haarnoja et al. 2018a, 2018b; discrete actions: Christodoulou 2019), on replayed windows of trials.

On observations alone it is the off-policy base learner. On a recurrent summary of the trial (`core`), trained on whole
windows, it is off-policy recurrent meta-RL: returns then flow over the ends of episodes within a trial.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from innerloop._benchmark import Benchmark
from innerloop._buffer import Replay, empty_replay
from innerloop._devices import over_tasks
from innerloop._env import Env, EnvSpec, blank_transition
from innerloop._learner import Learner, apply_gradients
from innerloop._rollout import where
from innerloop._types import Key, Memory, Metrics, TimeStep, Transition, Trials
from innerloop.agents._soft import Soft
from innerloop.agents._summary import History, Present, Summary
from innerloop.algorithms._sequences import as_sequences, cut
from innerloop.algorithms._soft import OffPolicy, Played, SoftNets, SoftObjective, Views, after_warmup, follow
from innerloop.losses import weights
from innerloop.nn import CoreName, CoreOptions


class Params(NamedTuple):
    """What is trained."""

    summary: Summary
    nets: SoftNets


class SACState(NamedTuple):
    """Parameters, slow copies of summary and nets for targets, optimiser state, replayed windows, updates done."""

    params: Params
    slow: Params
    opt_state: optax.OptState
    replay: Replay
    num_updates: Int[Array, ""]


class Window(NamedTuple):
    """A piece of a trial `[time]`: the memory at its start, what the value of each step is continued with, and whether
    it is (1, or 0 after the end)."""

    memory: Memory
    transitions: Transition
    judged: TimeStep
    goes_on: Float[Array, " time"]


class SAC(Learner):
    """Twin critics, a squashed or categorical policy, automatic temperature, replay of windows.

    A window starts with the memory that the agent had there when it was played (Kapturowski et al. 2019); in the first
    `burn_in` steps of it nothing is learned, so that the memory is the present net's from there on.

    Args:
        make_summary: builds what policy and critics are fed with, from `key=`.
        optimizer: one for all parts; their losses are added, and no gradient crosses from one part into another but
            from the critics' error into the summary.
        spec: of the env. window: steps of a piece; trials are cut into pieces, which never cross their ends.
        capacity: windows that are kept. batch_size: windows in a gradient step. num_gradient_steps: in an update.
        priority, priority_correction: exponents of prioritised replay (Schaul et al. 2016). A window's priority is .9 of
            its largest error and .1 of its mean one (Kapturowski et al. 2019). 0: uniform.
        num_warmup: updates in which nothing is learned and replay is filled.
        across_episodes: whether the trial is the MDP: returns flow over ends of episodes and stop with the trial.
    """

    make_summary: Callable[..., Summary] = eqx.field(static=True)
    objective: SoftObjective
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    spec: EnvSpec = eqx.field(static=True)
    window: int = eqx.field(static=True, default=1)
    burn_in: int = eqx.field(static=True, default=0)
    capacity: int = eqx.field(static=True, default=100_000)
    batch_size: int = eqx.field(static=True, default=256)
    num_gradient_steps: int = eqx.field(static=True, default=50)
    priority: float = eqx.field(static=True, default=0.0)
    priority_correction: float = eqx.field(static=True, default=0.4)
    num_warmup: int = eqx.field(static=True, default=1)
    across_episodes: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("window", "capacity", "batch_size", "num_gradient_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"SAC({name}={getattr(self, name)}): must be at least 1.")
        if not 0 <= self.burn_in < self.window:
            raise ValueError(f"SAC(burn_in={self.burn_in}): must be at least 0, and below window={self.window}.")
        for name in ("priority", "priority_correction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"SAC({name}={getattr(self, name)}): must be between 0 and 1.")

    def init(self, key: Key) -> SACState:
        summary_key, nets_key, memory_key = jax.random.split(key, 3)
        summary = self.make_summary(key=summary_key)
        params = Params(summary, self.objective.init(nets_key, summary.num_features))
        steps = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.window, *x.shape)), blank_transition(self.spec))
        item = Window(summary.init(memory_key), steps, steps.timestep, jnp.zeros((self.window,)))
        return SACState(
            params,
            jax.tree.map(jnp.copy, params),
            self.optimizer.init(eqx.filter(params, eqx.is_inexact_array)),
            empty_replay(item, self.capacity),
            jnp.zeros((), jnp.int32),
        )

    def agent(self, state: SACState) -> Soft:
        return Soft(state.params.summary, state.params.nets.policy)

    def update(self, key: Key, state: SACState, experience: Trials) -> tuple[SACState, Metrics]:
        cut_key, learn_key = jax.random.split(key)
        windows = self._windows(cut_key, self.agent(state), experience)
        replay = state.replay.insert(windows, keep=self._learned(windows).any(axis=1))
        state = state._replace(replay=replay, num_updates=state.num_updates + 1)
        nets = self.objective.cooled(state.params.nets, state.num_updates)
        state = state._replace(params=state.params._replace(nets=nets))

        def step(state: SACState, key: Key) -> tuple[SACState, Metrics]:
            return self._step(key, state)

        return after_warmup(state.num_updates > self.num_warmup, learn_key, step, state, self.num_gradient_steps)

    def _learned(self, windows: Window) -> Bool[Array, "window time"]:
        """Which steps are learned from: those that only warm up the memory are not."""
        return windows.transitions.valid & (jnp.arange(self.window) >= self.burn_in)[None]

    def _windows(self, key: Key, agent: Soft, trials: Trials) -> Window:
        """A batch of trials, cut."""
        sequences = as_sequences(trials)
        sequences = sequences._replace(transitions=sequences.transitions._replace(extras=None))
        judged, goes_on = jax.vmap(partial(continued, across=self.across_episodes))(sequences.transitions)
        pieces = cut(key, agent, sequences, self.window)

        def in_pieces(x: Array) -> Array:
            return x.reshape(-1, self.window, *x.shape[2:])

        return Window(pieces.memory, pieces.transitions, *jax.tree.map(in_pieces, (judged, goes_on)))

    def _step(self, key: Key, state: SACState) -> tuple[SACState, Metrics]:
        """One gradient step."""
        sample_key, loss_key = jax.random.split(key)
        replay = state.replay
        if self.priority:
            batch, place, weight = replay.draw(sample_key, self.batch_size, self.priority, self.priority_correction)
        else:
            batch, weight = replay.sample(sample_key, self.batch_size), jnp.ones((self.batch_size,))
        loss = eqx.filter_grad(self._loss, has_aux=True)
        gradients, (told, errors) = loss(state.params, loss_key, state.slow, batch, weight)
        params, opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, state.params)
        slow = follow(state.slow, params, self.objective.rate)
        if self.priority:
            replay = replay.reprioritise(place, errors)
        return state._replace(params=params, slow=slow, opt_state=opt_state, replay=replay), told

    def _loss(
        self, params: Params, key: Key, slow: Params, batch: Window, weight: Float[Array, " window"]
    ) -> tuple[Float[Array, ""], tuple[Metrics, Float[Array, " window"]]]:
        """Of weighted windows. Metrics, and what the windows' priorities should be."""
        see_key, loss_key = jax.random.split(key)
        now, after = over_tasks(seen, (see_key, params.summary), batch)
        slow_after = over_tasks(seen, (see_key, slow.summary), batch)[1]
        learned = self._learned(batch)
        reward = batch.transitions.next_timestep.reward
        played = Played(batch.transitions.action, reward, batch.goes_on, weights(learned) * weight[:, None])
        views, played = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (Views(now, after, slow_after), played))
        loss, (told, errors) = self.objective(loss_key, params.nets, slow.nets, views, played)
        of_window = jnp.where(learned, errors.reshape(learned.shape), 0.0)
        mean = of_window.sum(axis=1) / jnp.maximum(learned.sum(axis=1).astype(jnp.float32), 1.0)
        return loss, (told, 0.9 * of_window.max(axis=1) + 0.1 * mean)


def continued(transitions: Transition, across: bool) -> tuple[TimeStep, Float[Array, " time"]]:
    """What the return of each step of a trial `[time]` goes on from, and whether it does.

    Each episode an MDP: from the env's next time step, also after a truncation, but not after a termination. `across`:
    the trial an MDP, in which the last step of an episode leads to the first time step of the next one.
    """
    following = transitions.next_timestep
    if not across:
        return following, following.discount

    def back(later: tuple[TimeStep, Array], step: Transition) -> tuple[tuple[TimeStep, Array], tuple[TimeStep, Array]]:
        return where(step.valid, (step.timestep, jnp.ones(())), later), later

    end = (jax.tree.map(lambda x: x[-1], following), jnp.zeros(()))
    _, (later, goes_on) = jax.lax.scan(back, end, transitions, reverse=True)
    return jax.vmap(where)(following.last, later, following), goes_on


def seen(reader: tuple[Key, Summary], window: Window) -> tuple[Array, Array]:
    """What is seen before each step of a window, and where its return goes on from, `[time features]`."""
    key, summary = reader

    def step(memory: Memory, transition: Transition) -> tuple[Memory, tuple[Memory, Memory]]:
        after = where(transition.valid, summary.observe(key, memory, transition), memory)
        return after, (memory, after)

    _, (before, after) = jax.lax.scan(step, window.memory, window.transitions)
    return jax.vmap(summary.see)(before, window.transitions.timestep), jax.vmap(summary.see)(after, window.judged)


@dataclass(frozen=True)
class SoftActorCritic:
    """Off-policy actor-critic with entropy bonus, without memory or with a recurrent one."""

    memory: Literal["none"] | CoreName = "none"
    """What the policy remembers: nothing, or a trial. With a memory the trial is the MDP (off-policy RL²)."""
    hidden_size: int = 64
    """Width of the memory."""
    core_options: CoreOptions = field(default_factory=CoreOptions)
    """What the memory has beside its width."""
    training: OffPolicy = field(default_factory=OffPolicy)
    """Budget and optimisation."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> SAC:
        """The learner for a benchmark."""
        spec, training = benchmark.env.spec, self.training
        core = None if self.memory == "none" else self.memory
        if core and training.window == 1:
            num_steps = benchmark.num_episodes * benchmark.env.spec.max_steps
            raise ValueError(
                f"SoftActorCritic(memory={core!r}), window=1: a memory learns nothing from windows of one step; set window "
                f"to the {num_steps} steps of a trial, or a divisor of that, or memory to 'none'."
            )
        return SAC(
            partial(History, spec, core=core, hidden_size=self.hidden_size, core_options=self.core_options)
            if core
            else partial(Present, spec),
            training.objective(spec.action),
            training.optimizer(),
            spec,
            window=training.window,
            burn_in=training.burn_in,
            capacity=training.capacity,
            batch_size=training.batch_size,
            num_gradient_steps=training.num_gradient_steps,
            priority=training.priority,
            priority_correction=training.priority_correction,
            num_warmup=training.num_warmup,
            across_episodes=core is not None,
        )
