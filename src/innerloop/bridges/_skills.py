"""Meta-World's skills as one Gymnasium environment. Worker processes import this module, so it must not import JAX."""

from collections import OrderedDict
from typing import Any

import gymnasium
import numpy as np

NUM_KEPT = 2
"""Simulators that one environment keeps: the skills it has played last."""
REWARD_SCALE = 10.0
NUM_SEEN = 39
MAX_STEPS = 500


class Skills(gymnasium.Env):
    """Plays whichever of `variants` (Meta-World's `Task`s) it is told; rewards are Meta-World's over 10.

    With `skills`, observations end in a one-hot code of which of them is played.
    """

    def __init__(self, variants: list[Any], skills: tuple[str, ...] = ()):
        self._variants, self._skills = variants, skills
        self._simulators: OrderedDict[str, Any] = OrderedDict()
        self._name = ""
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (NUM_SEEN + len(skills),), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)

    def set_task(self, task: dict[str, int]) -> None:
        """Play variant number `task["variant"]`."""
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS

        variant = self._variants[task["variant"]]
        self._name = variant.env_name
        if self._name not in self._simulators:
            if len(self._simulators) >= NUM_KEPT:
                self._simulators.popitem(last=False)[1].close()
            self._simulators[self._name] = ALL_V3_ENVIRONMENTS[self._name]()
        self._simulators.move_to_end(self._name)
        self._simulators[self._name].set_task(variant)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; nothing of it is random but what the variant says."""
        super().reset(seed=seed)
        simulator = self._simulators[self._name]
        if seed is not None:
            simulator.seed(seed)
        obs, info = simulator.reset()
        return self._seen(obs), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Nothing terminates: success does not end an episode."""
        obs, reward, terminated, truncated, info = self._simulators[self._name].step(action)
        return self._seen(obs), float(reward) / REWARD_SCALE, bool(terminated), bool(truncated), info

    def _seen(self, obs: np.ndarray) -> np.ndarray:
        if not self._skills:
            return obs
        return np.concatenate([obs, [float(name == self._name) for name in self._skills]])

    def close(self) -> None:
        """Let go of the simulators."""
        for simulator in self._simulators.values():
            simulator.close()
        self._simulators.clear()
