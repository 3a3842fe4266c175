"""Pictures of adaptation curves, of learning, of what agents believe and where they go, and the tables of README and docs."""

from innerloop.report._beliefs import plot_beliefs, plot_rollouts
from innerloop.report._curves import html_curve, plot_curve
from innerloop.report._fits import plot_fits
from innerloop.report._learning import plot_learning

__all__ = ["html_curve", "plot_beliefs", "plot_curve", "plot_fits", "plot_learning", "plot_rollouts"]
