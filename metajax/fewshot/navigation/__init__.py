"""Reinforcement learning as few-shot learning: 2-D navigation (Finn et al. 2017, arXiv:1703.03400, section 5.3).

A point starts at the origin and is to reach a goal that it cannot see; the goal is the task. A task's support and query are
trajectories, and its loss is the surrogate of the policy gradient, so that MAML takes it as it takes any other loss.
"""

from metajax.fewshot.navigation._learning import reinforced, returns_by_step, surrogate
from metajax.fewshot.navigation._rollout import NEAR, STEP, Policy, Trajectories, advantages, goals, log_prob, rollout

__all__ = [
    "NEAR",
    "STEP",
    "Policy",
    "Trajectories",
    "advantages",
    "goals",
    "log_prob",
    "reinforced",
    "returns_by_step",
    "rollout",
    "surrogate",
]
