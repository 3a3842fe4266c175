"""Pictures show what the curves hold, and say how it was measured."""

import base64
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from innerloop._evaluate import AdaptationCurve
from innerloop.report import _curves, html_curve, plot_curve


def curve(num_seeds: int, num_episodes: int, label: str, offset: float = 0.0) -> AdaptationCurve:
    noise = np.random.default_rng(0).normal(size=(num_seeds, 50, num_episodes))
    return AdaptationCurve(np.arange(num_episodes) + offset + noise, label=label)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were written."""
    figures: list[Figure] = []
    monkeypatch.setattr(_curves, "save", lambda figure, path: figures.append(figure))
    return figures


def test_lines_are_means_and_references_are_dashed(drawn, tmp_path):
    agent, reference = curve(3, 4, "agent"), curve(1, 4, "optimal", 5.0)
    plot_curve([agent], tmp_path / "x.png", "title", [reference])
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line for line in axes.get_lines()}
    np.testing.assert_allclose(lines["agent"].get_ydata(), agent.per_episode())
    np.testing.assert_array_equal(lines["agent"].get_xdata(), [1, 2, 3, 4])
    assert (lines["agent"].get_linestyle(), lines["optimal"].get_linestyle()) == ("-", "--")
    thin = [line.get_ydata() for line in axes.get_lines() if line.get_label().startswith("_")]
    np.testing.assert_allclose(thin, agent.returns.mean(axis=1))
    assert len(axes.collections) == 2  # a band each
    names = {text.get_text(): text for text in axes.texts}
    assert names["optimal"].xyann[1] > names["agent"].xyann[1]  # beside their ends
    assert names["agent"].xy == pytest.approx((4, agent.per_episode()[-1]))


def test_the_band_is_the_interval(drawn, tmp_path):
    agent = curve(3, 4, "agent")
    plot_curve([agent], tmp_path / "x.png")
    band = drawn[0].axes[0].collections[0].get_paths()[0].vertices
    np.testing.assert_allclose([band[:, 1].min(), band[:, 1].max()], [agent.interval().min(), agent.interval().max()])


def test_trials_of_one_episode_become_points(drawn, tmp_path):
    agent = curve(2, 1, "agent")
    plot_curve([agent], tmp_path / "x.png", "", [curve(1, 1, "random")])
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["agent", "random"]
    assert axes.get_lines()[0].get_ydata()[0] == pytest.approx(agent.per_episode()[0])


def test_the_caption_tells_the_protocol():
    greedy = AdaptationCurve(np.zeros((1, 2000, 4)), label="greedy", greedy=True, tasks="training")
    text = _curves.caption([curve(3, 4, "a"), curve(3, 4, "b"), greedy])
    assert "a, b: 50 test tasks × 4 episodes, 3 seeds, sampled actions" in text
    assert "greedy: 2,000 training tasks × 4 episodes, 1 seed, greedy actions" in text
    assert "95 % bootstrap interval" in text


def test_files_are_written_and_the_page_needs_no_network(tmp_path):
    curves, references = [curve(2, 4, "agent")], [curve(1, 4, "random")]
    plot_curve(curves, tmp_path / "new" / "curve.png", "title", references)
    html_curve(curves, tmp_path / "new" / "curve.html", "title", references)
    assert (tmp_path / "new" / "curve.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "new" / "curve.html").read_text()
    assert "Plotly.newPlot" in page
    assert "test tasks" in page
    assert '<script src="' not in page


def test_names_keep_their_distance():
    np.testing.assert_allclose(_curves.spread([0.5, 0.5, 0.1], 0.1), [0.5, 0.6, 0.1])
    np.testing.assert_allclose(_curves.spread([1.0, 0.98], 0.1), [1.0, 0.9])


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_curve([], tmp_path / "x.png")


def test_pictures_stand_on_the_page_as_they_are(tmp_path):
    data = b"\x89PNG" + bytes(range(256))
    (tmp_path / "ways.png").write_bytes(data)
    html_curve([curve(2, 4, "agent")], tmp_path / "curve.html", pictures=[tmp_path / "ways.png"])
    (name, code), *others = pictures_of(tmp_path / "curve.html")
    assert (name, base64.b64decode(code), others) == ("ways", data, [])


def pictures_of(page):
    """Names and contents of the pictures before the end of a page's body."""
    body = page.read_text().rpartition("</body>")[0]
    return re.findall(r'<img id="([^"]+)".* src="data:image/png;base64,([^"]+)">', body)
