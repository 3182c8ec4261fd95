"""Storages of Optuna by their URL, and one sentence for each way in which a storage fails."""

import contextlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metajax._optional import check_installed, hint, is_installed
from metajax.types import InputError

_CONNECT_SECONDS = 10
_LOCK_SECONDS = 60
_FORMS = (
    "sqlite:///FILE, postgresql://HOST/DATABASE, mysql://HOST/DATABASE, journal:FILE or grpc://HOST:PORT, "
    "with a user and a password before HOST if needed"
)
_OPENINGS = 4  # Processes that create the tables at the same time get in each other's way.


def masked(url: str) -> str:
    """Returns a URL without its password, for messages and files.

    Example:
        >>> masked("postgresql://me:secret@host/trials"), masked("sqlite:///trials.db")
        ('postgresql://me:***@host/trials', 'sqlite:///trials.db')
    """
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url))


def has_password(url: str) -> bool:
    """Whether a URL holds a password."""
    return masked(url) != url


def open_storage(url: str, must_exist: bool = False) -> Any:
    """Opens a storage of Optuna.

    Args:
        url: ``sqlite:///FILE``, ``postgresql://...``, ``mysql://...``, ``journal:FILE`` (or a path that ends in ``.journal`` or
            ``.log``), or ``grpc://HOST:PORT``.
        must_exist: Refuse a file that does not exist; by default it is created.

    Returns:
        An ``optuna.storages.BaseStorage``.

    Raises:
        InputError: If Optuna or the driver of a database is not installed, the URL has another form, or the storage is down,
            read-only or of another version.
    """
    check_installed(f"storage={masked(url)!r}:", "optuna")
    kind, rest = _parse(url)
    file = Path(rest.split("?")[0]) if kind in ("sqlite", "journal") else None
    if must_exist and file is not None and not rest.startswith(("file:", ":memory:")) and not file.is_file():
        raise InputError(f"storage={masked(url)!r}: the file must exist, because a search creates it")
    with explained(url, opening=True):
        if kind == "journal":
            return _open_journal(rest)
        if kind == "grpc":
            return _open_proxy(rest)
        return _open_database(url, kind)


def _parse(url: str) -> tuple[str, str]:
    """Returns the kind of a storage and what follows it in the URL."""
    if url.startswith("journal:") and len(url) > len("journal:"):
        return "journal", url.removeprefix("journal:").removeprefix("//")
    scheme, separator, rest = url.partition("://")
    kind = scheme.split("+")[0]
    if not separator and Path(url).suffix in (".journal", ".log"):
        return "journal", url
    if kind == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return kind, rest[1:]
    if kind in ("postgresql", "mysql", "grpc") and rest:
        return kind, rest
    raise InputError(f"storage={masked(url)!r}: must be {_FORMS}")


def _open_database(url: str, kind: str) -> Any:
    """Opens a database, and creates its tables if it has none."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    if kind == "sqlite":
        options: dict[str, Any] = {"connect_args": {"timeout": _LOCK_SECONDS}}
    else:
        options = {"connect_args": {"connect_timeout": _CONNECT_SECONDS}, "pool_pre_ping": True}
    for number in range(1, _OPENINGS + 1):
        try:
            storage = RDBStorage(url, engine_kwargs=options)
            break
        except SQLAlchemyError as error:
            is_race = any(words in str(error).lower() for words in ("already exists", "unique", "duplicate"))
            if number == _OPENINGS or not is_race:
                raise
            time.sleep(0.5 * number)
    if kind == "sqlite":
        _lock_transactions(storage.engine)
    return storage


def _lock_transactions(engine: Any) -> None:
    """Lets every transaction of SQLite lock the file when it begins.

    By default a transaction locks the file at its first change, so that two processes could both read that a trial is waiting
    and both take it.
    """
    from sqlalchemy import event

    engine.dispose()  # connections that were opened before have another mode

    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions begin as `begin` says
        connection.execute("PRAGMA synchronous=NORMAL")  # safe against a kill, with fewer waits for the disk

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _open_journal(path: str) -> Any:
    """Opens a journal, and creates the file if there is none."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(path))


def _open_proxy(address: str) -> Any:
    """Connects to Optuna's gRPC server."""
    import warnings

    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import GrpcStorageProxy

    host, _, port = address.strip("/").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"storage='grpc://{address}': must be grpc://HOST:PORT")
    if not is_installed("grpc"):
        raise InputError(f"storage='grpc://{address}': needs gRPC: pip install grpcio protobuf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = GrpcStorageProxy(host=host, port=int(port))
    storage.wait_server_ready(timeout=_CONNECT_SECONDS)
    return storage


@contextlib.contextmanager
def explained(url: str, opening: bool = False) -> Iterator[None]:
    """Turns what a storage raises into one sentence.

    Args:
        url: The storage.
        opening: Whether the storage is being opened, so that whatever is raised is its fault.

    Raises:
        InputError: If the storage fails.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = _reason(error, url, opening)
        if reason is None:
            raise
        raise InputError(f"storage={masked(url)!r}: {reason}") from error


def _reason(error: Exception, url: str, opening: bool) -> str | None:
    """Why a storage fails; ``None`` if the error is not one of a storage."""
    names = {kind.__name__ for kind in type(error).__mro__}
    cause = error.__cause__ if "StorageInternalError" in names and error.__cause__ is not None else error
    original = getattr(cause, "orig", None)  # the error of the database within that of SQLAlchemy
    text = (str(original or cause).strip().splitlines() or [type(cause).__name__])[0]
    if isinstance(error, ImportError):
        return _missing_driver(url)
    if "no longer compatible with the table schema" in text:
        return f"must have the tables of the installed Optuna ({text})"
    if "readonly database" in text or "read-only" in text:
        return f"must be writable ({text})"
    if names & {"SQLAlchemyError", "StorageInternalError", "RpcError"}:
        return f"cannot be used ({text}); what has been recorded is kept"
    if isinstance(error, OSError) and _parse(url)[0] in ("journal", "grpc"):
        return f"cannot be used ({text})"
    return f"must be a storage of Optuna ({type(error).__name__}: {text})" if opening else None


def _missing_driver(url: str) -> str:
    """Says which driver a database needs."""
    driver = url.partition("://")[0].partition("+")[2]
    if _parse(url)[0] == "postgresql":
        return hint(driver or "psycopg")
    return hint(driver or ("MySQLdb" if _parse(url)[0] == "mysql" else "sqlalchemy"))
