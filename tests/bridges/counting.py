"""Small Gymnasium environments that tests can reason about. Workers import this module."""

import os
import time
from pathlib import Path

import gymnasium
import numpy as np
from gymnasium import spaces


class Counting(gymnasium.Env):
    """Sees a random number of the episode and the steps so far; ends at `length`, by termination if that is odd.

    The reward is the action times `gain`. While the file `trouble` exists, its first word is what happens at step 2.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = spaces.Discrete(3, start=1)

    def __init__(self, length=5, gain=1.0, trouble=None):
        self.length, self.gain, self.trouble = length, gain, trouble

    def set_task(self, task):
        self.length, self.gain = task["length"], task["gain"]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if options:
            self.set_task(options)
        self.count, self.number = 0, self.np_random.random()
        return self.obs(), {}

    def obs(self):
        return np.array([self.number, self.count])

    def step(self, action):
        self.count += 1
        if self.count == 2 and self.trouble and Path(self.trouble).exists():
            self.fail(Path(self.trouble).read_text())
        over = self.count >= self.length
        odd = bool(self.length % 2)
        return self.obs(), float(action * self.gain), over and odd, over and not odd, {}

    def fail(self, how):
        if not how.startswith("always"):
            try:
                Path(self.trouble).rename(self.trouble + " is over")  # one env has it, whoever comes first
            except FileNotFoundError:
                return
        if "die" in how:
            os._exit(3)
        if "hang" in how:
            time.sleep(60)
        if "raise" in how:
            raise KeyError("the env's own fault")
        self.number = float("nan")


class SlowToMake(Counting):
    """Takes half a second to make."""

    def __init__(self):
        time.sleep(0.5)
        super().__init__()
