"""Benchmarks from their command lines at tiny sizes: that they run and check that the same work is done; never how fast."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import harness
from experiments.benchmarks import all as every
from experiments.benchmarks import compare, maml, profile
from metajax.types import InputError

PEERED = {"maml", "fomaml", "anil", "meta-sgd", "protonet", "sinusoid", "supernet_small", "population"}


def result(path):
    return json.loads((path / "result.json").read_text())


@pytest.mark.slow
@pytest.mark.usefixtures("all_cores")
@pytest.mark.parametrize("name", [name for name in every.JOBS if name not in ("supernet_large", "search_steps_large")])
def test_runs(name, tmp_path, capsys):
    if name in PEERED and importlib.util.find_spec("torch") is None:
        pytest.skip("needs torch, of the extra peers")
    module, *flags = every.JOBS[name]
    flags = [] if module in ("supernet", "search_steps") else flags
    benchmark = importlib.import_module(f"experiments.benchmarks.{module}").EXPERIMENT
    assert benchmark.main([*flags, "--preset", "tiny", "--out", str(tmp_path / "r")]) == 0
    written = result(tmp_path / "r")
    assert all(np.isfinite(list(written["metrics"].values())))
    if name == "profile":
        assert written["protocol"] in capsys.readouterr().out
        return
    assert written["claims"]
    assert {"ratio", "ratio_low", "ratio_high"} <= set(written["metrics"])
    assert written["claims"][0]["what"] in capsys.readouterr().out


@pytest.mark.slow
def test_memory_is_saved_and_the_gradient_is_the_same(tmp_path):
    module = importlib.import_module("experiments.benchmarks.unroll_memory")
    assert module.EXPERIMENT.main(["--longest", "256", "--repeats", "1", "--out", str(tmp_path / "r")]) == 0
    metrics = result(tmp_path / "r")["metrics"]
    assert metrics["memory_ratio_256"] > 5
    assert metrics["difference_256"] < 1e-4


def test_the_profile_knows_products_convolutions_and_sums():
    def work(x, kernel):
        product = (x[:, :, 0, :] @ x[0, 0].T).sum()
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", None, None, ("NHWC", "HWIO", "NHWC")), product

    args = jnp.ones((4, 8, 8, 16)), jnp.ones((3, 3, 16, 16))
    compiled = jax.jit(work).lower(*args).compile()
    kinds = set(profile.kinds(compiled.as_text()).values())
    assert {"products", "convolutions", "sums"} <= kinds <= set(profile.KINDS)
    if jax.default_backend() == "cpu":
        shares = profile.shares(work, args, 1)
        assert sum(shares[kind] for kind in profile.KINDS) == pytest.approx(100)
        assert min(shares["products"], shares["convolutions"]) > 0


def test_the_table_is_made_of_results(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(every, "RESULTS", tmp_path / "results")
    folder = tmp_path / "maml"
    folder.mkdir()
    claims = [compare.Claim("a", 3.0, 4.0, 3.5, 4.5)._asdict(), compare.Claim("b", 1.0, 2.0, 2.0, 2.0, True)._asdict()]
    (folder / "result.json").write_text(
        json.dumps({"metrics": {"x ms": 2.5}, "claims": claims, "protocol": "as it is"})
    )
    meta = {"commit": "0123456789ab", "dirty": False, "command": "c", "hardware": "h", "started": "2026-01-01T00:00"}
    (folder / "meta.json").write_text(json.dumps({**meta, "versions": {"jax": "1"}}))
    harness.add(folder, results=every.RESULTS)
    assert every.main(["--table"]) == 0
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| a | ≥ 3 | 4 | 3.5 – 4.5 | yes |  |" in text
    assert "| b | ≤ 1 | 2 |  | no |  |" in text
    assert "1 of 2 goals are met" in text
    assert "Not measured: fomaml" in text
    assert "x ms 2.5" in text
    assert f"Missed, because: {every.REASONS['maml']}" in text


def test_an_unknown_benchmark_is_one_line(capsys):
    assert every.main(["--only", "x"]) == 2
    assert "--only must be all, or some of maml" in capsys.readouterr().err


def test_programs_take_turns_and_the_fastest_peer_counts():
    calls = []
    seconds = compare.alternate({name: (lambda name=name: calls.append(name)) for name in "abc"}, 3)
    assert calls[3:] == list("abcbcacab"), "each once to compile, then rounds that begin one further"
    assert all(taken.shape == (3,) for taken in seconds.values())
    fastest, ratios = compare.against({"metajax": np.ones(3), "slow": 9 * np.ones(3), "fast": 2 * np.ones(3)})
    assert fastest == "fast"
    np.testing.assert_allclose(ratios, 2.0)


def test_programs_that_do_other_work_are_refused():
    with pytest.raises(AssertionError, match="the programs differ by"):
        compare.check_difference(compare.difference([np.ones(2)], [2 * np.ones(2)]), 1e-3, "x")


def test_operations_of_a_meta_step():
    one_layer_each = maml.products(maml.Config(tasks=1, inner_steps=5))
    assert one_layer_each == pytest.approx(2.4e9, rel=0.05)


def test_a_benchmark_without_a_peer_says_so():
    with pytest.raises(InputError, match=r"at least one peer.*metajax\[peers\]"):
        compare.against({"metajax": np.ones(3)})
    assert compare.against({"metajax": np.ones(2), "slow": np.full(2, 4.0), "fast": np.full(2, 3.0)})[0] == "fast"
