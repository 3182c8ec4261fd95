"""Configurations and encodings: the one layout that the SuperNet and the meta-learner both read.

The encoding is the domains' blocks side by side in the order of the space: one-hot for ``Categorical``, one number in the unit
interval for ``Float`` and ``Integer``, multi-hot for ``Subset``. Blocks of inactive domains are zero.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping as jt
import numpy as np

from metajax._typing import checked
from metajax.space._domains import Categorical, Float, Integer, Subset
from metajax.space._layout import Configs, Layout
from metajax.space._moves import first_value
from metajax.space._rows import as_array, padded
from metajax.types import InputError

_DTYPES = {Categorical: np.int32, Integer: np.int32, Float: np.float32, Subset: bool}


class Encoding(Layout):
    """The methods of a space that turn configurations into encodings and plain dictionaries, and back."""

    @checked
    def active(self, configs: Configs) -> dict[str, jt.Bool[jax.Array, " n"]]:
        """Returns for each name in which configurations the domain exists.

        Args:
            configs: A struct of arrays, as ``configs`` makes it.

        Example:
            >>> from metajax.space import Categorical, Integer, Space
            >>> space = Space({"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3)}, [("kernel", "op", ("conv",))])
            >>> space.active(space.configs([{"op": "skip"}, {"op": "conv", "kernel": 2}]))["kernel"].tolist()
            [False, True]
        """
        n = len(next(iter(configs.values())))
        result: dict[str, jax.Array] = {}
        for name in self.order:
            if name not in self.conditions:
                result[name] = jnp.ones(n, bool)
                continue
            _, parent, values = self.conditions[name]
            domain = self.domains[parent]
            accepted = jnp.asarray(np.asarray([domain.from_python(v, parent) for v in values], np.int32))
            column = jnp.asarray(configs[parent])
            if domain.shape:  # digits of a number of more than 32 bits
                equal = jnp.any(jnp.all(column[:, None] == accepted, axis=-1), axis=-1)
            else:
                equal = jnp.isin(column, accepted)
            result[name] = result[parent] & equal
        return {name: result[name] for name in self.domains}

    def canonical(self, configs: Configs) -> Configs:
        """Returns the same configurations with every inactive column at the first value of its domain.

        Args:
            configs: A struct of arrays.
        """
        active, result = self.active(configs), {}
        for name, domain in self.domains.items():
            column = jnp.asarray(configs[name])
            first = jnp.asarray(first_value(domain), column.dtype)
            mask = active[name].reshape((-1,) + (1,) * (column.ndim - 1))
            result[name] = jnp.where(mask, column, first)
        return result

    @checked
    def encode(self, configs: Configs) -> jt.Float32[jax.Array, "n {self.width}"]:
        """Returns the encodings of configurations; inactive parts are zero. The method can be jitted.

        Args:
            configs: A struct of arrays, as ``configs`` and ``sample`` make it.

        Raises:
            InputError: If a column is missing or has another shape.

        Example:
            >>> from metajax.space import Categorical, Integer, Space
            >>> space = Space({"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3)})
            >>> space.encode(space.configs([{"op": "conv", "kernel": 2}])).tolist()
            [[0.0, 1.0, 0.5]]
        """
        missing = [name for name in self.domains if name not in configs]
        if missing:
            raise InputError(f"encode: configs must have the columns {list(self.domains)}, but lacks {missing}")
        columns = {name: as_array(configs[name]) for name in self.domains}
        for name, domain in self.domains.items():
            if columns[name].ndim != 1 + len(domain.shape) or columns[name].shape[1:] != domain.shape:
                accepted = ", ".join(["n", *map(str, domain.shape)])
                raise InputError(
                    f"encode: the column of {name} must have the shape ({accepted}), as configs returns it, got "
                    f"{columns[name].shape}"
                )
        return _encode(self, columns)

    def decode_configs(self, encodings: Any) -> Configs:
        """Returns the nearest configurations to any encodings as a struct of arrays. The method can be jitted.

        Nearest is the largest entry of a one-hot block, the rounded number, and the items of a multi-hot block from one half.

        Args:
            encodings: Array[n, width], or one row array[width].

        Raises:
            InputError: If the encodings have another width.
        """
        rows = as_array(encodings, np.float32)
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.shape[-1] != self.width:
            raise InputError(f"decode: encodings must have width {self.width}, as the space, got {rows.shape[-1]}")
        return _decode(self, rows)

    def decode(self, encodings: Any) -> list[dict[str, Any]]:
        """Returns the nearest configurations to any encodings as plain dictionaries without inactive names.

        Args:
            encodings: Array[n, width], or one row array[width].

        Example:
            >>> from metajax.space import Categorical, Integer, Space
            >>> space = Space({"op": Categorical(("skip", "conv")), "kernel": Integer(1, 3)})
            >>> space.decode([[0.2, 0.8, 0.6]])
            [{'op': 'conv', 'kernel': 2}]
        """
        return self.dicts(self.decode_configs(encodings))

    def dicts(self, configs: Configs) -> list[dict[str, Any]]:
        """Returns configurations as plain dictionaries of plain values, without inactive names.

        Args:
            configs: A struct of arrays.
        """
        active = _active(self, {name: as_array(configs[name]) for name in self.domains})
        is_active = {name: np.asarray(column) for name, column in active.items()}
        columns = {name: np.asarray(configs[name]) for name in self.domains}
        return [
            {name: d.to_python(columns[name][i]) for name, d in self.domains.items() if is_active[name][i]}
            for i in range(len(next(iter(columns.values()))))
        ]

    def configs(self, dicts: Sequence[Mapping[str, Any]]) -> Configs:
        """Returns a struct of arrays from plain dictionaries. Names that are inactive may be left out.

        Args:
            dicts: One dictionary of names and values for each configuration.

        Raises:
            InputError: If a row is not a configuration of the space; the message names the row and the domain.
        """
        if not isinstance(dicts, Iterable) or isinstance(dicts, Mapping | str):
            raise InputError(f"configs must be a list of dictionaries, got {dicts!r}")
        rows = [self._row(number, config) for number, config in enumerate(dicts)]
        return {
            name: jax.device_put(np.asarray([row[name] for row in rows], _DTYPES[type(d)]).reshape((-1, *d.shape)))
            for name, d in self.domains.items()
        }

    def _row(self, number: int, config: Any) -> dict[str, Any]:
        """Returns the values of one dictionary as the columns hold them."""
        if not isinstance(config, Mapping):
            raise InputError(f"configuration {number} must be a dictionary of names and values, got {config!r}")
        unknown = [name for name in config if name not in self.domains]
        if unknown:
            raise InputError(f"configuration {number} must have names among {list(self.domains)}, got {unknown}")
        parents = {condition.parent for condition in self.conditions.values()}
        row: dict[str, Any] = {}
        plain: dict[str, Any] = {}  # the values of the parents that are active
        for name in self.order:
            domain, condition = self.domains[name], self.conditions.get(name)
            if condition is not None and not (
                condition.parent in plain and plain[condition.parent] in condition.values
            ):
                row[name] = first_value(domain)
                continue
            if name not in config:
                raise InputError(f"configuration {number} must have a value of {name}")
            row[name] = domain.from_python(config[name], f"configuration {number}: {name}")
            if name in parents:
                plain[name] = domain.to_python(row[name])
        return row


@padded
def _encode(space: Encoding, configs: Configs) -> jax.Array:
    active = space.active(configs)
    blocks = [
        d.encode(jnp.asarray(configs[name])).astype(jnp.float32) * active[name][:, None].astype(jnp.float32)
        for name, d in space.domains.items()
    ]
    return jnp.concatenate(blocks, axis=-1)


@padded
def _decode(space: Encoding, encodings: jax.Array) -> Configs:
    return space.canonical({name: d.decode(encodings[:, space.slices[name]]) for name, d in space.domains.items()})


_active = padded(Encoding.active)
