"""PEARL: efficient off-policy meta-RL via probabilistic context variables (Rakelly et al. 2019).

An encoder infers a Gaussian over task vectors z from the transitions of a trial; a soft actor-critic conditioned on z
is trained off-policy, on all that was ever played on a task, while the context comes from the newest trial on it. At
test time the context is what the agent itself has done in the trial, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from innerloop._benchmark import Benchmark
from innerloop._buffer import TaskReplay, empty_task_replay
from innerloop._env import Env, EnvSpec, blank_transition, encode
from innerloop._learner import Learner, apply_gradients
from innerloop._task import Finite
from innerloop._types import Key, Metrics, Task, Transition, Trials
from innerloop.agents import Posterior
from innerloop.agents._belief import Latent
from innerloop.agents._posterior import ContextEncoder, EncoderName, make_encoder
from innerloop.algorithms._soft import OffPolicy, Played, SoftNets, SoftObjective, Views, after_warmup, follow
from innerloop.losses import gaussian_kl
from innerloop.nn import CoreOptions, PolicyName, PolicyOptions


class Step(NamedTuple):
    """What the actor-critic learns from: a step as features, its reward, and whether the return goes on (1, or 0)."""

    obs: Float[Array, "*step features"]
    action: Array
    reward: Float[Array, "*step"]
    next_obs: Float[Array, "*step features"]
    goes_on: Float[Array, "*step"]


class Params(NamedTuple):
    """What is trained."""

    encoder: ContextEncoder
    nets: SoftNets


class PEARLState(NamedTuple):
    """Parameters, slow copies of the nets, optimiser state; steps and newest trials of each task, which has a slot of
    its own; the slot that is filled next, if tasks never come again; updates done."""

    params: Params
    slow: SoftNets
    opt_state: optax.OptState
    replay: TaskReplay
    newest: TaskReplay
    next_slot: Int[Array, ""]
    num_updates: Int[Array, ""]


class PEARLLearner(Learner):
    """Encoder and soft actor-critic, trained together on tasks drawn from replay.

    Args:
        make_encoder: builds the encoder from `key=`.
        objective, optimizer: of actor, critics and temperature; the encoder learns from the critics' error and from
            `kl_coef` KL(q(z|c) ‖ N(0, 1)).
        tasks: the training tasks if there are finitely many: what is played on one of them later joins what is known
            of it. None: every trial is on a task of its own.
        shaped: a denser reward that actor and critics are trained on; the encoder never sees it.
        num_episodes: of a trial. num_contexts: newest trials on a task, from which contexts come: the first episodes of
            one of them, as many as the agent may have played when it first looks at its posterior, or later.
        num_slots: tasks that replay has room for, if `tasks` does not say. capacity: steps kept of each.
        num_prior_episodes: first episodes of a trial whose z comes from the prior.
        context_steps: so many of a context's steps, drawn without replacement, are shown to the encoder; None: all.
        tasks_per_step, batch_size: tasks of a gradient step, and steps of each of them.
    """

    make_encoder: Callable[..., ContextEncoder] = eqx.field(static=True)
    objective: SoftObjective
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    spec: EnvSpec
    tasks: Finite | None
    shaped: Callable[[Task, Transition], Array] | None = eqx.field(static=True)
    num_episodes: int = eqx.field(static=True)
    num_slots: int = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    tasks_per_step: int = eqx.field(static=True, default=16)
    batch_size: int = eqx.field(static=True, default=16)
    num_gradient_steps: int = eqx.field(static=True, default=50)
    num_warmup: int = eqx.field(static=True, default=1)
    num_contexts: int = eqx.field(static=True, default=4)
    num_prior_episodes: int = eqx.field(static=True, default=1)
    kl_coef: float = eqx.field(static=True, default=0.1)
    context_steps: int | None = eqx.field(static=True, default=None)

    def init(self, key: Key) -> PEARLState:
        encoder_key, nets_key, latent_key = jax.random.split(key, 3)
        encoder = self.make_encoder(key=encoder_key)
        z = encoder.posterior(encoder.empty()).draw(latent_key)
        params = Params(encoder, self.objective.init(nets_key, self.spec.obs.num_features + z.shape[0]))
        step = blank_transition(self.spec)
        shape = (self.num_episodes, self.spec.max_steps)
        trial = jax.tree.map(lambda x: jnp.zeros((*shape, *x.shape), x.dtype), step)
        return PEARLState(
            params,
            jax.tree.map(jnp.copy, params.nets),
            self.optimizer.init(eqx.filter(params, eqx.is_inexact_array)),
            empty_task_replay(self._step_of(step, step.next_timestep.reward), self.num_slots, self.capacity),
            empty_task_replay(trial, self.num_slots, self.num_contexts),
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
        )

    def agent(self, state: PEARLState) -> Posterior:
        return Posterior(state.params.encoder, state.params.nets.policy, self.spec, self.num_prior_episodes)

    def update(self, key: Key, state: PEARLState, experience: Trials) -> tuple[PEARLState, Metrics]:
        state = self._keep(state, experience)
        state = state._replace(num_updates=state.num_updates + 1)
        nets = self.objective.cooled(state.params.nets, state.num_updates)
        state = state._replace(params=state.params._replace(nets=nets))

        def step(state: PEARLState, key: Key) -> tuple[PEARLState, Metrics]:
            return self._learn(key, state)

        return after_warmup(state.num_updates > self.num_warmup, key, step, state, self.num_gradient_steps)

    def _step_of(self, transition: Transition, reward: Float[Array, ""]) -> Step:
        obs, next_obs = transition.timestep.obs, transition.next_timestep.obs
        space, goes_on = self.spec.obs, transition.next_timestep.discount
        return Step(encode(space, obs), transition.action, reward, encode(space, next_obs), goes_on)

    def _keep(self, state: PEARLState, trials: Trials) -> PEARLState:
        """Put a batch of trials into replay."""
        num_trials = trials.transitions.valid.shape[0]
        if self.tasks is None:
            slots = (state.next_slot + jnp.arange(num_trials)) % self.num_slots
            state = state._replace(
                replay=state.replay.clear(slots),
                newest=state.newest.clear(slots),
                next_slot=(state.next_slot + num_trials) % self.num_slots,
            )
        else:
            slots = jax.vmap(self.tasks.find)(trials.tasks)
        transitions = jax.tree.map(
            lambda x: x.reshape(num_trials, -1, *x.shape[3:]), trials.transitions._replace(extras=None)
        )
        num_steps = transitions.valid[0].size

        def steps_of(task: Task, transition: Transition) -> Step:
            reward = transition.next_timestep.reward if self.shaped is None else self.shaped(task, transition)
            return self._step_of(transition, reward)

        of_episodes = jax.vmap(jax.vmap(steps_of, in_axes=(None, 0)), in_axes=(None, 0))
        steps = jax.vmap(of_episodes)(trials.tasks, transitions)
        steps = jax.tree.map(lambda x: x.reshape(num_trials * num_steps, *x.shape[3:]), steps)
        replay = state.replay.insert(jnp.repeat(slots, num_steps), steps, transitions.valid.reshape(-1))
        newest = state.newest.insert(slots, transitions, jnp.ones((num_trials,), bool))
        return state._replace(replay=replay, newest=newest)

    def _learn(self, key: Key, state: PEARLState) -> tuple[PEARLState, Metrics]:
        """One gradient step."""
        slots_key, context_key, steps_key, loss_key = jax.random.split(key, 4)
        known = jnp.where(state.replay.num_items > 0, 0.0, -jnp.inf)
        slots = jax.random.categorical(slots_key, known, shape=(self.tasks_per_step,))

        def keys(key: Key) -> Array:
            return jax.random.split(key, self.tasks_per_step)

        context = jax.vmap(lambda key, slot: self._context(key, state.newest, slot))(keys(context_key), slots)
        steps = jax.vmap(lambda key, slot: state.replay.sample(key, slot, self.batch_size))(keys(steps_key), slots)
        loss = eqx.filter_grad(self._loss, has_aux=True)
        gradients, told = loss(state.params, loss_key, state.slow, context, steps)
        params, opt_state = apply_gradients(self.optimizer, gradients, state.opt_state, state.params)
        slow = follow(state.slow, params.nets, self.objective.rate)
        return state._replace(params=params, slow=slow, opt_state=opt_state), told

    def _context(self, key: Key, newest: TaskReplay, slot: Int[Array, ""]) -> Transition:
        """First episodes of one of the newest trials on a task, as a sequence."""
        trial_key, number_key, steps_key = jax.random.split(key, 3)
        trial = jax.tree.map(lambda x: x[0], newest.sample(trial_key, slot, 1))
        number = jax.random.randint(number_key, (), self.num_prior_episodes, self.num_episodes + 1)
        shown = jnp.arange(self.num_episodes) < number
        trial = trial._replace(valid=trial.valid & shown[:, None])
        context = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), trial)
        if self.context_steps is None:
            return context
        order = jnp.where(context.valid, jax.random.uniform(steps_key, context.valid.shape), -1.0)
        _, chosen = jax.lax.top_k(order, min(self.context_steps, order.size))
        return jax.tree.map(lambda x: x[chosen], context)

    def _loss(
        self, params: Params, key: Key, slow: SoftNets, context: Transition, steps: Step
    ) -> tuple[Float[Array, ""], Metrics]:
        """Of `context` `[task time]` and `steps` `[task step]`."""
        draw_key, loss_key = jax.random.split(key)

        def infer(transitions: Transition) -> Latent:
            return params.encoder.posterior(params.encoder.write(params.encoder.empty(), transitions))

        latent = jax.vmap(infer)(context)
        z = jax.vmap(Latent.draw)(latent, jax.random.split(draw_key, self.tasks_per_step))
        divergence = jax.vmap(gaussian_kl)(*latent).mean()

        def with_task(obs: Float[Array, "task step features"], z: Float[Array, "task latent"]) -> Array:
            everywhere = jnp.broadcast_to(z[:, None], (*obs.shape[:2], z.shape[1]))
            return jnp.concatenate([obs, everywhere], axis=-1)

        after = with_task(steps.next_obs, jax.lax.stop_gradient(z))
        weight = jnp.full(steps.reward.shape, 1.0 / steps.reward.size)
        played = Played(steps.action, steps.reward, steps.goes_on, weight)
        views = Views(with_task(steps.obs, z), after, after)
        views, played = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (views, played))
        loss, (told, _) = self.objective(loss_key, params.nets, slow, views, played)
        return loss + self.kl_coef * divergence, told | {"belief_kl": divergence}


@dataclass(frozen=True)
class PEARL:
    """Sample a task from the posterior for each episode; soft actor-critic on replayed steps."""

    latent_size: int = 5
    """Dimensions of the task vector."""
    encoder: EncoderName = "product"
    """A product of one Gaussian for each transition, or a recurrent net that reads them in order."""
    encoder_widths: tuple[int, ...] = (64, 64)
    """Its hidden layers (recurrent: the last one is the memory)."""
    core_options: CoreOptions = field(default_factory=CoreOptions)
    """What a recurrent encoder has beside its width."""
    next_obs: bool = False
    """Show the product encoder where a step led, too: for tasks that differ in dynamics."""
    ignored: tuple[int, ...] = ()
    """Entries of the observation, counted from 0, that encoder, actor and critics do not look at: what tells training tasks
    apart, and does not say what they are."""
    policy: PolicyName = "mlp"
    """How the task vector shapes the policy; with `mlp` it is one more input. Critics always have it as an input."""
    policy_options: PolicyOptions = field(default_factory=PolicyOptions)
    """What the policy has beside its layers."""
    kl_coef: float = 0.1
    """Weight of the KL of the posterior to the standard normal."""
    num_prior_episodes: int = 1
    """First episodes of a trial whose task vector comes from the prior, whatever has been seen."""
    context_steps: int | None = None
    """Steps that a context consists of in training, drawn from its episodes; none: all. Agents that play see all, which
    weigh no more than so many."""
    tasks_per_step: int = 16
    """Tasks of a gradient step, among which its `batch_size` steps are shared out."""
    num_contexts: int = 4
    """Newest trials on a task that contexts come from."""
    num_slots: int = 256
    """Trials that replay holds if training tasks never come again; otherwise each task has its place."""
    shaped: bool = True
    """Train actor and critics on the benchmark's denser reward, if it has one; the encoder never sees it."""
    training: OffPolicy = field(default_factory=OffPolicy)
    """Budget and optimisation; `capacity` is in steps of one task, `window`, `burn_in` and `priority` must be left alone."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> PEARLLearner:
        """The learner for a benchmark."""
        training, spec = self.training, benchmark.env.spec
        if self.ignored:
            spec = spec.ignoring(self.ignored)
        if training.batch_size % self.tasks_per_step:
            raise ValueError(
                f"batch_size={training.batch_size}: must be a multiple of tasks_per_step={self.tasks_per_step}."
            )
        if (training.window, training.burn_in) != (1, 0):
            raise ValueError(
                f"window={training.window}, burn_in={training.burn_in}: the policy has no memory; leave them at 1 and 0."
            )
        if training.priority:
            raise ValueError(f"priority={training.priority}: steps of a task are replayed uniformly; leave it at 0.")
        if not 1 <= self.num_prior_episodes <= benchmark.num_episodes:
            raise ValueError(
                f"num_prior_episodes={self.num_prior_episodes}: {benchmark.name} has trials of "
                f"{benchmark.num_episodes} episodes; choose 1 to as many."
            )
        if self.context_steps is not None and (self.context_steps < 1 or self.encoder != "product"):
            raise ValueError(
                f"context_steps={self.context_steps}: must be at least 1, and steps are drawn for encoder='product' alone, "
                f"which reads them in any order; here encoder={self.encoder!r}."
            )
        tasks = benchmark.train if isinstance(benchmark.train, Finite) else None
        capacity = training.capacity
        if tasks is None:
            capacity = min(capacity, benchmark.num_episodes * spec.max_steps)  # A slot holds one trial.
            if training.num_tasks > self.num_slots:
                raise ValueError(
                    f"num_slots={self.num_slots}: {benchmark.name} draws new tasks for each trial, so num_tasks="
                    f"{training.num_tasks} trials at a time need at least as many slots."
                )

        def make(*, key: Key) -> Any:
            return make_encoder(
                self.encoder,
                spec,
                self.latent_size,
                key=key,
                widths=self.encoder_widths,
                core_options=self.core_options,
                next_obs=self.next_obs,
                most=self.context_steps,
            )

        return PEARLLearner(
            make,
            replace(
                training.objective(spec.action),
                num_context=self.latent_size,
                policy=self.policy,
                policy_options=self.policy_options,
            ),
            training.optimizer(),
            spec,
            tasks,
            benchmark.shaped if self.shaped else None,
            benchmark.num_episodes,
            tasks.num_tasks if tasks else self.num_slots,
            capacity,
            self.tasks_per_step,
            training.batch_size // self.tasks_per_step,
            training.num_gradient_steps,
            training.num_warmup,
            self.num_contexts,
            self.num_prior_episodes,
            self.kl_coef,
            self.context_steps,
        )
