"""Trials that several processes train through a storage of Optuna: none is lost or counted twice, and bad input is named."""

import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import postgres
import pytest
import shared_task
from shared_task import SPACE, TASK, score_of

optuna = pytest.importorskip("optuna")

import metajax  # noqa: E402
from metajax import _optional, automl, cli, run  # noqa: E402
from metajax.automl._explore import start  # noqa: E402
from metajax.automl._plan import make_plan  # noqa: E402
from metajax.automl._shared import explore_shared  # noqa: E402
from metajax.automl._waves import Stopped  # noqa: E402
from metajax.integrations import _shared_study, _study_record, workers  # noqa: E402
from metajax.integrations._storages import masked, open_storage  # noqa: E402
from metajax.integrations._study_record import RECORD  # noqa: E402
from metajax.integrations._trial_queue import ENTRY, Heartbeat, TrialQueue  # noqa: E402
from metajax.types import InputError  # noqa: E402

CONFIG = automl.Config("table", trials=16, method="random", baseline=False)


@pytest.fixture(autouse=True)
def quiet():
    """Optuna prints as much after a test as before it."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/trials.db"


def started(url, config=CONFIG, name="s", seconds=0.05):
    shared = workers.SharedStudy(url, name, heartbeat_seconds=seconds)
    plan = make_plan(TASK, config.trials, config.minutes, config.uses_meta_learner)
    return shared, shared.begin(config, TASK, {}, plan)


def trials_of(url, name="s"):
    return optuna.load_study(study_name=name, storage=open_storage(url)).get_trials()


def assert_each_counts_once(trials, total):
    """Every entry has one trial that was trained to its end, with the result of its own configuration, and none is open."""
    done = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED") or t.user_attrs.get("failed")]
    assert sorted(Counter(t.user_attrs[ENTRY] for t in done).values()) == [1] * total
    assert {int(t.user_attrs[ENTRY]) for t in done} == set(range(total))
    assert not [t for t in trials if not t.state.is_finished()]
    for trial in done:
        if trial.state.name == "COMPLETE":
            assert trial.value == pytest.approx(score_of(trial.params), abs=1e-5)
            assert len(trial.intermediate_values) == 8 and trial.user_attrs["seconds"] == 0.1


@pytest.mark.parametrize(
    "method", ["random", *(pytest.param(name, marks=pytest.mark.slow) for name in ("metalearner", "optuna"))]
)
def test_a_search_with_a_storage_ends_like_another_one(url, method, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_task.time, "sleep", lambda seconds: None)
    config = automl.Config("table", trials=16, method=method)
    shared, lines = started(url, config)
    assert "Created the study 's': 0 of 16" in lines[0]
    with run.RunDirectory(tmp_path / "run", {}) as directory:
        recorder = start(config, directory, TASK, False, time.perf_counter(), bar=False)
        exploration = explore_shared(config, recorder, shared)
    trials = trials_of(url)
    assert_each_counts_once(trials, 16)
    history = exploration.history
    assert history.count("random", "proposed") == 16 and history.count("baseline") == 0
    best = max(t.value for t in trials if t.state.name == "COMPLETE")
    assert np.nanmax(history.trials("random", "proposed").metric) == pytest.approx(best)
    assert max(np.nanmax(wave.score) for wave in history.waves if wave.source == "promoted") == pytest.approx(best)
    assert exploration.best_random is not None
    with run.RunDirectory(tmp_path / "run", {}, resume=True) as directory:
        again, _ = started(url, config)
        recorder = start(config, directory, TASK, False, time.perf_counter(), bar=False)
        resumed = explore_shared(config, recorder, again)
    assert len(trials_of(url)) == 16 and len(resumed.history.waves) == len(history.waves)
    for a, b in zip(resumed.history.waves, history.waves):
        np.testing.assert_array_equal(a.requested, b.requested)


def test_the_trial_of_a_dead_worker_is_given_to_another_one(url):
    shared, _ = started(url)
    study = shared._worker._study
    dead, other = (TrialQueue(study, 0.2, 16, name) for name in ("dead", "other"))
    trial = dead.take()
    params = shared_task.SPACE and {"kind": trial.suggest_categorical("kind", ("flat", "deep"))}
    assert other.recover() == 0, "it may be alive"
    with Heartbeat(study._storage, 0.05) as heartbeat:
        heartbeat.add(trial._trial_id)
        time.sleep(0.5)
        assert other.recover() == 0, "it is alive"
        time.sleep(0.5)
        assert other.recover() == 0, "it is still alive"
    end, n_lost = time.monotonic() + 20, 0
    while not n_lost and time.monotonic() < end:  # a last beat may have come after it was seen alive
        time.sleep(0.1)
        n_lost = other.recover()
    assert n_lost == 1
    trials = other.trials()
    assert trials[trial.number].user_attrs["not trained"] == "its worker died"
    assert trials[-1].user_attrs[ENTRY] == "0" and trials[-1].system_attrs["fixed_params"] == params | {"x": 0.5}
    with pytest.raises(ValueError, match="FAIL"):
        study.tell(trial, 1.0)  # the worker was only slow: what it has to say does not count
    assert other.recover() == 0 and len(other.trials()) == 17


def test_a_trial_that_two_processes_add_is_trained_once(url):
    shared, _ = started(url)
    queue = shared._worker._queue
    study = shared._worker._study
    study.enqueue_trial({}, user_attrs={ENTRY: "3"})
    while shared.train_next(None, lambda: False):
        pass
    assert shared.is_settled and len(queue.done()) == 16
    assert trials_of(url)[16].user_attrs["not trained"] == "another trial has its entry"
    assert_each_counts_once(trials_of(url), 16)


def test_two_processes_that_begin_at_once_add_the_trials_once(url, monkeypatch):
    started(url)
    monkeypatch.setattr(_shared_study, "_FILLING_SECONDS", 0.1)
    shared, lines = started(url)
    assert "Joined the study 's': 0 of 16" in lines[0] and len(trials_of(url)) == 16
    shared._storage.set_study_user_attr(shared._worker._study._study_id, "finished", True)
    assert shared._worker.is_finished


def test_what_a_worker_has_no_time_for_waits_again(url):
    shared, _ = started(url)
    assert shared.train_next(lambda seconds: False, lambda: False) == 0
    assert shared.train_next(None, lambda: True) == 0
    states = Counter(trial.state.name for trial in trials_of(url))
    assert states["WAITING"] == 16 and states["RUNNING"] == 0


def test_a_search_that_is_stopped_gives_its_trials_back(url, tmp_path):
    shared, _ = started(url)
    with run.RunDirectory(tmp_path / "run", {}) as directory:
        recorder = start(CONFIG, directory, TASK, False, time.perf_counter(), bar=False)
        recorder.is_stopped = lambda: len(recorder.history.waves) == 2
        with pytest.raises(Stopped):
            explore_shared(CONFIG, recorder, shared)
    assert not any(trial.state.name == "RUNNING" for trial in trials_of(url))


def test_a_journal_is_a_storage(tmp_path):
    url = f"journal:{tmp_path}/trials.journal"
    first, _ = started(url)
    second, _ = started(url)
    while first.train_next(None, lambda: False) and second.train_next(None, lambda: False):
        pass
    assert_each_counts_once(trials_of(url), 16)
    assert type(open_storage(f"{tmp_path}/trials.journal")).__name__ == "JournalStorage"


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("trials.db", "storage='trials.db': must be sqlite:///FILE, postgresql://"),
        ("redis://host/0", "must be sqlite:///FILE"),
        ("sqlite:////no/such/directory/trials.db", "cannot be used (unable to open database file)"),
        ("journal:/no/such/directory/trials", "cannot be used ([Errno 2]"),
        ("grpc://host", "must be grpc://HOST:PORT"),
        ("postgresql+no_such_driver://me:secret@host/x", "storage='postgresql+no_such_driver://me:***@host/x': "),
        ("postgresql://me:secret@127.0.0.1:1/x", "storage='postgresql://me:***@127.0.0.1:1/x': "),
    ],
)
def test_a_storage_that_cannot_be_opened_is_one_sentence(storage, message):
    with pytest.raises(InputError) as error:
        open_storage(storage)
    assert message in str(error.value) and "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_storage_of_another_version_or_program_is_refused(url, tmp_path):
    import sqlalchemy

    started(url)
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v9.9.9'")
    with pytest.raises(InputError, match=r"must have the tables of the installed Optuna \(The runtime optuna"):
        open_storage(url)
    for name in ("other.db", "other.journal"):
        (tmp_path / name).write_text("years of work\n" * 100)
    with pytest.raises(InputError, match="file is not a database"):
        open_storage(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(InputError, match="must be a storage of Optuna"):
        open_storage(f"journal:{tmp_path}/other.journal")
    assert (tmp_path / "other.db").read_text().startswith("years")


def test_a_storage_that_is_read_only_is_refused_before_any_work(url, tmp_path):
    started(url)
    read_only = f"sqlite:///file:{tmp_path}/trials.db?mode=ro&uri=true"
    with pytest.raises(InputError, match=r"must be writable \(attempt to write a readonly database\)"):
        started(read_only)
    assert len(trials_of(url)) == 16


def test_a_study_of_another_search_is_refused(url, monkeypatch):
    shared, _ = started(url)
    plan = make_plan(TASK, 16, None, False)
    other = automl.Config("table", trials=16, method="random", seed=7)
    with pytest.raises(InputError, match=r"study='s': must have the settings of this search, but differs in seed=7"):
        shared.begin(other, TASK, {}, plan)
    with pytest.raises(InputError, match="is of other data or model types"):
        shared.begin(CONFIG, TASK, run.fingerprint(x=np.zeros(3)), plan)
    space = metajax.Space({"x": metajax.Float(0.0, 2.0)})
    with pytest.raises(InputError, match="must have the space of this search"):
        shared.begin(CONFIG, TASK._replace(space=space, default={"x": 0.5}), {}, plan)
    with pytest.raises(InputError, match="method='defaults': must be one of metalearner, random, optuna"):
        shared.begin(automl.Config("table", method="defaults"), TASK, {}, plan)
    with pytest.raises(InputError, match="must be left out for images"):
        shared.check(CONFIG, run.fingerprint(images=np.zeros(3)))
    with monkeypatch.context() as patch:
        patch.setattr(_study_record, "__version__", "9.0")
        with pytest.raises(InputError, match=r"was created by metajax \S+, but this is metajax 9.0"):
            shared.begin(CONFIG, TASK, {}, plan)
    record = shared._worker._record._replace(format=99)
    shared._worker._study.set_user_attr(RECORD, record._asdict())
    with pytest.raises(InputError, match=r"must have the format 1 of metajax \S+, got 99"):
        shared.begin(CONFIG, TASK, {}, plan)


def test_a_study_of_other_distributions_or_programs_is_refused(url):
    shared, _ = started(url)
    study = shared._worker._study
    distribution = optuna.distributions.FloatDistribution(0.0, 9.0)
    study.add_trial(optuna.create_trial(params={"x": 8.0}, distributions={"x": distribution}, value=1.0))
    with pytest.raises(InputError, match="parameter 'x' of trial 16 must be FloatDistribution"):
        started(url)
    foreign = optuna.create_study(study_name="foreign", storage=open_storage(url))
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(InputError, match="must be a study that `metajax search` has created"):
        started(url, name="foreign")
    assert len(foreign.trials) == 1


def test_the_command_names_what_is_wrong_before_any_work(url, tmp_path, capsys, monkeypatch):
    file = url.removeprefix("sqlite:///")

    def error_of(*arguments):
        assert cli.main(list(arguments)) == 2
        return capsys.readouterr().err

    assert "the file must exist, because a search creates it" in error_of("worker", url, "s")
    assert not Path(file).exists()
    search = ["search", "--data", "iris", "--trials", "16", "--out", str(tmp_path / "run")]
    assert "error: --study s: needs a storage; pass --storage URL" in error_of(*search, "--study", "s")
    assert "error: --storage trials.db: must be sqlite:///FILE" in error_of(*search, "--storage", "trials.db")
    started(url)
    assert "study='x': must be a study of the storage, which has s" in error_of("worker", url, "x")
    assert "error: --study s: must have the settings" in error_of(*search, "--storage", url, "--study", "s")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(_optional, "is_installed", lambda module: module != "optuna")
    assert "needs Optuna: pip install 'metajax[optuna]'" in error_of(*search, "--storage", url)
    assert "needs Optuna: pip install 'metajax[optuna]'" in error_of("worker", url, "s")


def test_a_worker_reads_settings_from_the_study_and_refuses_other_data(url, tmp_path, monkeypatch, capsys):
    """A table whose trainings are replaced, so that a whole worker runs in a second."""
    pytest.importorskip("sklearn")
    rows = "a,b,y\n" + "\n".join(f"{i % 7},{i % 5},{i % 2}" for i in range(60))
    (tmp_path / "a.csv").write_text(rows)
    (tmp_path / "b.csv").write_text(rows.replace("3,", "4,"))
    from metajax.automl._load import identify, load_data

    config = automl.Config(str(tmp_path / "a.csv"), target="y", trials=16, method="random")
    monkeypatch.setattr(workers, "load_task", lambda dataset, test, config: (TASK, None))
    shared = workers.SharedStudy(url, "s")
    identity = identify(load_data(config))
    shared.begin(config, TASK, identity, make_plan(TASK, 16, None, False))
    with pytest.raises(InputError, match="is of other data or model types"):
        workers.work(url, "s", data=str(tmp_path / "b.csv"))
    (tmp_path / "c.csv").write_text(rows)
    (tmp_path / "a.csv").unlink()
    assert workers.work(url, "s", data=str(tmp_path / "c.csv")) == 16
    assert "is done, and has trained 16 configurations" in capsys.readouterr().err
    assert_each_counts_once(trials_of(url), 16)


def test_a_run_remembers_its_storage_without_the_password(url, tmp_path):
    shared, _ = started(url)
    shared.remember(tmp_path)
    record = tmp_path / "storage.json"
    workers.SharedStudy.of_run(record)
    with pytest.raises(InputError, match="must be that of the run"):
        workers.SharedStudy.of_run(record, "sqlite:///other.db")
    with pytest.raises(InputError, match="study='t': must be that of the run, 's'"):
        workers.SharedStudy.of_run(record, study="t")
    with pytest.raises(InputError, match="the run there has no storage"):
        workers.SharedStudy.of_run(tmp_path / "none.json", url)
    shared._url = "postgresql://me:secret@host/trials?password=secret"
    shared.remember(tmp_path)
    assert "secret" not in record.read_text()
    with pytest.raises(InputError, match=r"the password of postgresql://me:\*\*\*@host"):
        workers.SharedStudy.of_run(record)
    assert masked("postgresql://me:p@ss@host/x") == "postgresql://me:***@host/x"


def finish_with_kills(url):
    with tempfile.TemporaryFile("w+") as errors:
        return kill_and_finish(url, errors)


def kill_and_finish(url, errors, total=200, seconds=3.0):
    """Four workers train, of which one is killed every few seconds, on a slow machine after six trials; returns the kills.

    It is one that has trained something, so that a machine on which workers start slowly makes progress, too.
    """
    config = automl.Config("table", trials=total, method="random")
    shared, _ = started(url, config, seconds=0.5)
    command = [sys.executable, str(Path(shared_task.__file__)), url, "s"]
    start_worker = lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    processes = [start_worker() for _ in range(4)]
    rng, killed, n_kills, n_done = random.Random(0), time.monotonic(), 0, 0
    try:
        while not shared.is_settled:
            time.sleep(0.5)
            assert all(process.poll() in (None, 0) for process in processes), read_again(errors)
            if time.monotonic() - killed > seconds and len(done := shared._worker._queue.done()) >= n_done + 6:
                names = {trial.user_attrs["worker"] for trial in done}
                victims = [p for p in processes if p.poll() is None and any(f"-{p.pid}-" in name for name in names)]
                if victims:
                    victim = rng.choice(victims)
                    victim.kill()
                    victim.wait()
                    processes[processes.index(victim)] = start_worker()
                    killed, n_kills, n_done = time.monotonic(), n_kills + 1, len(done)
        assert [process.wait(120) for process in processes] == [0] * 4
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return n_kills


def read_again(file):
    file.seek(0)
    return file.read()


def assert_nothing_was_lost(url, n_kills):
    trials = trials_of(url)
    assert_each_counts_once(trials, 200)
    lost = [trial for trial in trials if trial.user_attrs.get("not trained") == "its worker died"]
    assert n_kills >= 2 and len(lost) >= 1
    names = {trial.user_attrs.get("worker") for trial in trials if trial.state.name == "COMPLETE"}
    assert len(names) >= 4


@pytest.mark.slow
def test_workers_of_sqlite_that_are_killed_lose_nothing(tmp_path):
    memory = Path("/dev/shm")
    directory = memory / f"metajax_{tmp_path.name}_{time.time_ns()}" if memory.is_dir() else tmp_path / "trials"
    directory.mkdir()
    try:
        url = f"sqlite:///{directory}/trials.db"
        assert_nothing_was_lost(url, finish_with_kills(url))
    finally:
        for file in directory.iterdir():
            file.unlink()
        directory.rmdir()


@pytest.mark.slow
def test_workers_of_postgresql_that_are_killed_lose_nothing(tmp_path_factory):
    pytest.importorskip("psycopg", reason="needs the driver psycopg")
    binaries = postgres.find_server()
    if binaries is None:
        pytest.skip("PostgreSQL (initdb, pg_ctl) is not installed")
    with postgres.server(binaries) as url:
        assert_nothing_was_lost(url, finish_with_kills(url))


def test_a_space_that_is_known_is_suggested_whole():
    from metajax.integrations.optuna import MetaLearnerSampler
    from metajax.space import interop

    study = optuna.create_study(
        direction="maximize", sampler=MetaLearnerSampler(n_startup_trials=4, seed=0, space=SPACE)
    )
    study.optimize(lambda trial: score_of(interop.suggest(SPACE, trial)), n_trials=16)
    assert all(("depth" in t.params) == (t.params["kind"] == "deep") for t in study.trials)
    assert study.best_value > 1.0
