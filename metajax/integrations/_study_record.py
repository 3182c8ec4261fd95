"""What a study says of its search, so that any worker can join it, and whether that is the same search."""

import json
import time
from typing import Any, NamedTuple

from metajax import __version__
from metajax.automl import Config
from metajax.run import Fingerprint, differences, to_dict
from metajax.run import _identity as identities
from metajax.space import Space, interop
from metajax.types import InputError

FORMAT = 1
"""The format of the attributes of studies and trials."""
RECORD = "metajax"
"""The user attribute of a study that holds its record."""
FINISHED = "finished"
"""The user attribute of a study that says whether its search needs no more trials."""
_CREATING_SECONDS = 10.0  # Another process may be about to write the record.
_PATHS = ("data", "test", "schema")  # which may differ from machine to machine
_OF_RUNS = ("baseline",)


class Record(NamedTuple):
    """What a study says of its search.

    Attributes:
        version: The version of metajax that created the study.
        config: The settings of the search, as plain values.
        data: The fingerprint of its data and model types, as plain values.
        space: Its space as JSON.
        total: The number of configurations that are tried, or ``None``.
        n_random: The number of configurations before the first proposal.
        heartbeat_seconds: The time between two signs of life of a worker.
        format: The format of the attributes.
    """

    version: str
    config: dict[str, Any]
    data: dict[str, Any]
    space: str
    total: int | None
    n_random: int
    heartbeat_seconds: float
    format: int = FORMAT

    @classmethod
    def of_study(cls, study: Any, name: str) -> "Record":
        """Reads the record of a study. If it has none yet, another process may be about to write it.

        Raises:
            InputError: If the study was not created by this version of metajax.
        """
        deadline = time.monotonic() + _CREATING_SECONDS
        while (content := study.user_attrs.get(RECORD)) is None:
            if study.get_trials(deepcopy=False) or time.monotonic() > deadline:
                raise InputError(
                    f"study={name!r}: must be a study that `metajax search` has created, but it is one of another program; "
                    "use another name"
                )
            time.sleep(0.5)
        given = content.get("format") if isinstance(content, dict) else None
        if given != FORMAT:
            raise InputError(
                f"study={name!r}: must have the format {FORMAT} of metajax {__version__}, got {given!r}; use the "
                "version of metajax that created it, or another study"
            )
        record = cls(**content)
        if record.version != __version__:
            raise InputError(
                f"study={name!r}: was created by metajax {record.version}, but this is metajax {__version__}; all "
                "processes of a study must have the same version"
            )
        return record

    def check(self, config: Config, identity: Fingerprint, name: str) -> None:
        """Checks that the settings and the data of a search are those of the study.

        Raises:
            InputError: If they differ.
        """
        own = to_dict(config)
        differ = [
            f"{key}={own[key]!r} (there {self.config.get(key)!r})"
            for key in own
            if key not in (*_PATHS, *_OF_RUNS) and own[key] != self.config.get(key)
        ]
        if differ:
            raise InputError(
                f"study={name!r}: must have the settings of this search, but differs in {', '.join(differ)}; use these "
                "settings, or another name"
            )
        if lines := differences(identities.from_json(self.data), json_like(identity)):
            raise InputError(
                f"study={name!r}: is of other data or model types ({'; '.join(lines)}); all processes of a study must read the "
                "same data and have the same libraries of models"
            )

    def check_space(self, space: Space, study: Any, name: str) -> None:
        """Checks that the space of the study, and the distributions of its trials, are those of a search.

        Raises:
            InputError: If they differ.
        """
        if interop.from_json(self.space) != space:
            raise InputError(
                f"study={name!r}: must have the space of this search, but has another one; use another name"
            )
        distributions = interop.to_optuna(space)
        for trial in study.get_trials(deepcopy=False):
            for parameter, distribution in trial.distributions.items():
                if distributions.get(parameter) != distribution:
                    raise InputError(
                        f"study={name!r}: parameter {parameter!r} of trial {trial.number} must be "
                        f"{distributions.get(parameter)}, got {distribution}; use another name"
                    )


def json_like(identity: Fingerprint) -> Fingerprint:
    """Returns a fingerprint as it is after it was written and read."""
    return identities.from_json(json.loads(json.dumps(identities.to_json(identity))))


def make_record(
    config: Config, identity: Fingerprint, space: Space, total: int | None, n_random: int, heartbeat_seconds: float
) -> Record:
    """Returns the record of a new study."""
    return Record(
        __version__,
        to_dict(config),
        identities.to_json(identity),
        interop.to_json(space),
        total,
        n_random,
        heartbeat_seconds,
    )
