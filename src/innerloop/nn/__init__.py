"""Small networks that Equinox lacks. Every leaf is an array; sizes and choices are static."""

from innerloop.nn._cells import GRU, LSTM, RNN, Hebbian
from innerloop.nn._core import Block, Cell, Core, Past, Stack
from innerloop.nn._cores import CoreName, CoreOptions, make_core
from innerloop.nn._external import NTM, Episodic, ReinstatingLSTM
from innerloop.nn._heads import PolicyHead, act_extras, greedy_action
from innerloop.nn._layers import CNN, MLP, Activation, Encoder, Init, LayerNorm, Linear, Product, orthogonal
from innerloop.nn._store import Found, Search, Store, noted, read, store_metrics, write
from innerloop.nn._structure import (
    Conditioned,
    HyperInit,
    Joined,
    MakeOut,
    PolicyName,
    PolicyOptions,
    Routed,
    conditioned,
)

__all__ = [
    "CNN",
    "GRU",
    "LSTM",
    "MLP",
    "NTM",
    "RNN",
    "Activation",
    "Block",
    "Cell",
    "Conditioned",
    "Core",
    "CoreName",
    "CoreOptions",
    "Encoder",
    "Episodic",
    "Found",
    "Hebbian",
    "HyperInit",
    "Init",
    "Joined",
    "LayerNorm",
    "Linear",
    "MakeOut",
    "Past",
    "PolicyHead",
    "PolicyName",
    "PolicyOptions",
    "Product",
    "ReinstatingLSTM",
    "Routed",
    "Search",
    "Stack",
    "Store",
    "act_extras",
    "conditioned",
    "greedy_action",
    "make_core",
    "noted",
    "orthogonal",
    "read",
    "store_metrics",
    "write",
]
