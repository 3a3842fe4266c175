"""Pictures of adaptation curves, of learning, of what agents believe, where they go and which modules they use, and the
tables of README and docs."""

from innerloop.report._beliefs import plot_beliefs, plot_rollouts
from innerloop.report._curves import html_curve, plot_curve
from innerloop.report._fits import plot_fits
from innerloop.report._learning import plot_learning
from innerloop.report._routing import plot_routing

__all__ = ["html_curve", "plot_beliefs", "plot_curve", "plot_fits", "plot_learning", "plot_rollouts", "plot_routing"]
