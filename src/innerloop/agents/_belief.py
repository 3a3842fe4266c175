"""An agent that keeps a belief about which task it is in, and acts on it."""

from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec, encode
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.agents._summary import History, HistoryMemory
from innerloop.nn import (
    Activation,
    Conditioned,
    CoreName,
    CoreOptions,
    Linear,
    MakeOut,
    PolicyHead,
    PolicyName,
    PolicyOptions,
    act_extras,
    conditioned,
)

BeliefInput = Literal["moments", "sample"]


class Latent(NamedTuple):
    """A Gaussian over task vectors with diagonal covariance."""

    mean: Float[Array, "*time latent"]
    log_variance: Float[Array, "*time latent"]

    def at(self, noise: Float[Array, "*time latent"]) -> Float[Array, "*time latent"]:
        """The task vector that standard normal noise stands for; gradients flow through it."""
        return self.mean + jnp.exp(0.5 * self.log_variance) * noise

    def draw(self, key: Key) -> Float[Array, "*time latent"]:
        """A task vector."""
        return self.at(jax.random.normal(key, self.mean.shape))


class BeliefMemory(NamedTuple):
    """What has happened, and the standard normal noise by which a sample of the belief is drawn."""

    past: HistoryMemory
    noise: Float[Array, " latent"]


class Belief(ActorCritic):
    """Policy and value on the observation and a belief q(m | what happened so far) (Zintgraf et al. 2020, section 3).

    A recurrent net is fed each transition (a_t, r_{t+1}, s_{t+1}, episode-end flag) and gives mean and log-variance of
    a latent task vector m; before the first one it gives the prior. It runs across the episodes of a trial.

    Args:
        latent_size: dimensions of m.
        core, hidden_size, core_options, input_widths: the inference net, and layers on all that it is fed.
        policy_widths, activation: hidden layers of policy and of value on observation and belief.
        policy, policy_options: how the belief shapes both (`nn.conditioned`); "mlp": it is an input.
        belief_input: feed policy and value with the "moments" of the belief, or with a "sample" of it. The noise of
            the sample is drawn once a trial, so that a trial pursues one hypothesis as the belief narrows.
        rl_gradient: whether the policy's loss also trains the inference net.
    """

    history: History
    mean: Linear
    log_variance: Linear
    policy: Conditioned
    value: Conditioned
    spec: EnvSpec
    latent_size: int = eqx.field(static=True)
    belief_input: BeliefInput = eqx.field(static=True)
    rl_gradient: bool = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        latent_size: int = 5,
        core: CoreName = "gru",
        hidden_size: int = 64,
        core_options: CoreOptions | None = None,
        input_widths: tuple[int, ...] = (),
        policy_widths: tuple[int, ...] = (64,),
        activation: Activation = "tanh",
        policy: PolicyName = "mlp",
        policy_options: PolicyOptions | None = None,
        belief_input: BeliefInput = "moments",
        rl_gradient: bool = False,
    ):
        if latent_size < 1:
            raise ValueError(f"Belief(latent_size={latent_size}): must be at least 1.")
        if belief_input not in ("moments", "sample"):
            raise ValueError(f"Belief(belief_input={belief_input!r}): choose moments or sample.")
        keys = jax.random.split(key, 7)
        self.history = History(
            spec,
            key=keys[0],
            core=core,
            hidden_size=hidden_size,
            core_options=core_options,
            input_widths=input_widths,
        )
        self.mean = Linear(keys[1], hidden_size, latent_size)
        self.log_variance = Linear(keys[2], hidden_size, latent_size)
        num_believed, num_obs = latent_size * (2 if belief_input == "moments" else 1), spec.obs.num_features

        def make(key: Key, out: MakeOut) -> Conditioned:
            return conditioned(policy, key, num_believed, num_obs, policy_widths, (out,), activation, policy_options)

        self.policy = make(keys[3], lambda num: PolicyHead(keys[4], num, spec.action))
        self.value = make(keys[5], lambda num: Linear(keys[6], num, 1))
        self.spec = spec
        self.latent_size = latent_size
        self.belief_input = belief_input
        self.rl_gradient = rl_gradient
        self.episodes_per_adapt = 1

    def init(self, key: Key) -> BeliefMemory:
        return BeliefMemory(self.history.init(key), jax.random.normal(key, (self.latent_size,)))

    def belief(self, memory: BeliefMemory) -> Latent:
        """What the agent believes now."""
        return Latent(self.mean(memory.past.output), self.log_variance(memory.past.output))

    def _inputs(self, obs: Array, latent: Latent, noise: Float[Array, " latent"]) -> tuple[Array, Array]:
        """What is believed, and what is seen."""
        if not self.rl_gradient:
            latent = jax.lax.stop_gradient(latent)
        believed = jnp.concatenate(latent) if self.belief_input == "moments" else latent.at(noise)
        return believed, encode(self.spec.obs, obs)

    def policy_inputs(self, memory: BeliefMemory, timestep: TimeStep) -> tuple[Array, Array]:
        """Context and input of `policy` before a step."""
        return self._inputs(timestep.obs, self.belief(memory), memory.noise)

    def _judge(
        self, obs: Array, latent: Latent, noise: Float[Array, " latent"]
    ) -> tuple[dist.Distribution, Float[Array, ""]]:
        """Policy and value."""
        inputs = self._inputs(obs, latent, noise)
        (policy,), (value,) = self.policy(*inputs), self.value(*inputs)
        return policy, value[0]

    def act(self, key: Key, memory: BeliefMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        policy, value = self._judge(timestep.obs, self.belief(memory), memory.noise)
        action = policy.sample(key)
        return action, act_extras(policy, action, value)

    def observe(self, key: Key, memory: BeliefMemory, transition: Transition) -> BeliefMemory:
        return memory._replace(past=self.history.observe(key, memory.past, transition))

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def infer(self, memory: BeliefMemory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Latent:
        """The beliefs before each step of a sequence, and after its last one: `[time + 1 latent]`."""
        outputs = self.history.outputs(memory.past, transitions, trial_first)
        return Latent(jax.vmap(self.mean)(outputs), jax.vmap(self.log_variance)(outputs))

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        latent = jax.tree.map(lambda x: x[:-1], self.infer(memory, transitions, trial_first))

        def judge(obs: Array, latent: Latent, action: Array) -> tuple[Any, ...]:
            policy, value = self._judge(obs, latent, memory.noise)
            return policy.log_prob(action), policy.entropy(), value, policy

        log_prob, entropy, value, policy = jax.vmap(judge)(transitions.timestep.obs, latent, transitions.action)
        return Outputs(log_prob, entropy, value, jnp.concatenate(latent, axis=-1), policy)
