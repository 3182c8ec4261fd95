"""Checkpoints on Orbax's v1 API; every Orbax call of the project is in this file.

A checkpoint holds the learner's state and the position of the data. The latest and the best are kept: the latest to go
on from, the best to use.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from metajax.types import InputError


class Checkpoints:
    """The checkpoints of one run.

    Args:
        path: their directory.
        best: the metric by which the best one is kept beside the latest; ``None`` keeps the latest only.
        maximize: whether larger is better.
        keep: how many of the latest to keep.
    """

    def __init__(self, path: Path, best: str | None = None, maximize: bool = True, keep: int = 2):
        logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax logs every save at length
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from orbax.checkpoint import v1 as ocp
        self._best, self._maximize = best, maximize
        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(keep)]
        if best is not None:
            # reverse=True keeps the lowest; a checkpoint saved without metrics must never count as the best
            kept.append(
                policies.BestN(
                    get_metric_fn=lambda metrics: metrics[best],  # type: ignore[index]
                    reverse=not maximize,
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self._checkpointer: Any = ocp.training.Checkpointer(
            Path(path).resolve(),  # type: ignore[arg-type]
            preservation_policy=policies.AnyPreservationPolicy(kept),  # type: ignore[arg-type]
        )
        self.path = Path(path)

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        found = self._checkpointer.latest
        return None if found is None else int(found.step)

    @property
    def best(self) -> int | None:
        """The step of the best one by the metric, or the latest if none was measured."""
        measured = {int(c.step): dict(c.metrics or {}).get(self._best or "") for c in self._checkpointer.checkpoints}
        scores = {step: float(value) for step, value in measured.items() if isinstance(value, int | float)}
        if not scores:
            return self.latest
        sign = 1.0 if self._maximize else -1.0
        return max(scores, key=lambda step: sign * scores[step])

    def save(self, step: int, state: Any, position: Any = None, metrics: dict[str, Any] | None = None) -> None:
        """Writes a checkpoint; complete or, after a kill, not there."""
        content = {"state": state, "position": {"value": np.frombuffer(_to_bytes(position), np.uint8)}}
        self._checkpointer.save_checkpointables(
            step, content, metrics=dict(metrics) if metrics else None, overwrite=True
        )

    def restore(self, like: Any, step: int | None = None) -> tuple[int, Any, Any]:
        """The step, the state and the data position of a checkpoint (default: the latest).

        Args:
            like: a state of the same structure; its values are not used.

        Raises:
            InputError: if there is no checkpoint or it has another structure.
        """
        step = self.latest if step is None else step
        if step is None:
            raise InputError(f"{self.path}: no complete checkpoint is there to resume from")
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like)
        try:
            found = self._checkpointer.load_checkpointables(step, {"state": abstract, "position": None})
        except (ValueError, KeyError, TypeError) as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise InputError(f"{self.path}: checkpoint {step} is of another config or learner ({reason})") from error
        shapes = lambda tree: [(x.shape, str(x.dtype)) for x in jax.tree.leaves(tree)]
        if shapes(found["state"]) != shapes(like):
            raise InputError(f"{self.path}: checkpoint {step} is of another config: its arrays have other shapes")
        return step, found["state"], _from_bytes(np.asarray(found["position"]["value"]).tobytes())

    def close(self) -> None:
        self._checkpointer.close()


def _to_bytes(position: Any) -> bytes:
    """A data position is ``None``, bytes or JSON; a tag in front says which."""
    if position is None:
        return b"n"
    return b"b" + position if isinstance(position, bytes) else b"j" + json.dumps(position).encode()


def _from_bytes(data: bytes) -> Any:
    tag, rest = data[:1], data[1:]
    return {b"n": lambda: None, b"b": lambda: rest, b"j": lambda: json.loads(rest)}[tag]()
