"""Methods, one file for each, and the settings that they share."""

from innerloop.algorithms._critic import TaskCritic
from innerloop.algorithms._inner_loop import InnerLoop, MetaTraining, Net
from innerloop.algorithms._meta_gradient import MetaGradient
from innerloop.algorithms._on_policy import OnPolicy
from innerloop.algorithms._soft import OffPolicy, SoftObjective
from innerloop.algorithms._trust_region import TrustRegion
from innerloop.algorithms.anil import ANIL
from innerloop.algorithms.cavia import CAVIA
from innerloop.algorithms.dream import DREAM, DREAMLearner
from innerloop.algorithms.e_maml import EMAML
from innerloop.algorithms.e_rl2 import ERL2
from innerloop.algorithms.episodic_rl2 import EpisodicRL2
from innerloop.algorithms.epopt import EPOpt, WorstCase
from innerloop.algorithms.fine_tuning import FineTuning
from innerloop.algorithms.fomaml import FOMAML
from innerloop.algorithms.hyperx import HyperX, HyperXLearner
from innerloop.algorithms.maesn import MAESN
from innerloop.algorithms.maml import MAML
from innerloop.algorithms.memoryless import Memoryless, Oracle
from innerloop.algorithms.meta_policy_search import MetaPolicySearch
from innerloop.algorithms.meta_sgd import MetaSGD
from innerloop.algorithms.pearl import PEARL, PEARLLearner
from innerloop.algorithms.ppo import PPO
from innerloop.algorithms.promp import ProMP
from innerloop.algorithms.reptile import Reptile, ReptileLearner
from innerloop.algorithms.rl2 import RL2
from innerloop.algorithms.sac import SAC, SoftActorCritic
from innerloop.algorithms.varibad import BeliefSettings, VariBAD, VariBADLearner

__all__ = [
    "ANIL",
    "CAVIA",
    "DREAM",
    "EMAML",
    "ERL2",
    "FOMAML",
    "MAESN",
    "MAML",
    "PEARL",
    "PPO",
    "RL2",
    "SAC",
    "BeliefSettings",
    "DREAMLearner",
    "EPOpt",
    "EpisodicRL2",
    "FineTuning",
    "HyperX",
    "HyperXLearner",
    "InnerLoop",
    "Memoryless",
    "MetaGradient",
    "MetaPolicySearch",
    "MetaSGD",
    "MetaTraining",
    "Net",
    "OffPolicy",
    "OnPolicy",
    "Oracle",
    "PEARLLearner",
    "ProMP",
    "Reptile",
    "ReptileLearner",
    "SoftActorCritic",
    "SoftObjective",
    "TaskCritic",
    "TrustRegion",
    "VariBAD",
    "VariBADLearner",
    "WorstCase",
]
