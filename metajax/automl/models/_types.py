"""What a type of models is, and what it fits."""

import abc
from typing import Any, Protocol

import jax
import numpy as np

from metajax.automl._training import Data
from metajax.space import Domain
from metajax.types import InputError


class Member(abc.ABC):
    """A fitted model: it predicts, and it can be written as arrays and plain settings.

    Attributes:
        settings: What ``arrays`` does not hold, as values that JSON can write.
        decided: Choices of the configuration that the fit decided by the evaluation rows, such as a number of iterations. They
            replace those of the configuration where the model is trained again.

    Example:
        >>> class Mean(Member):
        ...     def __init__(self, mean):
        ...         self.mean = np.asarray(mean)
        ...
        ...     def predict(self, x):
        ...         return np.broadcast_to(self.mean, (len(x), len(self.mean)))
        ...
        ...     def arrays(self):
        ...         return {"mean": self.mean}
        >>> Mean([0.25, 0.75]).predict(np.zeros((2, 3))).tolist()
        [[0.25, 0.75], [0.25, 0.75]]
    """

    settings: dict[str, Any] = {}  # noqa: RUF012  (members set their own)
    decided: dict[str, Any] = {}  # noqa: RUF012

    @abc.abstractmethod
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Returns probabilities [n, classes] or standardized values [n, 1] for rows f32[n, inputs]."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays by name; floating-point ones must be finite."""

    def staged(self, x: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
        """Returns what the model predicts after each of these shares of its training; by default always the same."""
        return [self.predict(x)] * len(shares)

    def predict_jax(self, x: jax.Array) -> jax.Array:
        """Returns what ``predict`` returns, f[n, classes] or f[n, 1], in operations of JAX. Only an export needs it.

        Args:
            x: f32[n, inputs], rows that JAX traces; n may be symbolic, and 64-bit types are enabled.

        Raises:
            InputError: If the type does not have it.
        """
        raise InputError(f"a model must have predict_jax to be exported, got {type(self).__name__}, which has none")


class ModelType(Protocol):
    """A type of models: its hyperparameters, how one is fitted, and how a saved one is read.

    Attributes:
        name: The name of the type among the choices of ``model``. Its hyperparameters are prefixed by it in the space.
    """

    name: str

    def domains(self, features: int, classification: bool) -> dict[str, Domain]:
        """Returns the domains of the hyperparameters by name, without the prefix.

        Args:
            features: Number of columns of the table.
            classification: Whether the target is a class.
        """
        ...

    def default_config(self, classification: bool) -> dict[str, Any]:
        """Returns the configuration that is trained first."""
        ...

    def fit(self, config: dict[str, Any], data: Data, seed: int, classification: bool, outputs: int) -> Member:
        """Fits a model.

        Args:
            config: The hyperparameters, without the prefix.
            data: NumPy arrays. In the search, ``x_eval`` and ``y_eval`` are there to decide by when to stop. They are empty
                where exactly this configuration is to be trained, such as the default that a search is compared with. Inputs
                may hold NaN. Every class has a row to train on. ``weights`` and ``weights_eval`` say how much rows count, or
                are ``None``.
            seed: Seed of all randomness.
            classification: Whether ``y`` holds class numbers; otherwise it holds standardized values.
            outputs: Number of classes, or 1.
        """
        ...

    def from_arrays(self, arrays: dict[str, np.ndarray], settings: dict[str, Any]) -> Member:
        """Returns the member that these arrays and settings were written from."""
        ...
