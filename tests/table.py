"""The table that the contract suite runs over: every agent and every learner has a row."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import optax

from innerloop._agent import ActorCritic, Agent
from innerloop._benchmark import Benchmark
from innerloop._collect import Collector, JaxCollector, StreamCollector
from innerloop._env import Box, Discrete, EnvSpec
from innerloop._learner import Learner
from innerloop.agents import (
    Belief,
    FeedForward,
    Gradient,
    Greedy,
    History,
    PolicyObjective,
    Posterior,
    Present,
    Recurrent,
    Reinstating,
    Soft,
    SoftPolicy,
    Structured,
    Summary,
    TaskConditioned,
)
from innerloop.agents._decoders import RecurrentDecoder
from innerloop.agents._decoupled import Decoupled, TaskPolicy
from innerloop.agents._posterior import EncoderName, make_encoder
from innerloop.algorithms._critic import TaskCritic, TaskPredictor
from innerloop.algorithms._inner_loop import Net
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._soft import OffPolicy
from innerloop.algorithms.a2c import a2c
from innerloop.algorithms.anil import ANIL
from innerloop.algorithms.cavia import CAVIA
from innerloop.algorithms.dream import DREAM
from innerloop.algorithms.e_maml import EMAML
from innerloop.algorithms.episodic_rl2 import EpisodicRL2
from innerloop.algorithms.epopt import EPOpt
from innerloop.algorithms.fine_tuning import FineTuning
from innerloop.algorithms.fomaml import FOMAML
from innerloop.algorithms.hyperx import HyperX
from innerloop.algorithms.maesn import MAESN
from innerloop.algorithms.maml import MAML
from innerloop.algorithms.memoryless import Memoryless, Oracle
from innerloop.algorithms.meta_policy_search import MetaPolicySearch
from innerloop.algorithms.meta_sgd import MetaSGD
from innerloop.algorithms.pearl import PEARL
from innerloop.algorithms.ppo import PPO
from innerloop.algorithms.promp import ProMP
from innerloop.algorithms.reptile import Reptile
from innerloop.algorithms.rl2 import RL2
from innerloop.algorithms.sac import SoftActorCritic
from innerloop.algorithms.varibad import BeliefSettings, VariBAD
from innerloop.benchmarks import benchmark
from innerloop.envs.bandits import BernoulliBandit, uniform_bandits
from innerloop.envs.probes import PROBES
from innerloop.nn import CoreOptions, PolicyOptions

KEY = jax.random.key(0)
SHORT = CoreOptions(num_layers=1, num_heads=2, context=3, state_size=4, memory_slots=4, num_neighbors=2)
"""A core that looks back less far, or has fewer slots, than the trials of the contract are long."""
HYPER: dict[str, Any] = {"policy": "hyper", "policy_options": PolicyOptions("hfi")}
"""A hypernetwork that makes another net of every context from the start."""
SPECS = {
    "discrete": EnvSpec(Discrete(4), Discrete(3), max_steps=5),
    "vector": EnvSpec(Box((3,)), Box((2,), -1.0, 1.0), max_steps=5),
    "pixels": EnvSpec(Box((5, 6, 2)), Discrete(3), max_steps=5),
}
AGENTS: dict[str, Callable[[EnvSpec], Agent]] = {
    "recurrent-gru": lambda spec: Recurrent(spec, key=KEY, hidden_size=8),
    "recurrent-lstm": lambda spec: Recurrent(spec, key=KEY, core="lstm", hidden_size=8, encoder_widths=(7,)),
    "recurrent-rnn-heads": lambda spec: Recurrent(spec, key=KEY, core="rnn", hidden_size=8, policy="heads"),
    "recurrent-hebbian": lambda spec: Recurrent(spec, key=KEY, core="hebbian", hidden_size=8),
    "recurrent-stack-hyper": lambda spec: Recurrent(
        spec, key=KEY, core="lstm", hidden_size=8, core_options=CoreOptions(num_layers=2), num_products=3, **HYPER
    ),
    "recurrent-ssm": lambda spec: Recurrent(spec, key=KEY, core="ssm", hidden_size=8),
    "recurrent-mamba": lambda spec: Recurrent(spec, key=KEY, core="mamba", hidden_size=8, core_options=SHORT),
    "recurrent-transformer": lambda spec: Recurrent(
        spec, key=KEY, core="transformer", hidden_size=8, core_options=SHORT, reset_at_episodes=True
    ),
    "recurrent-snail": lambda spec: Recurrent(spec, key=KEY, core="snail", hidden_size=8, core_options=SHORT),
    "recurrent-episodic": lambda spec: Recurrent(spec, key=KEY, core="episodic", hidden_size=8, core_options=SHORT),
    "recurrent-ntm": lambda spec: Recurrent(spec, key=KEY, core="ntm", hidden_size=8, core_options=SHORT),
    "recurrent-no-reward-modular": lambda spec: Recurrent(
        spec, key=KEY, hidden_size=8, feed_reward=False, policy="modular", head_widths=(6, 6)
    ),
    "recurrent-reset-mixture": lambda spec: Recurrent(
        spec, key=KEY, hidden_size=8, reset_at_episodes=True, policy="mixture", head_widths=(6,)
    ),
    "recurrent-joint": lambda spec: Recurrent(
        spec, key=KEY, hidden_size=8, input_widths=(7,), head_widths=(6,), num_products=5, feed_prev_obs=True
    ),
    "reinstating": lambda spec: Reinstating(spec, key=KEY, hidden_size=8, memory_slots=2, num_neighbors=2),
    "reinstating-context": lambda spec: Reinstating(spec, key=KEY, hidden_size=8, context=(1, 3), head_widths=(7,)),
    "belief": lambda spec: Belief(spec, key=KEY, latent_size=3, hidden_size=8, policy_widths=(8,)),
    "belief-sample": lambda spec: Belief(
        spec, key=KEY, latent_size=3, core="lstm", hidden_size=8, input_widths=(7,), belief_input="sample"
    ),
    "belief-transformer-film": lambda spec: Belief(
        spec, key=KEY, latent_size=3, core="transformer", hidden_size=8, core_options=SHORT, policy="film"
    ),
    "soft": lambda spec: soft(Present(spec, key=KEY), spec),
    "soft-recurrent": lambda spec: soft(History(spec, key=KEY, hidden_size=8, input_widths=()), spec),
    "posterior": lambda spec: posterior(spec, "product"),
    "posterior-recurrent-hyper": lambda spec: posterior(spec, "gru", **HYPER),
    "decoupled": lambda spec: decoupled(spec),
    "feedforward": lambda spec: FeedForward(spec, key=KEY, widths=(8,)),
    "feedforward-context": lambda spec: FeedForward(spec, key=KEY, widths=(8,), num_context=2, has_value=False),
    "task-conditioned-library": lambda spec: TaskConditioned(spec, 2, key=KEY, widths=(6, 6), policy="library"),
    "greedy": lambda spec: Greedy(Recurrent(spec, key=KEY, hidden_size=8)),
    "gradient": lambda spec: gradient(FeedForward(spec, key=KEY, widths=(8,)), spec, learn_rates=True),
    "gradient-head": lambda spec: gradient(FeedForward(spec, key=KEY, widths=(8,)), spec, adapted=("policy",)),
    "gradient-structured": lambda spec: gradient(Structured(spec, key=KEY, widths=(8,)), spec),
    "gradient-recurrent": lambda spec: gradient(Recurrent(spec, key=KEY, hidden_size=8), spec, steps_per_round=2),
}


ON_ALL_SPECS = (
    "recurrent-gru",
    "recurrent-joint",
    "reinstating",
    "belief",
    "soft",
    "posterior",
    "decoupled",
    "feedforward",
    "gradient",
)
PAIRS = [(agent, spec) for agent in AGENTS for spec in SPECS if spec == "discrete" or agent in ON_ALL_SPECS]
"""Who is tested on what: variants of an agent share its encoder and its kind of action."""


def probe_row(name: str) -> Benchmark:
    """A probe as a row, for methods that are built from one."""
    probe = PROBES[name]
    return Benchmark(name, "a probe", "ours", probe.env, probe.tasks, probe.tasks, probe.num_episodes)


def soft(summary: Summary, spec: EnvSpec) -> Soft:
    """A small agent of a soft actor-critic."""
    return Soft(summary, SoftPolicy(KEY, summary.num_features, spec.action, (8,)))


def posterior(spec: EnvSpec, encoder: EncoderName, **policy: Any) -> Posterior:
    """A small agent that samples tasks."""
    policy = SoftPolicy(KEY, spec.obs.num_features + 3, spec.action, (8,), 3, **policy)
    return Posterior(make_encoder(encoder, spec, 3, key=KEY, widths=(8,)), policy, spec)


def decoupled(spec: EnvSpec) -> Decoupled:
    """A small agent that explores with another policy than it exploits with."""
    explorer = Recurrent(spec, key=KEY, hidden_size=8)
    decoder = RecurrentDecoder(spec, 3, key=KEY, hidden_size=8, input_widths=(7,))
    return Decoupled(explorer, decoder, TaskPolicy(spec, 3, key=KEY, widths=(8,)))


def gradient(base: ActorCritic, spec: EnvSpec, **options: Any) -> Gradient:
    """A small agent that adapts by gradient steps."""
    return Gradient(base, PolicyObjective(spec.obs), episodes_per_round=2, **options)


BANDIT = BernoulliBandit(3)
SMALL = OnPolicy(num_updates=4, num_tasks=8, num_minibatches=2)
SMALL_SOFT = OffPolicy(
    num_updates=4, num_tasks=8, num_gradient_steps=3, batch_size=16, capacity=100, num_warmup=0, widths=(8,)
)
SMALL_META = {"num_updates": 4, "num_tasks": 8}
SMALL_NET = Net(widths=(8,))


def bandit_trials(num_tasks: int = 8) -> JaxCollector:
    """Six pulls on three arms."""
    return JaxCollector(BANDIT, uniform_bandits(3), num_tasks=num_tasks, num_rounds=6)


def bandit_stream() -> StreamCollector:
    """Windows of five steps over trials of three pulls."""
    return StreamCollector(BANDIT, uniform_bandits(3), num_streams=8, num_steps=5, num_episodes=3)


def recurrent(**options: Any) -> partial[Recurrent]:
    """A small recurrent agent for the bandit."""
    return partial(Recurrent, BANDIT.spec, hidden_size=8, **options)


def method(settings: Any, name: str = "bandit-n10-k5", training: Any = SMALL) -> tuple[Learner, Collector]:
    """A row from a method's settings."""
    row = benchmark(name)
    settings = replace(settings, training=training)
    return settings.learner(row), JaxCollector(settings.env(row), row.train, training.num_tasks, row.num_episodes)


def meta(settings: Any, name: str = "bandit-n10-k5", per_round: int = 4, **training: Any) -> tuple[Learner, Collector]:
    """A row from the settings of a gradient-based method."""
    row = benchmark(name)
    net = replace(SMALL_NET, num_context=settings.net.num_context)
    settings = replace(
        settings,
        net=net,
        inner=replace(settings.inner, episodes_per_round=per_round),
        training=replace(settings.training, **SMALL_META, **training),
    )
    num_rounds = settings.training.train_rounds(row)
    return settings.learner(row), JaxCollector(settings.env(row), row.train, 8, num_rounds, per_round)


BELIEFS = BeliefSettings(hidden_size=8, input_widths=(8,), state_coef=1.0, inference_batch=8, capacity=32)
ALL_TERMS = replace(BELIEFS, rl_gradient=True, belief_input="sample", kl_to="standard", num_elbo_terms=None)
PEARL_SMALL = PEARL(latent_size=3, encoder_widths=(8,), tasks_per_step=4, num_slots=16)
DREAM_SMALL = DREAM(latent_size=3, hidden_size=8, input_widths=(8,), num_decoder_steps=2, decoder_batch=4)
FEW_STEPS = replace(SMALL_SOFT, capacity=500)
ADAM = optax.adam(1e-2)
LEARNERS: dict[str, Callable[[], tuple[Learner, Collector]]] = {
    "ppo-trials": lambda: (PPO(recurrent(), ADAM, num_minibatches=2), bandit_trials()),
    "ppo-critic": lambda: (PPO(recurrent(), ADAM, partial(TaskCritic, 8, 3), num_minibatches=2), bandit_trials()),
    "ppo-predictor": lambda: (
        PPO(recurrent(), ADAM, make_predictor=partial(TaskPredictor, 8, 3, 2), num_minibatches=2),
        bandit_trials(),
    ),
    "ppo-bptt": lambda: (PPO(recurrent(core="lstm"), ADAM, num_minibatches=2, bptt_length=3), bandit_trials()),
    "ppo-cut": lambda: (PPO(recurrent(), ADAM, num_minibatches=2, across_episodes=False), bandit_trials()),
    "ppo-stream": lambda: (PPO(recurrent(), ADAM, num_minibatches=2), bandit_stream()),
    "ppo-stream-cut": lambda: (PPO(recurrent(), ADAM, num_minibatches=2, across_episodes=False), bandit_stream()),
    "ppo-value-clip": lambda: (PPO(recurrent(), ADAM, num_minibatches=2, value_clip=0.2), bandit_trials()),
    "a2c": lambda: (a2c(recurrent(), ADAM), bandit_trials()),
    "rl2": lambda: method(RL2(hidden_size=8)),
    "e-rl2": lambda: (PPO(recurrent(), ADAM, num_minibatches=2, num_free_episodes=2), bandit_trials()),
    "episodic-rl2": lambda: method(EpisodicRL2(hidden_size=8, memory_slots=4)),
    "maml-vpg": lambda: meta(MAML()),
    "maml-ppo": lambda: meta(MAML(), outer="ppo", num_outer_steps=2),
    "maml-trpo": lambda: meta(MAML(), outer="trpo"),
    "maml-chunks": lambda: meta(MAML(), chunk_size=3),
    "maml-supervised": lambda: meta(MAML(), "sinusoid", 1),
    "fomaml": lambda: meta(FOMAML()),
    "reptile": lambda: meta(Reptile(), "sinusoid", 1),
    "anil": lambda: meta(ANIL()),
    "cavia": lambda: meta(CAVIA()),
    "maesn": lambda: meta(MAESN(), "gridnavi", 1),
    "meta-sgd": lambda: meta(MetaSGD()),
    "e-maml": lambda: meta(EMAML()),
    "promp": lambda: meta(ProMP(), inner_adaptation_steps=2),
    "meta-policy-search": lambda: meta(MetaPolicySearch()),
    "fine-tuning": lambda: meta(FineTuning()),
    "rl2-hyper": lambda: method(RL2(hidden_size=8, policy="hyper")),
    "varibad": lambda: method(VariBAD(BELIEFS), "gridnavi-cells"),
    "varibad-all": lambda: method(VariBAD(ALL_TERMS), "gridnavi-cells"),
    "hyperx": lambda: method(HyperX(belief=BELIEFS), "gridnavi-cells"),
    "sac": lambda: method(SoftActorCritic(), training=SMALL_SOFT),
    "sac-recurrent": lambda: method(
        SoftActorCritic(memory="gru", hidden_size=8), training=replace(SMALL_SOFT, window=10, burn_in=2)
    ),
    "pearl": lambda: method(PEARL_SMALL, training=SMALL_SOFT),
    "pearl-finite": lambda: method(replace(PEARL_SMALL, next_obs=True), "gridnavi", FEW_STEPS),
    "pearl-recurrent": lambda: method(replace(PEARL_SMALL, encoder="gru"), training=SMALL_SOFT),
    "pearl-modular": lambda: method(
        replace(PEARL_SMALL, policy="modular"), training=replace(SMALL_SOFT, widths=(8, 8))
    ),
    "dream": lambda: method(DREAM_SMALL, "bus"),
    "memoryless": lambda: method(Memoryless(widths=(8,))),
    "epopt": lambda: method(EPOpt(epsilon=0.5, widths=(8,)), training=replace(SMALL, across_episodes=False)),
    "oracle": lambda: method(Oracle(widths=(8,))),
    "oracle-modular": lambda: method(Oracle(widths=(8, 8), policy="modular"), "ten-tasks"),
}
SPREAD = ("ppo-trials", "ppo-stream", "reptile", "pearl")
"""Rows that are spread over two devices in the everyday tests, one for each collector and family."""
VARIANTS = (
    *("ppo-critic", "ppo-predictor", "ppo-bptt", "ppo-cut", "ppo-value-clip", "ppo-stream-cut", "oracle"),
    *("maml-vpg", "maml-ppo", "maml-trpo", "fomaml", "anil", "maesn", "meta-sgd", "e-maml", "promp"),
    *("meta-policy-search", "fine-tuning", "hyperx", "varibad-all", "sac", "pearl-finite", "pearl-recurrent"),
    *("rl2-hyper", "pearl-modular", "oracle-modular"),
)
"""Rows that differ from another one by an option or a part that has tests of its own: tested when there is more time."""
