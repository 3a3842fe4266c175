"""The agent of RL²: a recurrent net fed with what happened, whose state is kept until the trial ends."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Bool, Float

from innerloop._agent import ActExtras, ActorCritic, Outputs
from innerloop._env import EnvSpec, encode
from innerloop._rollout import where
from innerloop._types import Key, Memory, TimeStep, Transition
from innerloop.nn import (
    MLP,
    Conditioned,
    Core,
    CoreName,
    CoreOptions,
    Encoder,
    Joined,
    Linear,
    Past,
    PolicyHead,
    PolicyName,
    PolicyOptions,
    Product,
    act_extras,
    conditioned,
    make_core,
)


class RecurrentMemory(NamedTuple):
    """The core's state, and of the last step what the next step's input needs; `prev_obs` only if it is fed."""

    state: Any
    prev_obs: Array | None
    prev_action: Array
    prev_reward: Float[Array, ""]
    prev_last: Bool[Array, ""]
    has_prev: Bool[Array, ""]


class Recurrent(ActorCritic):
    """Policy and value on a shared recurrent core (Duan et al. 2016, section 2.3; Wang et al. 2016).

    The input of step t is (obs_t, action_{t-1}, reward_{t-1}, episode-end flag_{t-1}), across episode boundaries:
    the reward that ends an episode reaches the core at the first step of the next one.

    With `feed_prev_obs` it is fed obs_{t-1} too: nothing it has not seen, but a whole transition at once. Layers of
    `input_widths` join all these before the core, whose own input is linear: what depends on the pair of a state and
    an action is then seen as such. Layers of `head_widths` see memory and observation before policy and value do,
    which are linear in the memory otherwise. `num_products` gives them products of the two as well (Jayakumar et al.
    2020): what the memory knows of the state that the agent is in is then a linear function away.

    Any other `policy` than "mlp" is a net on the observation whose weights the memory shapes (`nn.conditioned`); its
    hidden layers are those of `head_widths`, by default one of 64 ("modular", "library": two).

    Ablations: `feed_reward=False` and `feed_action=False` blank that input, `reset_at_episodes=True` clears the
    memory whenever an episode ends, `head_obs=False` keeps the observation from the layers of `head_widths`.
    """

    encoder: Encoder
    joint: MLP
    core: Core
    product: Product | None
    head: Conditioned
    spec: EnvSpec
    feed_action: bool = eqx.field(static=True)
    feed_reward: bool = eqx.field(static=True)
    feed_prev_obs: bool = eqx.field(static=True)
    reset_at_episodes: bool = eqx.field(static=True)
    head_obs: bool = eqx.field(static=True)
    episodes_per_adapt: int = eqx.field(static=True)

    def __init__(
        self,
        spec: EnvSpec,
        *,
        key: Key,
        core: CoreName = "gru",
        hidden_size: int = 64,
        core_options: CoreOptions | None = None,
        encoder_widths: tuple[int, ...] = (),
        input_widths: tuple[int, ...] = (),
        head_widths: tuple[int, ...] = (),
        head_obs: bool = True,
        num_products: int = 0,
        policy: PolicyName = "mlp",
        policy_options: PolicyOptions | None = None,
        feed_action: bool = True,
        feed_reward: bool = True,
        feed_prev_obs: bool = False,
        reset_at_episodes: bool = False,
    ):
        encoder_key, core_key, policy_key, value_key = jax.random.split(key, 4)
        self.encoder = Encoder(encoder_key, spec.obs, encoder_widths)
        num_in = self.encoder.num_features * (2 if feed_prev_obs else 1) + spec.action.num_features + 2
        self.joint = MLP(jax.random.fold_in(core_key, 1), num_in, input_widths)
        self.core = make_core(core, core_key, input_widths[-1] if input_widths else num_in, hidden_size, core_options)
        product_key, num_obs, num_known = jax.random.fold_in(core_key, 3), self.encoder.num_features, hidden_size
        self.product = Product(product_key, hidden_size, num_obs, num_products) if num_products else None
        num_known += num_products
        self.head_obs = bool(head_widths) and head_obs
        if policy == "mlp":
            num_known, num_obs = 0, num_known + (num_obs if self.head_obs else 0)
        elif not head_widths:
            head_widths = (64, 64) if policy in ("modular", "library") else (64,)
        self.head = conditioned(
            policy,
            jax.random.fold_in(core_key, 2),
            num_known,
            num_obs,
            head_widths,
            (lambda num: PolicyHead(policy_key, num, spec.action), lambda num: Linear(value_key, num, 1)),
            options=policy_options,
        )
        self.spec = spec
        self.feed_action = feed_action
        self.feed_reward = feed_reward
        self.feed_prev_obs = feed_prev_obs
        self.reset_at_episodes = reset_at_episodes
        self.episodes_per_adapt = 1

    def init(self, key: Key) -> RecurrentMemory:
        return self._initial()

    def _initial(self) -> RecurrentMemory:
        obs = jnp.zeros(self.spec.obs.shape, self.spec.obs.dtype) if self.feed_prev_obs else None
        action = jnp.zeros(self.spec.action.shape, self.spec.action.dtype)
        no = jnp.zeros((), bool)
        return RecurrentMemory(self.core.initial(), obs, action, jnp.zeros(()), no, no)

    def _input(self, known: RecurrentMemory, obs_features: Array) -> Float[Array, " inputs"]:
        """What the core is fed: everything that is known before acting."""
        has_prev = known.has_prev.astype(jnp.float32)
        action = encode(self.spec.action, known.prev_action) * (has_prev if self.feed_action else 0.0)
        reward = known.prev_reward * (1.0 if self.feed_reward else 0.0)
        scalars = jnp.stack([reward, known.prev_last.astype(jnp.float32)])
        before = [] if known.prev_obs is None else [has_prev * self.encoder(known.prev_obs)]
        return self.joint(jnp.concatenate([obs_features, *before, action, scalars]))

    def _advance(self, memory: RecurrentMemory, obs_features: Array) -> tuple[Any, Float[Array, " size"]]:
        """One step of the core."""
        return self.core.step(memory.state, self._input(memory, obs_features))

    def _write(self, state: Any, transition: Transition) -> RecurrentMemory:
        memory = self._known(state, transition)
        return where(transition.next_timestep.last, self._initial(), memory) if self.reset_at_episodes else memory

    def _known(self, state: Any, transition: Transition) -> RecurrentMemory:
        """What is known after a step, with this state of the core."""
        step = transition.next_timestep
        obs = transition.timestep.obs if self.feed_prev_obs else None
        return RecurrentMemory(state, obs, step.prev_action, step.reward, step.last, jnp.ones((), bool))

    def _inputs(self, features: Float[Array, " size"], obs_features: Array) -> tuple[Array, Array]:
        """What is known, and what is seen with that in mind."""
        known = features
        if self.product is not None:
            known = jnp.concatenate([features, self.product(features, obs_features)])
        if isinstance(self.head, Joined):
            seen = jnp.concatenate([known, obs_features]) if self.head_obs else known
            return seen[:0], seen
        return known, obs_features

    def policy_inputs(self, memory: RecurrentMemory, timestep: TimeStep) -> tuple[Array, Array]:
        """Context and input of `head` before a step."""
        obs_features = self.encoder(timestep.obs)
        return self._inputs(self._advance(memory, obs_features)[1], obs_features)

    def _judge(
        self, features: Float[Array, " size"], obs_features: Array
    ) -> tuple[dist.Distribution, Float[Array, ""]]:
        """Policy and value."""
        policy, value = self.head(*self._inputs(features, obs_features))
        return policy, value[0]

    def act(self, key: Key, memory: RecurrentMemory, timestep: TimeStep) -> tuple[Array, ActExtras]:
        obs_features = self.encoder(timestep.obs)
        policy, value = self._judge(self._advance(memory, obs_features)[1], obs_features)
        action = policy.sample(key)
        return action, act_extras(policy, action, value)

    def observe(self, key: Key, memory: RecurrentMemory, transition: Transition) -> RecurrentMemory:
        state, _ = self._advance(memory, self.encoder(transition.timestep.obs))
        return self._write(state, transition)

    def adapt(self, key: Key, memory: Memory, episodes: Transition) -> Memory:
        return memory

    def unroll(self, memory: Memory, transitions: Transition, trial_first: Bool[Array, " time"]) -> Outputs:
        obs_features = jax.vmap(self.encoder)(transitions.timestep.obs)
        past = Past.of(jnp.ones((), jnp.int32), trial_first, transitions.valid)
        nothing = self._initial()._replace(state=None)
        written = jax.vmap(lambda transition: self._known(None, transition))(transitions._replace(extras=None))
        if self.reset_at_episodes:
            ended = past.previous(jnp.zeros((), bool), written.prev_last, jnp.zeros((), bool))
            trial_first |= ended
            written = jax.vmap(lambda one: where(one.prev_last, nothing, one))(written)
        known = past.previous(memory._replace(state=None), written, nothing)
        inputs = jax.vmap(self._input)(known, obs_features)
        _, features = self.core.sequence(memory.state, inputs, trial_first, transitions.valid)

        def judge(features: Array, obs_features: Array, action: Array) -> tuple[Any, ...]:
            policy, value = self._judge(features, obs_features)
            return policy.log_prob(action), policy.entropy(), value, policy

        log_prob, entropy, value, policy = jax.vmap(judge)(features, obs_features, transitions.action)
        return Outputs(log_prob, entropy, value, features, policy)
