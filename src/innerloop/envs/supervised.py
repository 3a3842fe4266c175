"""Few-shot supervised learning as episodes: questions in, answers out."""

from innerloop._env import Env


class Supervised(Env):
    """An env whose actions are answers: the right one shows in `next_timestep.prev_action`.

    An episode is a set of questions, each an observation; what is answered has no influence on what is asked next. A
    learner that is fed its previous action is thus fed the previous answer (Hochreiter et al. 2001; Santoro et al. 2016,
    section 2), one that adapts by gradients descends on the error at the answers.
    """
