"""Environments of packages that are extras, through `innerloop.bridges`: XLand-MiniGrid, gymnax, Brax, Jumanji,
Meta-World."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from innerloop import bridges
from innerloop._benchmark import OptionalRow, Reference, Rows
from innerloop._task import Sampled
from innerloop._types import Task, Transition, Trials
from innerloop.references.generic import Random

NUM_EPISODES = {"xland": 3, "gymnax": 3, "brax": 2, "jumanji": 3, "metaworld": 10}


def last_return(trials: Trials) -> Float[Array, ""]:
    """The return of the last episode."""
    return trials.returns().reshape(-1)[-1]


def _row(
    extra: str,
    name: str,
    summary: str,
    source: str,
    max_steps: int,
    bridge: Callable[[], bridges.Bridged],
    more: Callable[[], Mapping[str, Any]] = dict,
) -> OptionalRow:
    """A row whose reference is random actions, and whose measure `last` is the return of a trial's last episode."""

    def parts() -> Mapping[str, Any]:
        found = bridge()
        return {
            **found._asdict(),
            "metrics": {"last": last_return},
            "references": {"random": Reference(partial(Random, found.env.spec), "uniform actions")},
            **more(),
        }

    return OptionalRow(extra, name, summary, source, NUM_EPISODES[extra], max_steps, parts, ("random",))


def _xland() -> bridges.Bridged:
    return bridges.xland("XLand-MiniGrid-R1-9x9")


def _cartpole() -> bridges.Bridged:
    return bridges.gymnax("CartPole-v1", vary={"gravity": (5.0, 15.0), "force_mag": (5.0, 15.0)})


def _bandit() -> bridges.Bridged:
    return bridges.gymnax("BernoulliBandit-misc", hold=("reward_probs", "exp_reward_best"))


def _four_rooms() -> bridges.Bridged:
    params = {"resample_goal_pos": True, "max_steps_in_episode": 100}
    return bridges.gymnax("FourRooms-misc", hold=("goal",), num_draws=2000, params=params, use_visual_obs=True)


def _faster_cheetahs() -> Mapping[str, Any]:
    task = bridges.BraxTask
    return {"ood": Sampled(lambda key: task(jax.random.uniform(key, (), minval=3.0, maxval=4.0)))}


def _closeness(task: Task, transition: Transition) -> Float[Array, ""]:
    """Meta-World's reward is all but flat around a goal, and flat within 5 cm; training may use this one, which is not."""
    from innerloop.bridges._metaworld import GRIP, places

    goal = jnp.asarray(places("ML1 reach-v3"), jnp.float32)[task.variant]
    step = transition.next_timestep
    distance = jnp.linalg.norm(step.obs[:3] + jnp.asarray(GRIP) - goal)
    return (step.reward + jnp.exp(-distance / 0.1)) / 2


def rows() -> Rows:
    """The family's benchmarks by name."""
    cheetah = partial(bridges.brax, "halfcheetah", ctrl_cost_weight=0.05)
    found = (
        _row(
            "xland",
            "xland-r1-9x9",
            "XLand-MiniGrid, one room of 9 x 9: find out which goal counts; 200 of 1000 goals held out",
            "Nikulin et al. 2023; rulesets made here as the package's generator makes its trivial ones",
            243,
            _xland,
        ),
        _row(
            "gymnax",
            "gymnax-cartpole",
            "gymnax's CartPole-v1 with varied gravity and force",
            "Lange 2022 (gymnax); what varies is ours",
            500,
            _cartpole,
        ),
        _row(
            "gymnax",
            "gymnax-bandit",
            "gymnax's Bernoulli bandit: arms with means p and 1 - p, p = 0.1 or 0.9; tested on the same two tasks",
            "Lange 2022 (gymnax), after Wang et al. 2016; three episodes on one bandit are ours",
            100,
            _bandit,
        ),
        _row(
            "gymnax",
            "gymnax-four-rooms",
            "gymnax's four rooms, seen from above, with an unseen goal; tested on goals held out",
            "Lange 2022 (gymnax), after Sutton et al. 1999; tasks and 100 steps are ours",
            100,
            _four_rooms,
        ),
        _row(
            "brax",
            "brax-cheetah-dir",
            "Brax's half-cheetah, spring backend: run forward or backward; tested on the same two tasks",
            "Finn et al. 2017 and Rakelly et al. 2019, whose half-cheetah is MuJoCo's",
            200,
            partial(cheetah, "direction"),
        ),
        _row(
            "brax",
            "brax-cheetah-vel",
            "Brax's half-cheetah, spring backend: run at a velocity of 0 to 3 m/s; ood: 3 to 4 m/s",
            "Rakelly et al. 2019, whose half-cheetah is MuJoCo's",
            200,
            partial(cheetah, "velocity"),
            _faster_cheetahs,
        ),
        _row(
            "jumanji",
            "jumanji-maze",
            "Jumanji's mazes of 10 x 10 cells, seen from above; tested on mazes held out",
            "Bonnet et al. 2024 (Jumanji); three episodes on one maze are ours",
            100,
            partial(bridges.jumanji, "Maze-v0"),
        ),
    )
    return {row.name: row for row in (*found, *_meta_world())}


def _meta_world() -> tuple[OptionalRow, ...]:
    """The ML benchmarks, with as many episodes as the official evaluation has for adaptation, and the MT benchmarks."""
    source = "Yu et al. 2019; McLean et al. 2025 (Meta-World)"
    skills = {"reach": "reach places", "push": "push a puck to places", "pick-place": "bring a puck to places"}
    single = tuple(
        _row(
            "metaworld",
            f"ml1-{skill}",
            f"A robot arm is to {what} that its reward tells; 50 places for training, 50 others for tests",
            source,
            500,
            partial(bridges.metaworld, f"ML1 {skill}-v3"),
            partial(dict, shaped=_closeness if skill == "reach" else None),
        )
        for skill, what in skills.items()
    )
    several = {
        "ML10": "A robot arm learns ten skills, and is tested on five others; 50 goals of each",
        "ML45": "A robot arm learns 45 skills, and is tested on five others; 50 goals of each",
        "MT10": "A robot arm learns ten skills and is tested on them; told which, and the goal",
        "MT50": "A robot arm learns fifty skills and is tested on them; told which, and the goal",
    }
    many = (
        _row("metaworld", name.lower(), summary, source, 500, partial(bridges.metaworld, name))
        for name, summary in several.items()
    )
    return *single, *(replace(row, num_episodes=1) if row.name.startswith("mt") else row for row in many)
