"""Small networks that Equinox lacks. Every leaf is an array; sizes and choices are static."""

from innerloop.nn._cells import GRU, LSTM, RNN, Hebbian
from innerloop.nn._core import Block, Cell, Core, Past, Stack
from innerloop.nn._cores import CoreName, CoreOptions, make_core
from innerloop.nn._heads import PolicyHead, act_extras, greedy_action
from innerloop.nn._layers import CNN, MLP, Activation, Encoder, Init, LayerNorm, Linear, Product, orthogonal

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "Activation",
    "Block",
    "Cell",
    "Core",
    "CoreName",
    "CoreOptions",
    "Encoder",
    "Hebbian",
    "Init",
    "LayerNorm",
    "Linear",
    "Past",
    "PolicyHead",
    "Product",
    "Stack",
    "act_extras",
    "greedy_action",
    "make_core",
    "orthogonal",
]
