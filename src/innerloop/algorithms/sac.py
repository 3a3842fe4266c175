"""Soft actor-critic (Haarnoja et al. 2018a, 2018b; discrete actions: Christodoulou 2019), on replayed windows of trials.

On observations alone it is the off-policy base learner. On a recurrent summary of the trial (`core`), trained on whole
windows, it is off-policy recurrent meta-RL: returns then flow over the ends of episodes within a trial.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from innerloop._benchmark import Benchmark
from innerloop._buffer import Replay, empty_replay
from innerloop._env import Discrete, Env, EnvSpec, Space, restart
from innerloop._learner import Learner, apply_gradients
from innerloop._rollout import where
from innerloop._types import Key, Memory, Metrics, TimeStep, Transition, Trials
from innerloop.agents._soft import Soft, SoftPolicy
from innerloop.agents._summary import History, Present, Summary
from innerloop.algorithms._sequences import as_sequences, cut
from innerloop.losses import weights
from innerloop.nn import MLP, CoreName, Linear


class Critic(eqx.Module):
    """Q(x, a): of one action as the policy's `Choice.features` give it, or of all discrete ones at once."""

    net: MLP
    head: Linear
    space: Space

    def __init__(self, key: Key, num_in: int, space: Space, widths: tuple[int, ...]):
        net_key, head_key = jax.random.split(key)
        is_discrete = isinstance(space, Discrete)
        num_in += 0 if is_discrete else space.num_features
        self.net = MLP(net_key, num_in, widths, "relu")
        self.head = Linear(head_key, widths[-1] if widths else num_in, space.num_features if is_discrete else 1)
        self.space = space

    def all(self, x: Float[Array, " features"]) -> Float[Array, " actions"]:
        """Of every discrete action."""
        return self.head(self.net(x))

    def __call__(self, x: Float[Array, " features"], action: Float[Array, " width"]) -> Float[Array, ""]:
        if isinstance(self.space, Discrete):
            return self.all(x) @ action
        return self.head(self.net(jnp.concatenate([x, action])))[0]


class SoftNets(eqx.Module):
    """A policy, two critics and the temperature α: what soft actor-critics train, and the losses that train them."""

    policy: SoftPolicy
    critics: tuple[Critic, Critic]
    log_alpha: Float[Array, ""]

    def lowest(self, x: Float[Array, " features"], action: Float[Array, " width"]) -> Float[Array, ""]:
        """The lower of the two critics' values."""
        first, second = self.critics
        return jnp.minimum(first(x, action), second(x, action))

    def soft_value(
        self, key: Key, nets: "SoftNets", x: Float[Array, " features"], judged: Float[Array, " features"]
    ) -> Float[Array, ""]:
        """E_a[min Q(judged, a) - α log π(a|x)], with these critics and the policy and temperature of `nets`.

        `x` and `judged` are the same situation as the policy's summary and as these critics' summary show it.
        """
        alpha = jnp.exp(nets.log_alpha)
        if isinstance(nets.policy.space, Discrete):
            logits = nets.policy.logits(x)
            lowest = jnp.minimum(self.critics[0].all(judged), self.critics[1].all(judged))
            return (jnp.exp(logits) * (lowest - alpha * logits)).sum()
        choice = nets.policy.sample(key, x)
        return self.lowest(judged, choice.features) - alpha * choice.log_prob

    def critic_error(
        self, x: Float[Array, " features"], action: Float[Array, " width"], target: Float[Array, ""]
    ) -> Float[Array, ""]:
        """½ Σ (Q - target)²."""
        first, second = (jnp.square(critic(x, action) - target) for critic in self.critics)
        return 0.5 * (first + second)

    def policy_loss(self, key: Key, x: Float[Array, " features"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """-E[min Q - α log π], with constant critics and temperature; and the entropy of the policy."""
        fixed = jax.lax.stop_gradient(self)
        mixed = eqx.tree_at(lambda nets: nets.policy, fixed, self.policy)
        if isinstance(self.policy.space, Discrete):
            logits = self.policy.logits(x)
            entropy = -(jnp.exp(logits) * logits).sum()
            return -fixed.soft_value(key, mixed, x, x), entropy
        choice = self.policy.sample(key, x)
        alpha = jnp.exp(fixed.log_alpha)
        return alpha * choice.log_prob - fixed.lowest(x, choice.features), -choice.log_prob

    def temperature_loss(self, entropy: Float[Array, ""], target: float) -> Float[Array, ""]:
        """log α (H - target): raises α where the entropy is below its target."""
        return self.log_alpha * jax.lax.stop_gradient(entropy - target)


def target_entropy(space: Space) -> float:
    """Haarnoja et al. 2018b: minus the number of dimensions. Discrete: 0.3 of the uniform policy's entropy."""
    return 0.3 * math.log(space.num_values) if isinstance(space, Discrete) else -float(space.num_features)


def follow(slow: Any, fast: Any, rate: float) -> Any:
    """Target networks: slow + rate (fast - slow)."""
    return jax.tree.map(lambda x, y: x + rate * (y - x) if eqx.is_inexact_array(x) else x, slow, fast)


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
        num_warmup: updates in which nothing is learned and replay is filled.
        across_episodes: whether the trial is the MDP: returns flow over ends of episodes and stop with the trial.
    """

    make_summary: Callable[..., Summary] = eqx.field(static=True)
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    spec: EnvSpec = eqx.field(static=True)
    widths: tuple[int, ...] = eqx.field(static=True, default=(256, 256))
    window: int = eqx.field(static=True, default=1)
    burn_in: int = eqx.field(static=True, default=0)
    capacity: int = eqx.field(static=True, default=100_000)
    batch_size: int = eqx.field(static=True, default=256)
    num_gradient_steps: int = eqx.field(static=True, default=50)
    num_warmup: int = eqx.field(static=True, default=1)
    gamma: float = eqx.field(static=True, default=0.99)
    rate: float = eqx.field(static=True, default=0.005)
    initial_alpha: float = eqx.field(static=True, default=1.0)
    learn_alpha: bool = eqx.field(static=True, default=True)
    across_episodes: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        for name in ("window", "capacity", "batch_size", "num_gradient_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"SAC({name}={getattr(self, name)}): must be at least 1.")
        if not 0 <= self.burn_in < self.window:
            raise ValueError(f"SAC(burn_in={self.burn_in}): must be at least 0, and below window={self.window}.")

    def init(self, key: Key) -> SACState:
        summary_key, policy_key, first_key, second_key, memory_key = jax.random.split(key, 5)
        summary, space = self.make_summary(key=summary_key), self.spec.action
        num_features = summary.num_features
        critics = (
            Critic(first_key, num_features, space, self.widths),
            Critic(second_key, num_features, space, self.widths),
        )
        policy = SoftPolicy(policy_key, num_features, space, self.widths)
        params = Params(summary, SoftNets(policy, critics, jnp.asarray(math.log(self.initial_alpha))))
        timestep = restart(self.spec, jnp.zeros(self.spec.obs.shape, self.spec.obs.dtype))
        action = jnp.zeros(space.shape, space.dtype)
        step = Transition(timestep, action, timestep, jnp.zeros((), bool), None)
        steps = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.window, *x.shape)), step)
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
        replay = state.replay.insert(windows, keep=windows.transitions.valid.any(axis=1))
        state = state._replace(replay=replay, num_updates=state.num_updates + 1)

        def step(state: SACState, key: Key) -> tuple[SACState, Metrics]:
            return self._step(key, state)

        def learn(state: SACState) -> tuple[SACState, Metrics]:
            return jax.lax.scan(step, state, jax.random.split(learn_key, self.num_gradient_steps))

        def wait(state: SACState) -> tuple[SACState, Metrics]:
            told = jax.eval_shape(learn, state)[1]
            return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), told)

        state, told = jax.lax.cond(state.num_updates > self.num_warmup, learn, wait, state)
        return state, {name: x.mean() for name, x in told.items()}

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
        batch = state.replay.sample(sample_key, self.batch_size)
        gradients, told = eqx.filter_grad(self._loss, has_aux=True)(state.params, loss_key, state.slow, batch)
        params, opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, state.params)
        slow = follow(state.slow, params, self.rate)
        return state._replace(params=params, slow=slow, opt_state=opt_state), told

    def _loss(self, params: Params, key: Key, slow: Params, batch: Window) -> tuple[Float[Array, ""], Metrics]:
        see_key, value_key, policy_key = jax.random.split(key, 3)
        x = jax.vmap(partial(seen, see_key, params.summary))(batch)[0]
        after = jax.vmap(partial(seen, see_key, jax.lax.stop_gradient(params.summary)))(batch)[1]
        slow_after = jax.vmap(partial(seen, see_key, slow.summary))(batch)[1]
        nets, fixed = params.nets, jax.lax.stop_gradient(params.nets)
        valid = batch.transitions.valid

        def target(key: Key, after: Array, slow_after: Array, reward: Array, goes_on: Array) -> Array:
            value = slow.nets.soft_value(key, fixed, after, slow_after)
            return jax.lax.stop_gradient(reward + self.gamma * goes_on * value)

        reward = batch.transitions.next_timestep.reward
        keys = jax.random.split(value_key, valid.shape)
        aims = jax.vmap(jax.vmap(target))(keys, after, slow_after, reward, batch.goes_on)
        actions = jax.vmap(jax.vmap(nets.policy.features_of))(batch.transitions.action)
        errors = jax.vmap(jax.vmap(nets.critic_error))(x, actions, aims)
        keys = jax.random.split(policy_key, valid.shape)
        losses, entropies = jax.vmap(jax.vmap(nets.policy_loss))(keys, jax.lax.stop_gradient(x))
        weight = weights(valid & (jnp.arange(self.window) >= self.burn_in)[None])
        critic_loss, policy_loss = (weight * errors).sum(), (weight * losses).sum()
        entropy = (weight * entropies).sum()
        loss = critic_loss + policy_loss
        if self.learn_alpha:
            loss += nets.temperature_loss(entropy, target_entropy(self.spec.action))
        return loss, {
            "critic_loss": critic_loss,
            "policy_loss": policy_loss,
            "entropy": entropy,
            "alpha": jnp.exp(nets.log_alpha),
            "value": (weight * aims).sum(),
        }


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


def seen(key: Key, summary: Summary, window: Window) -> tuple[Array, Array]:
    """What is seen before each step of a window, and where its return goes on from, `[time features]`."""

    def step(memory: Memory, transition: Transition) -> tuple[Memory, tuple[Memory, Memory]]:
        after = where(transition.valid, summary.observe(key, memory, transition), memory)
        return after, (memory, after)

    _, (before, after) = jax.lax.scan(step, window.memory, window.transitions)
    return jax.vmap(summary.see)(before, window.transitions.timestep), jax.vmap(summary.see)(after, window.judged)


@dataclass(frozen=True)
class OffPolicy:
    """How a soft actor-critic is trained: budget, replay, optimiser, returns."""

    num_updates: int = 500
    """Training length: batches collected, each followed by `num_gradient_steps`."""
    num_tasks: int = 8
    """Trials in a batch, each on a task of its own."""
    num_gradient_steps: int = 50
    """Gradient steps after each batch of trials."""
    batch_size: int = 256
    """Windows in each of them."""
    window: int = 1
    """Steps of a window. 1 for policies without memory; the length of an episode or trial for recurrent ones."""
    burn_in: int = 0
    """Steps at the start of a window that only bring the memory up to date."""
    capacity: int = 100_000
    """Windows that are kept for replay."""
    num_warmup: int = 1
    """Batches that only fill the replay."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    max_grad_norm: float = 10.0
    """Gradients are scaled down to this global norm."""
    gamma: float = 0.99
    """Discount for each step."""
    target_rate: float = 0.005
    """How far target networks move in a gradient step."""
    initial_alpha: float = 0.1
    """Temperature at the start."""
    learn_alpha: bool = True
    """Adjust the temperature until the policy has the target entropy."""
    widths: tuple[int, ...] = (128, 128)
    """Hidden layers of policy and critics."""

    @property
    def stream_steps(self) -> None:
        """Whole trials only."""
        return None

    def train_rounds(self, benchmark: Benchmark) -> int:
        """Rounds of a trial in training."""
        return benchmark.num_episodes

    def learner(self, env: Env, make_summary: Callable[..., Summary], across_episodes: bool) -> SAC:
        """A soft actor-critic with these settings."""
        return SAC(
            make_summary,
            optax.chain(optax.clip_by_global_norm(self.max_grad_norm), optax.adam(self.learning_rate)),
            env.spec,
            widths=self.widths,
            window=self.window,
            burn_in=self.burn_in,
            capacity=self.capacity,
            batch_size=self.batch_size,
            num_gradient_steps=self.num_gradient_steps,
            num_warmup=self.num_warmup,
            gamma=self.gamma,
            rate=self.target_rate,
            initial_alpha=self.initial_alpha,
            learn_alpha=self.learn_alpha,
            across_episodes=across_episodes,
        )


@dataclass(frozen=True)
class SoftActorCritic:
    """Off-policy actor-critic with entropy bonus, without memory or with a recurrent one."""

    memory: Literal["none", "gru", "lstm", "rnn"] = "none"
    """What the policy remembers: nothing, or a trial. With a memory the trial is the MDP (off-policy RL²)."""
    hidden_size: int = 64
    """Width of the memory."""
    training: OffPolicy = field(default_factory=OffPolicy)
    """Budget and optimisation."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> SAC:
        """The learner for a benchmark."""
        spec = benchmark.env.spec
        if self.memory == "none":
            return self.training.learner(benchmark.env, partial(Present, spec), across_episodes=False)
        core: CoreName = self.memory
        make_summary = partial(History, spec, core=core, hidden_size=self.hidden_size)
        return self.training.learner(benchmark.env, make_summary, across_episodes=True)
