"""Small networks that Equinox lacks. Every leaf is an array; sizes and choices are static."""

from innerloop.nn._cores import GRU, LSTM, RNN, Core, CoreName, make_core
from innerloop.nn._heads import PolicyHead, act_extras, greedy_action
from innerloop.nn._layers import CNN, MLP, Activation, Encoder, Init, Linear, Product, orthogonal

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "Activation",
    "Core",
    "CoreName",
    "Encoder",
    "Init",
    "Linear",
    "PolicyHead",
    "Product",
    "act_extras",
    "greedy_action",
    "make_core",
    "orthogonal",
]
