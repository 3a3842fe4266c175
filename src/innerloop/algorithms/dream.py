"""DREAM: decoupling exploration and exploitation in meta-RL without sacrifices (Liu et al. 2021).

An encoder that is told the task squeezes out of it what a policy needs to solve it. A decoder learns to read the same off
a trajectory, and an exploration policy is paid for each step by how much better the decoder can tell after it. Each
of the two policies can be learned without the other; the encoder is thrown away after training.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from innerloop._benchmark import Benchmark
from innerloop._env import Env, EnvSpec
from innerloop._learner import Learner, apply_gradients, clipped_adam
from innerloop._types import Key, Metrics, Transition, Trials
from innerloop.agents._decoders import DecoderName, TrajectoryDecoder, guesses, make_trajectory_decoder
from innerloop.agents._decoupled import Decoupled, TaskPolicy
from innerloop.agents._recurrent import Recurrent
from innerloop.algorithms._insider import Bottleneck, Informed, InformedMemory, Insider, TaskEncoder, ToldMemory
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._sequences import as_sequences
from innerloop.algorithms._task_code import CodeName, TaskCode
from innerloop.algorithms.ppo import PPO, OnPolicyState
from innerloop.losses import gaussian_log_prob, weights
from innerloop.nn import CoreName, CoreOptions


def information_gain(
    target: Float[Array, " latent"], guessed: Float[Array, "times latent"], deviation: float
) -> Float[Array, " time"]:
    """E[log q(z | τ_{:t+1}) - log q(z | τ_{:t})] over z ~ F(z | μ) with mean `target`, where q(z | τ) = N(g(τ), σ² I).

    The noise of z cancels: what is left are differences of squared distances.
    """
    log_likelihood = gaussian_log_prob(guessed, target[None]).sum(axis=1) / deviation**2
    return jnp.diff(log_likelihood)


class DREAMState(NamedTuple):
    """PPO's state of the exploitation policy (with the encoder) and of the exploration policy; decoder and optimiser."""

    exploiter: OnPolicyState
    explorer: OnPolicyState
    decoder: TrajectoryDecoder
    opt_state: optax.OptState

    @property
    def params(self) -> tuple[Any, Any, TrajectoryDecoder]:
        """All that is trained."""
        return self.exploiter.params, self.explorer.params, self.decoder


class DREAMLearner(Learner):
    """Two policies by PPO, each on its own episodes and rewards, and the decoder by maximum likelihood.

    The decoder learns first: what a step told is measured when it has caught up with the encoder, which has moved on.

    Args:
        exploiter: PPO, whose agent is `Informed`. explorer: PPO, whose agent is `Recurrent`.
        make_decoder: builds the `TrajectoryDecoder` from `key=`. optimizer: the decoder's.
        code: how a task is put to the encoder.
        deviation: ρ. decoder_deviation: σ of the decoder's q(z | τ).
        step_cost: c, taken off the information gain of each exploration step.
        num_exploration_episodes: how many a trial begins with.
        decoded_share: of the trials in which the exploitation policy is trained on the decoder's task vector.
        num_decoder_steps, batch_size: optimiser steps of the decoder in an update, and trials in each.
    """

    exploiter: PPO
    explorer: PPO
    make_decoder: Callable[..., TrajectoryDecoder] = eqx.field(static=True)
    optimizer: optax.GradientTransformation = eqx.field(static=True)
    code: TaskCode
    deviation: float = eqx.field(static=True)
    decoder_deviation: float = eqx.field(static=True)
    step_cost: float = eqx.field(static=True)
    num_exploration_episodes: int = eqx.field(static=True)
    decoded_share: float = eqx.field(static=True)
    num_decoder_steps: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)

    def init(self, key: Key) -> DREAMState:
        exploiter_key, explorer_key, decoder_key = jax.random.split(key, 3)
        decoder = self.make_decoder(key=decoder_key)
        opt_state = self.optimizer.init(eqx.filter(decoder, eqx.is_inexact_array))
        return DREAMState(self.exploiter.init(exploiter_key), self.explorer.init(explorer_key), decoder, opt_state)

    def _informed(self, state: DREAMState) -> Informed:
        informed = state.exploiter.params.agent
        assert isinstance(informed, Informed)
        return informed

    def agent(self, state: DREAMState) -> Decoupled:
        explorer = state.explorer.params.agent
        assert isinstance(explorer, Recurrent)
        return Decoupled(explorer, state.decoder, self._informed(state).policy, self.num_exploration_episodes)

    def player(self, state: DREAMState) -> Insider:
        return Insider(self.agent(state), self._informed(state).encoder, self.code, self.deviation, self.decoded_share)

    def update(self, key: Key, state: DREAMState, experience: Trials) -> tuple[DREAMState, Metrics]:
        exploit_key, explore_key, decode_key = jax.random.split(key, 3)
        codes = jax.vmap(self.code)(experience.tasks)
        exploring, exploiting = self._explored(experience), self._exploited(experience, codes)
        steps = as_sequences(exploring).transitions._replace(extras=None)
        state, decoder_loss = self._decode(decode_key, state, codes, steps)
        gain, told = self._look(state, codes, steps)
        explorer, explored = self.explorer.learn(explore_key, state.explorer, exploring, gain - self.step_cost)
        exploiter, exploited = self.exploiter.update(exploit_key, state.exploiter, exploiting)
        told |= _returns(exploiting, _memories(experience).is_told[:, 0])
        told |= {"decoder_loss": decoder_loss, "bottleneck": exploited.pop("prediction_loss")}
        for part, metrics in {"explore": explored, "exploit": exploited}.items():
            told |= {f"{part}_{name}": x for name, x in metrics.items()}
        return state._replace(explorer=explorer, exploiter=exploiter), told

    def _explored(self, experience: Trials) -> Trials:
        """The exploration episodes, as the explorer saw them."""
        num, memories = self.num_exploration_episodes, _memories(experience).agent.explorer
        memories = jax.tree.map(lambda x: x[:, :num], memories)
        return Trials(experience.tasks, memories, jax.tree.map(lambda x: x[:, :num], experience.transitions))

    def _exploited(self, experience: Trials, codes: Float[Array, "task features"]) -> Trials:
        """The other episodes, with what the task vectors in them are made of."""
        start = slice(self.num_exploration_episodes, None)
        memories = jax.tree.map(lambda x: x[:, start], _memories(experience))
        everywhere = jnp.broadcast_to(codes[:, None], (*memories.is_told.shape, codes.shape[1]))
        informed = InformedMemory(everywhere, memories.noise, memories.agent.z, memories.is_told)
        return Trials(experience.tasks, informed, jax.tree.map(lambda x: x[:, start], experience.transitions))

    def _look(
        self, state: DREAMState, codes: Float[Array, "task features"], steps: Transition
    ) -> tuple[Float[Array, "task time"], Metrics]:
        """What each exploration step `[task time]` told; of the batch, how much was said and what is still wrong."""
        target = jax.vmap(self._informed(state).encoder)(codes)
        guessed = jax.vmap(partial(guesses, state.decoder))(steps)
        gain = jax.vmap(partial(information_gain, deviation=self.decoder_deviation))(target, guessed)
        error = jnp.square(guessed[:, -1] - target).sum(axis=1).mean()
        spread = jnp.square(target - target.mean(axis=0, keepdims=True)).sum(axis=1).mean()
        return gain, {"information": gain.sum(axis=1).mean(), "decoder_error": error, "code_spread": spread} | {
            "explore_steps": steps.valid.astype(jnp.float32).sum(axis=1).mean()
        }

    def _decode(
        self, key: Key, state: DREAMState, codes: Float[Array, "task features"], steps: Transition
    ) -> tuple[DREAMState, Float[Array, ""]]:
        """Some steps towards log q(f(μ) | τ_{:t}), on average over all t, of the trajectories of this batch."""
        target = jax.vmap(self._informed(state).encoder)(codes)

        def loss(decoder: TrajectoryDecoder, target: Array, steps: Transition) -> Float[Array, ""]:
            guessed = jax.vmap(partial(guesses, decoder))(steps)
            known = jnp.concatenate([jnp.ones_like(steps.valid[:, :1]), steps.valid], axis=1)
            return -(weights(known) * gaussian_log_prob(guessed, target[:, None]).sum(axis=2)).sum()

        def step(carry: tuple[TrajectoryDecoder, Any], key: Key) -> tuple[Any, Float[Array, ""]]:
            decoder, opt_state = carry
            drawn = jax.random.choice(key, codes.shape[0], (self.batch_size,), replace=False)
            batch = jax.tree.map(lambda x: x[drawn], (target, steps))
            error, gradients = eqx.filter_value_and_grad(loss)(decoder, *batch)
            return apply_gradients(self.optimizer, gradients, opt_state, decoder), error

        keys = jax.random.split(key, self.num_decoder_steps)
        (decoder, opt_state), losses = jax.lax.scan(step, (state.decoder, state.opt_state), keys)
        return state._replace(decoder=decoder, opt_state=opt_state), losses.mean()


def _memories(experience: Trials) -> ToldMemory:
    """Those of the player, at the start of each round."""
    memories = experience.memories
    assert isinstance(memories, ToldMemory)
    return memories


def _returns(exploiting: Trials, is_told: Bool[Array, " task"]) -> Metrics:
    """The mean return of an exploitation episode, by where its task vector comes from; 0 if there is no such trial."""
    returns = exploiting.returns()
    returns = returns.reshape(returns.shape[0], -1).mean(axis=1)
    return {"told_return": (weights(is_told) * returns).sum(), "decoded_return": (weights(~is_told) * returns).sum()}


@dataclass(frozen=True)
class DREAM:
    """Explore for information about the task, then exploit it: two policies, each learned without the other."""

    num_exploration_episodes: int = 1
    """Episodes at the start of a trial that are for exploration; the others are for exploitation."""
    latent_size: int = 16
    """Dimensions of the task vector z."""
    deviation: float = 0.1
    """ρ: the standard deviation of z about what the encoder says."""
    decoder_deviation: float = 0.3
    """σ: the standard deviation of z about what the decoder says; with it scales what exploring earns, in nats."""
    bottleneck_coef: float = 0.005
    """Weight of the KL of the encoder's z to the standard normal: what is of no use to the policy must go."""
    step_cost: float = 0.0
    """c: what an exploration step costs, in nats; below 0 it pays not to end an episode that could still tell something."""
    explore_entropy_coef: float = 0.1
    """Weight of the entropy bonus of the exploration policy at the start; advantages are in nats there."""
    task_code: CodeName = "description"
    """What the encoder is told: the task, its integers in one-hot code; or its index in a finite training set."""
    decoded_share: float = 0.1
    """Share of the training trials in which the exploitation policy acts on the decoder's task vector."""
    encoder_widths: tuple[int, ...] = ()
    """Hidden layers of the task encoder; a linear one takes tasks apart in the same way whether it has seen them or not."""
    policy_widths: tuple[int, ...] = (128, 128)
    """Hidden layers of exploitation policy and value."""
    core: CoreName = "gru"
    """Kind of memory of the exploration policy."""
    hidden_size: int = 64
    """Its width, and that of a recurrent decoder; of the sum's net, the last layer."""
    core_options: CoreOptions = field(default_factory=CoreOptions)
    """What memories have beside their width."""
    input_widths: tuple[int, ...] = (128,)
    """Hidden layers between a transition and the memory, of both."""
    decoder: DecoderName = "gru"
    """What reads the task vector off a trajectory: a recurrent net, or the sum of what each step says by itself."""
    decoder_rate: float = 1e-2
    """Adam's step size for the decoder at the start; 0 at the end, linear in between."""
    num_decoder_steps: int = 16
    """Optimiser steps of the decoder in an update."""
    decoder_batch: int = 128
    """Trials in each of them."""
    training: OnPolicy = field(default_factory=OnPolicy)
    """PPO for both policies, and the budget."""

    def env(self, benchmark: Benchmark) -> Env:
        """What the agent plays."""
        return benchmark.env

    def learner(self, benchmark: Benchmark) -> DREAMLearner:
        """The learner for a benchmark."""
        self._check(benchmark)
        spec, code, training = benchmark.env.spec, TaskCode(benchmark.train, self.task_code), self.training
        explorer = partial(
            Recurrent,
            spec,
            core=self.core,
            hidden_size=self.hidden_size,
            core_options=self.core_options,
            input_widths=self.input_widths,
            feed_prev_obs=True,
        )
        bottleneck = {"make_predictor": self._make_bottleneck, "predict_coef": self.bottleneck_coef}
        return DREAMLearner(
            training.learner(partial(self._make_informed, spec, code.num_features), **bottleneck),
            self._explorer_training().learner(explorer),
            partial(
                make_trajectory_decoder,
                self.decoder,
                spec,
                self.latent_size,
                hidden_size=self.hidden_size,
                core_options=self.core_options,
                input_widths=self.input_widths,
            ),
            clipped_adam(self.decoder_rate, 0.0, training.num_updates * self.num_decoder_steps, 10.0),
            code,
            self.deviation,
            self.decoder_deviation,
            self.step_cost,
            self.num_exploration_episodes,
            self.decoded_share,
            self.num_decoder_steps,
            min(self.decoder_batch, training.num_tasks),
        )

    def _explorer_training(self) -> OnPolicy:
        """PPO as for the other policy, but for what nats ask for: as long as the decoder knows nothing, gains are noise next
        to nothing, which standardised advantages would blow up."""
        return replace(
            self.training,
            across_episodes=True,
            normalize_advantage=False,
            entropy_coef=self.explore_entropy_coef,
        )

    def _make_bottleneck(self, *, key: Key) -> Bottleneck:
        return Bottleneck(self.deviation)

    def _make_informed(self, spec: EnvSpec, num_task_features: int, *, key: Key) -> Informed:
        encoder_key, policy_key = jax.random.split(key)
        encoder = TaskEncoder(num_task_features, self.latent_size, key=encoder_key, widths=self.encoder_widths)
        policy = TaskPolicy(spec, self.latent_size, key=policy_key, widths=self.policy_widths)
        return Informed(encoder, policy, num_task_features, self.latent_size, self.deviation)

    def _check(self, benchmark: Benchmark) -> None:
        training = self.training
        if not 1 <= self.num_exploration_episodes < benchmark.num_episodes:
            raise ValueError(
                f"num_exploration_episodes={self.num_exploration_episodes}: {benchmark.name} has trials of "
                f"{benchmark.num_episodes} episodes; choose at least 1, and leave at least 1 for exploitation."
            )
        if training.stream_steps is not None:
            raise ValueError(f"stream_steps={training.stream_steps}: exploration is paid on whole trials; drop it.")
        if training.num_free_episodes:
            raise ValueError(
                f"num_free_episodes={training.num_free_episodes}: exploration earns no reward anyway; set "
                "num_exploration_episodes."
            )
        for name in ("deviation", "decoder_deviation"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0.")
        if not 0 <= self.decoded_share <= 1:
            raise ValueError(f"decoded_share={self.decoded_share}: choose a share of the trials, from 0 to 1.")
