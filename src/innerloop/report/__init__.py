"""Pictures of adaptation curves and of learning, and the tables of README and docs."""

from innerloop.report._curves import html_curve, plot_curve
from innerloop.report._fits import plot_fits
from innerloop.report._learning import plot_learning

__all__ = ["html_curve", "plot_curve", "plot_fits", "plot_learning"]
