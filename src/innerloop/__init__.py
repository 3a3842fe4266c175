"""innerloop: meta-reinforcement learning.

Names are imported when they are first used, so that `import innerloop` costs nothing.
"""

from typing import TYPE_CHECKING

from innerloop._lazy import lazy

if TYPE_CHECKING:
    from innerloop import agents, algorithms, bridges, envs, losses, nn, recipes, references, report
    from innerloop._agent import ActExtras, ActorCritic, Agent, Outputs, Player
    from innerloop._benchmark import Benchmark, Reference
    from innerloop._callbacks import Evaluate, Interrupted, MetricsWriter, ProgressBar, StopOnSignal
    from innerloop._check import CheckReport, check_env
    from innerloop._checkpoint import Checkpoint, restore
    from innerloop._collect import Collector, JaxCollector, StreamCollector
    from innerloop._contrast import contrast_run
    from innerloop._devices import task_mesh
    from innerloop._env import Box, Discrete, Env, EnvSpec, advance, restart
    from innerloop._evaluate import AdaptationCurve, bootstrap_interval, evaluate, iqm
    from innerloop._export import export
    from innerloop._few_shot import few_shot_curve
    from innerloop._learner import Learner, apply_gradients
    from innerloop._machine import compilation_cache
    from innerloop._processes import join
    from innerloop._profile import Profile, profile
    from innerloop._rollout import episode, run_round, trial
    from innerloop._run import RunConfig, configure, evaluate_run, resume, run_experiment
    from innerloop._sealed import CheckpointError
    from innerloop._session import Deployed, Session, load
    from innerloop._task import Finite, Mixture, Sampled, TaskDistribution, sample_tasks
    from innerloop._task_api import TaskEnv
    from innerloop._train import Callback, NonFiniteError, Progress, TrainState, train
    from innerloop._train import init as initial_state
    from innerloop._types import Chunk, TimeStep, Transition, Trials
    from innerloop.algorithms.a2c import a2c
    from innerloop.algorithms.ppo import PPO
    from innerloop.benchmarks import benchmark
    from innerloop.recipes import recipe
    from innerloop.sweeps import Local, OnRay, Pruning, Sweep, run_sweep

__all__ = [
    "PPO",
    "ActExtras",
    "ActorCritic",
    "AdaptationCurve",
    "Agent",
    "Benchmark",
    "Box",
    "Callback",
    "CheckReport",
    "Checkpoint",
    "CheckpointError",
    "Chunk",
    "Collector",
    "Deployed",
    "Discrete",
    "Env",
    "EnvSpec",
    "Evaluate",
    "Finite",
    "Interrupted",
    "JaxCollector",
    "Learner",
    "Local",
    "MetricsWriter",
    "Mixture",
    "NonFiniteError",
    "OnRay",
    "Outputs",
    "Player",
    "Profile",
    "Progress",
    "ProgressBar",
    "Pruning",
    "Reference",
    "RunConfig",
    "Sampled",
    "Session",
    "StopOnSignal",
    "StreamCollector",
    "Sweep",
    "TaskDistribution",
    "TaskEnv",
    "TimeStep",
    "TrainState",
    "Transition",
    "Trials",
    "a2c",
    "advance",
    "agents",
    "algorithms",
    "apply_gradients",
    "benchmark",
    "bootstrap_interval",
    "bridges",
    "check_env",
    "compilation_cache",
    "configure",
    "contrast_run",
    "envs",
    "episode",
    "evaluate",
    "evaluate_run",
    "export",
    "few_shot_curve",
    "initial_state",
    "iqm",
    "join",
    "load",
    "losses",
    "nn",
    "profile",
    "recipe",
    "recipes",
    "references",
    "report",
    "restart",
    "restore",
    "resume",
    "run_experiment",
    "run_round",
    "run_sweep",
    "sample_tasks",
    "task_mesh",
    "train",
    "trial",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "_agent": ("ActExtras", "ActorCritic", "Agent", "Outputs", "Player"),
        "_benchmark": ("Benchmark", "Reference"),
        "_callbacks": ("Evaluate", "Interrupted", "MetricsWriter", "ProgressBar", "StopOnSignal"),
        "_check": ("CheckReport", "check_env"),
        "_checkpoint": ("Checkpoint", "restore"),
        "_collect": ("Collector", "JaxCollector", "StreamCollector"),
        "_contrast": ("contrast_run",),
        "_devices": ("task_mesh",),
        "_env": ("Box", "Discrete", "Env", "EnvSpec", "advance", "restart"),
        "_evaluate": ("AdaptationCurve", "bootstrap_interval", "evaluate", "iqm"),
        "_export": ("export",),
        "_few_shot": ("few_shot_curve",),
        "_learner": ("Learner", "apply_gradients"),
        "_machine": ("compilation_cache",),
        "_profile": ("Profile", "profile"),
        "_processes": ("join",),
        "_rollout": ("episode", "run_round", "trial"),
        "_run": ("RunConfig", "configure", "evaluate_run", "resume", "run_experiment"),
        "_sealed": ("CheckpointError",),
        "_session": ("Deployed", "Session", "load"),
        "_task": ("Finite", "Mixture", "Sampled", "TaskDistribution", "sample_tasks"),
        "_task_api": ("TaskEnv",),
        "_train": ("Callback", "NonFiniteError", "Progress", "TrainState", "initial_state=init", "train"),
        "_types": ("Chunk", "TimeStep", "Transition", "Trials"),
        "algorithms.a2c": ("a2c",),
        "algorithms.ppo": ("PPO",),
        "benchmarks": ("benchmark",),
        "recipes": ("recipe",),
        "sweeps": ("Local", "OnRay", "Pruning", "Sweep", "run_sweep"),
    },
    modules=("agents", "algorithms", "bridges", "envs", "losses", "nn", "recipes", "references", "report"),
)
