"""Blocks: groups that depend on each other with all their allowed combinations; products of blocks by mixed radix."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metajax.search._groups import Group, Limits
from metajax.types import InputError

_MAX_COMBINATIONS = 1_000_000


class Block(NamedTuple):
    """Groups that depend on each other.

    Attributes:
        members: int[m], the groups of the block.
        assignments: int[n, m], every allowed combination of their values.
    """

    members: np.ndarray
    assignments: np.ndarray


def blocks(parts: Sequence[Group], constraints: Limits) -> list[Block]:
    """The independent blocks of a space: a parent is in one block with its children, and so are the groups of one rule.

    Raises:
        InputError: If a block has over 10^6 combinations.
    """
    label = list(range(len(parts)))
    ties = [(i, g.parent) for i, g in enumerate(parts) if g.parent >= 0]
    ties += [(rule[0][0], group) for rule in constraints.forbidden for group, _ in rule]
    for a, b in ties:
        label = [label[b] if value == label[a] else value for value in label]
    return [
        _block(parts, constraints, [i for i, v in enumerate(label) if v == representative])
        for representative in dict.fromkeys(label)
    ]


def _block(parts: Sequence[Group], constraints: Limits, members: list[int]) -> Block:
    """The allowed combinations of some groups."""
    column = {group: i for i, group in enumerate(members)}  # parents come before their children
    assignments = np.zeros((1, 0), np.int64)
    for group in members:
        part = parts[group]
        if len(assignments) * len(part.rows) > 8 * _MAX_COMBINATIONS:
            names = sorted({parts[i].name for i in members})
            raise InputError(
                f"Enumerate: domains that depend on each other must have at most 10^6 combinations, but {names} have more; use "
                "search.Certify"
            )
        value = np.tile(np.arange(len(part.rows)), len(assignments))
        assignments = np.concatenate([np.repeat(assignments, len(part.rows), axis=0), value[:, None]], axis=1)
        if part.parent >= 0:
            exists = np.isin(assignments[:, column[part.parent]], part.accepted)
            assignments = assignments[np.where(exists, value < part.others, value == part.absent)]
    for rule in constraints.forbidden:
        if rule[0][0] in column:
            assignments = assignments[
                ~np.logical_and.reduce([values[assignments[:, column[group]]] for group, values in rule])
            ]
    return Block(np.array(members), assignments)


def largest_product(sizes: Sequence[int], max_product: int) -> tuple[list[int], list[int]]:
    """The indices whose sizes have the largest product up to ``max_product``, and the other indices.

    Example:
        >>> largest_product([10, 6, 7, 50], 70)
        ([0, 2], [1, 3])
    """
    best: dict[int, list[int]] = {1: []}
    for i, size in enumerate(sizes):
        for product, subset in list(best.items()):
            if product * size <= max_product and product * size not in best:
                best[product * size] = [*subset, i]
    inner = best[max(best)]
    return inner, [i for i in range(len(sizes)) if i not in inner]


class Sums:
    """A product of blocks: the values of its combinations, and the sums of the contributions of these values.

    Args:
        parts: The groups of the space.
        factors: The blocks; the first is the fastest digit.
        contributions: f64[values, units] for each group.
        units: Number of units.
    """

    def __init__(
        self, parts: Sequence[Group], factors: Sequence[Block], contributions: Sequence[np.ndarray], units: int
    ):
        self.groups, self.blocks = len(parts), list(factors)
        self.size = math.prod(len(block.assignments) for block in factors)
        share_of = lambda block: np.sum(
            [contributions[g][block.assignments[:, i]] for i, g in enumerate(block.members)], axis=0
        )
        shares = [share_of(block) for block in factors]
        self.tables = [np.zeros((1, units))]  # neighboring blocks are added up, so that a sum has few terms
        for share in shares:
            if len(self.tables[-1]) * len(share) <= 65_536:
                self.tables[-1] = (self.tables[-1][None] + share[:, None]).reshape(-1, units)
            else:
                self.tables.append(np.asarray(share))

    def values(self, index: np.ndarray) -> np.ndarray:
        """f64[n, units]: the sums for these combinations."""
        total = np.zeros((len(index), self.tables[0].shape[1]))
        for table in self.tables:
            total += table[index % len(table)]
            index = index // len(table)
        return total

    def assignments(self, index: np.ndarray) -> np.ndarray:
        """int[n, groups]: the values of these combinations, -1 in groups of other blocks."""
        assignments = np.full((len(index), self.groups), -1)
        for block in self.blocks:
            assignments[:, block.members] = block.assignments[index % len(block.assignments)]
            index = index // len(block.assignments)
        return assignments
