"""The picture of fitted functions shows what the agent answers."""

from pathlib import Path

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from innerloop._few_shot import fitted_functions
from innerloop.agents import AnswerError, FeedForward, Gradient
from innerloop.envs import Regression, sine, sinusoids
from innerloop.report import _fits, plot_fits

KEY = jax.random.key(0)
ENV = Regression(sine, 10)
AGENT = Gradient(
    FeedForward(ENV.spec, key=KEY, widths=(20,), is_predictor=True), AnswerError(), episodes_per_round=1, rate=0.02
)


def test_examples_lie_on_the_truth_and_guesses_come_nearer_to_them() -> None:
    fits = fitted_functions(KEY, AGENT, ENV, sinusoids(), 50, 10)
    assert fits.guesses.shape == (50, 11, 200)
    on_grid = np.stack([np.interp(x, fits.grid, y) for x, y in zip(fits.examples, fits.truth, strict=True)])
    np.testing.assert_allclose(on_grid, fits.answers, atol=5e-3)
    guessed = np.stack(
        [
            [np.interp(x, fits.grid, guess) for guess in guesses]
            for x, guesses in zip(fits.examples, fits.guesses, strict=True)
        ]
    )
    errors = np.square(guessed - np.asarray(fits.answers)[:, None]).mean(axis=(0, 2))
    assert (np.diff(errors) < 0).all()


def test_one_panel_a_task_and_one_line_a_number_of_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(_fits, "save", lambda figure, path: figures.append(figure))
    plot_fits(AGENT, ENV, sinusoids(), tmp_path / "x.png", steps=(0, 1, 3), num_tasks=2)
    panels = figures[0].axes
    assert len(panels) == 2
    labels = [line.get_label() for line in panels[0].get_lines()]
    assert labels == ["truth", "0 steps", "1 step", "3 steps", "examples"]


def test_mistakes_are_told_and_a_picture_is_written(tmp_path: Path) -> None:
    for steps in ((), (0, -1)):
        with pytest.raises(ValueError, match="plot_fits"):
            plot_fits(AGENT, ENV, sinusoids(), tmp_path / "x.png", steps=steps)
    plot_fits(AGENT, ENV, sinusoids(), tmp_path / "x.png", "title")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
