"""Groups that depend on each other as one block of allowed combinations, and products of blocks by mixed radix."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metajax.search._groups import Group, Limits
from metajax.types import InputError

_MOST = 1_000_000


class Block(NamedTuple):
    """int[groups of the block], and int[n, groups of the block]: every allowed combination of their values."""

    members: np.ndarray
    taken: np.ndarray


def blocks(parts: Sequence[Group], keep: Limits) -> list[Block]:
    """A space as independent blocks: a parent with its children, and the groups that one rule speaks of.

    Raises:
        InputError: if a block has over 10^6 combinations.
    """
    label = list(range(len(parts)))
    ties = [(i, g.parent) for i, g in enumerate(parts) if g.parent >= 0]
    ties += [(rule[0][0], group) for rule in keep.forbidden for group, _ in rule]
    for a, b in ties:
        label = [label[b] if value == label[a] else value for value in label]
    return [_block(parts, keep, [i for i, v in enumerate(label) if v == one]) for one in dict.fromkeys(label)]


def _block(parts: Sequence[Group], keep: Limits, members: list[int]) -> Block:
    place = {group: i for i, group in enumerate(members)}  # parents come before their children
    taken = np.zeros((1, 0), np.int64)
    for group in members:
        part = parts[group]
        if len(taken) * len(part.rows) > 8 * _MOST:
            names = sorted({parts[i].name for i in members})
            raise InputError(
                f"enumerate: {names} depend on each other and have over 10^6 combinations; certify bounds them"
            )
        value = np.tile(np.arange(len(part.rows)), len(taken))
        taken = np.concatenate([np.repeat(taken, len(part.rows), axis=0), value[:, None]], axis=1)
        if part.parent >= 0:
            exists = np.isin(taken[:, place[part.parent]], part.accepted)
            taken = taken[np.where(exists, value < part.others, value == part.absent)]
    for rule in keep.forbidden:
        if rule[0][0] in place:
            taken = taken[~np.logical_and.reduce([values[taken[:, place[group]]] for group, values in rule])]
    return Block(np.array(members), taken)


def cut(sizes: Sequence[int], most: int) -> tuple[list[int], list[int]]:
    """Places whose product is as large as it can be up to ``most``, and the others.

    Example:
        >>> cut([10, 6, 7, 50], 70)
        ([0, 2], [1, 3])
    """
    best: dict[int, list[int]] = {1: []}
    for i, size in enumerate(sizes):
        for product, chosen in list(best.items()):
            if product * size <= most and product * size not in best:
                best[product * size] = [*chosen, i]
    inner = best[max(best)]
    return inner, [i for i in range(len(sizes)) if i not in inner]


class Sums:
    """A product of blocks: which values its combinations take, and the sums of what the values are worth.

    Args:
        parts: the groups of the space.
        some: blocks; the first is the fastest digit.
        worth: for each group f64[values, units].
        units: how many.
    """

    def __init__(self, parts: Sequence[Group], some: Sequence[Block], worth: Sequence[np.ndarray], units: int):
        self.groups, self.blocks = len(parts), list(some)
        self.size = math.prod(len(block.taken) for block in some)
        share_of = lambda block: np.sum([worth[g][block.taken[:, i]] for i, g in enumerate(block.members)], axis=0)
        shares = [share_of(block) for block in some]
        self.tables = [np.zeros((1, units))]  # neighboring blocks added up, so that a sum has few terms
        for share in shares:
            if len(self.tables[-1]) * len(share) <= 65_536:
                self.tables[-1] = (self.tables[-1][None] + share[:, None]).reshape(-1, units)
            else:
                self.tables.append(np.asarray(share))

    def values(self, index: np.ndarray) -> np.ndarray:
        """f64[n, units]: the sums of these combinations."""
        total = np.zeros((len(index), self.tables[0].shape[1]))
        for table in self.tables:
            total += table[index % len(table)]
            index = index // len(table)
        return total

    def taken(self, index: np.ndarray) -> np.ndarray:
        """int[n, groups]: the values taken, -1 in groups of other blocks."""
        found = np.full((len(index), self.groups), -1)
        for block in self.blocks:
            found[:, block.members] = block.taken[index % len(block.taken)]
            index = index // len(block.taken)
        return found
