"""The model card of an export: what the model is, what it was learned from, how good it is, and how it was found."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metajax.automl import _report_words as words
from metajax.automl._metrics import describe
from metajax.run import read_json
from metajax.types import InputError

_CONTENDERS = {"": "this model", "default_": "the untuned default", "random_": "the best random configuration"}
_USE = {
    "table": 'load.Model().predict({"a column": [1.5, None], "another one": ["red", "blue"]})',
    "images": "load.Model().predict(images)  # f32[n, height, width, channels] in [0, 1]",
}
_LIMITS = {
    "table": (
        "The loader reads columns by the rules that were inferred from the training data. A level that was not "
        "seen in training counts as an unknown one, and an unreadable cell as missing.",
        "`load.py` reads a CSV file as UTF-8 text without compression.",
    ),
    "images": ("Images must have the size of the training images.",),
}
_SHARED_LIMITS = (
    "Predictions are for rows that are drawn as the training rows were. Nothing says how good they are for others.",
    "Parts of the program compute in float64, which a TPU emulates slowly.",
)


class ModelFacts(NamedTuple):
    """What a model knows of itself.

    Attributes:
        kind: ``table`` or ``images``.
        configs: The configuration of each member.
        weights: f64[members], their weights.
        classes: The class labels, or ``None`` for regression.
        target: What is predicted.
        features: A sentence on what it is predicted from.
        size: Bytes of the program.
    """

    kind: str
    configs: list[dict[str, Any]]
    weights: np.ndarray
    classes: list[str] | None
    target: str
    features: str
    size: int


def card(facts: ModelFacts, run: Path | str | None = None) -> str:
    """Returns the model card as Markdown, with the fields of Hugging Face's cards as YAML in front.

    Args:
        facts: What the model knows of itself.
        run: The run directory of the search; without it the card has no data, scores and search.

    Raises:
        InputError: If a file of the run is damaged.
    """
    record = {name: _content(run, f"{name}.json") for name in ("config", "meta", "result")}
    result = record["result"]
    title = f"A model of {facts.target}"
    sections = {"Model": _model(facts)}
    if result.get("data"):
        sections["Data"] = _data(result["data"])
    if result.get("metrics"):
        sections["Scores"] = _scores(result)
    if record["meta"]:
        sections["How it was found"] = _search(record)
    notes = result.get("data", {}).get("notes", [])
    sections["Limits"] = _list([*_LIMITS[facts.kind], *_SHARED_LIMITS, *notes])
    sections["Use"] = (
        f"```python\nimport load  # load.py, in this folder\n\nlabels, probabilities = {_USE[facts.kind]}\n```"
    )
    if facts.classes is None:
        sections["Use"] = sections["Use"].replace("labels, probabilities", "values, _")
    lead = f"\n{result['verdict']}\n" if "verdict" in result else ""
    body = "\n".join(f"\n## {name}\n\n{text}" for name, text in sections.items())
    return f"{_front_matter(facts, title, result)}\n# {title}\n{lead}{body}\n"


def _content(run: Path | str | None, name: str) -> dict[str, Any]:
    """The content of a file of the run; nothing where it does not exist."""
    path = None if run is None else Path(run) / name
    return read_json(path) if path is not None and path.is_file() else {}


def _front_matter(facts: ModelFacts, title: str, result: dict[str, Any]) -> str:
    """The fields that Hugging Face reads. JSON is YAML, too, so that no text needs an escape of its own."""
    task = {"images": "image-classification"}.get(
        facts.kind, f"tabular-{'regression' if facts.classes is None else 'classification'}"
    )
    fields: dict[str, Any] = {"library_name": "jax", "pipeline_tag": task, "tags": ["automl", "metajax", "stablehlo"]}
    metric = result.get("metric")
    if metric:
        fields["metrics"] = [metric]
        scored = {
            "task": {"type": task},
            "dataset": {"name": _data_name(result["data"]), "type": result["data"].get("digest") or "unknown"},
            "metrics": [{"type": metric, "value": result["metrics"][f"test_{metric}"]}],
        }
        fields["model-index"] = [{"name": title, "results": [scored]}]
    lines = "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())
    return f"---\n{lines}\n---\n"


def _model(facts: ModelFacts) -> str:
    """The members, their types and weights."""
    weight_by_type: dict[str, float] = {}
    members_by_type: dict[str, int] = {}
    for config, weight in zip(facts.configs, facts.weights.tolist()):
        kind = words.model(config["model"]) if "model" in config else "cell network"
        weight_by_type[kind] = weight_by_type.get(kind, 0.0) + weight
        members_by_type[kind] = members_by_type.get(kind, 0) + 1
    order = sorted(weight_by_type, key=lambda kind: -weight_by_type[kind])
    rows = [f"| {kind} | {members_by_type[kind]} | {100 * weight_by_type[kind]:.0f}% |" for kind in order]
    table = "\n".join(["| type | trainings | weight |", "|---|---|---|", *rows])
    output = "a number" if facts.classes is None else f"one of {len(facts.classes)} classes, with probabilities"
    return (
        f"The weighted mean prediction of {words.count(len(facts.configs), 'training')}. It predicts {facts.target} "
        f"({output}) from {facts.features}. `model.stablehlo` ({facts.size / 1e6:,.1f} MB) holds all of it, in the format of "
        f"`jax.export`.\n\n{table}"
    )


def _data_name(data: dict[str, Any]) -> str:
    """The name of the data, without its folder."""
    return Path(str(data["name"])).name


def _data(data: dict[str, Any]) -> str:
    """The data: its name, digest, rows and columns."""
    rows = data["rows"]
    entries = [
        f"name: {_data_name(data)}",
        f"hash: {data.get('digest') or 'not recorded'} (equal for equal data)",
        f"target: {data['target']}",
        f"rows: {rows['learned'] + rows['test']:,}, of which {rows['test']:,} were held back as the test",
    ]
    if data.get("labels"):
        entries.append(f"classes: {', '.join(map(str, data['labels']))}")
    columns = [f"{column['name']} ({column['kind']})" for column in data.get("columns", [])]
    return _list([*entries, *([f"columns: {', '.join(columns)}"] if columns else [])])


def _scores(result: dict[str, Any]) -> str:
    """The score of the model and of what it was compared with, with their intervals."""
    metrics, metric = result["metrics"], result["metric"]
    lines = [f"| {describe(metric)} on the test rows | score | 95% interval |", "|---|---|---|"]
    for prefix, name in _CONTENDERS.items():
        key = f"{prefix}test_{metric}"
        if key in metrics:
            interval = [words.score(metrics[f"{key}_{end}"], metric) for end in ("low", "high")]
            lines.append(f"| {name} | {words.score(metrics[key], metric)} | {' to '.join(interval)} |")
    explained = words.metric(metric)
    return "\n".join([*lines, *(["", explained] if explained else [])])


def _search(record: dict[str, dict[str, Any]]) -> str:
    """The command, when and where it ran, what it tried, and the protocol of the scores."""
    config, meta, result = record["config"], record["meta"], record["result"]
    versions = meta.get("versions", {})
    entries = [
        f"command: `{meta.get('command')}`",
        f"date: {meta.get('started')}",
        f"seed: {meta.get('seed', config.get('seed'))}",
        f"hardware: {meta.get('hardware')}",
        f"commit: {meta.get('commit') or 'not recorded'}{' with changes' * bool(meta.get('dirty'))}",
        f"versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
    ]
    metrics = result.get("metrics", {})
    if "log10_space" in metrics:
        entries += [
            f"space: 10^{metrics['log10_space']:.0f} configurations, of which {metrics['configurations_tried']:,} were tried",
            f"models trained: {metrics['models_trained']:,}, of which {metrics['models_failed']:,} failed",
            f"time: {words.duration(metrics['seconds'])} (budget: {_budget(config)})",
        ]
    return _list(entries) + (f"\n\n{result['protocol']}" if "protocol" in result else "")


def _budget(config: dict[str, Any]) -> str:
    """The budget of a search in words."""
    minutes, trials = config.get("minutes"), config.get("trials")
    parts = [f"{minutes:g} minutes"] if minutes is not None else []
    return ", ".join(parts + ([words.count(trials, "configuration")] if trials is not None else [])) or "none"


def _list(items: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {item}" for item in items)


def image_shape(run: Path | str | None) -> tuple[int, ...]:
    """Returns the shape of one image that the search of a run was given.

    Raises:
        InputError: If the run does not say it.
    """
    inputs = _content(run, "result.json").get("data", {}).get("inputs")
    if not isinstance(inputs, list):
        raise InputError(
            "shape must be the height, width and channels of an image where no finished run says it, got None"
        )
    return tuple(inputs)
