"""A run in numbers as one JSON object, as the command line prints it. Needs no JAX."""

from __future__ import annotations

import math
from typing import Any

from mfvjax.judgement import Judgement
from mfvjax.run import Controls, Run


def run_facts(run: Run) -> dict[str, Any]:
    """The run in numbers as one JSON object, judges first; what is not finite is ``None``."""
    facts = {
        "unit": run.unit,
        "title": run.title,
        "num_facets": run.num_facets,
        "judgements": [_judgement_facts(judgement) for judgement in run.judgements],
        "summary": run.summary,
        "scores": {name: values.tolist() for name, values in run.scores.items()},
        "controls": None if run.controls is None else _control_facts(run, run.controls),
        "unreadable": run.options.get("unreadable"),
        "top_classes": [names[0] if names else None for names in run.shown.top_class_names],
        "timings": run.timings,
    }
    return _finite(facts)


def control_ratios(run: Run, controls: Controls) -> list[float]:
    """The controls' activations as multiples of the largest that a real image reaches."""
    from mfvjax.metrics import activation_ratio

    return activation_ratio(controls.activations.astype(float), run.real.activations).tolist()


def _judgement_facts(judgement: Judgement) -> dict[str, Any]:
    shown = judgement.shown
    return {
        "judge": judgement.judge,
        "class_index": judgement.class_index,
        "class_name": judgement.class_name,
        "class_by": judgement.class_by,
        "summary": judgement.summary,
        "facets": {
            "rank": shown.rank.tolist(),
            "probability": shown.probability.tolist(),
            "recalled": shown.recalled.tolist(),
            "margin": shown.margin.tolist(),
            "percentile": shown.percentile.tolist(),
            "seen_as": list(shown.seen_as),
        },
    }


def _control_facts(run: Run, controls: Controls) -> dict[str, Any]:
    judged = {j.judge["name"]: j.controls for j in run.judgements if j.controls is not None}
    return {
        "facet": controls.facet,
        "names": list(controls.names),
        "about": list(controls.about),
        "activation": controls.activations.astype(float).tolist(),
        "activation_ratio": control_ratios(run, controls),
        "rank": {name: seen.rank.tolist() for name, seen in judged.items()},
        "recalled": {name: seen.recalled.tolist() for name, seen in judged.items()},
    }


def _finite(value: Any) -> Any:
    """JSON has neither NaN nor infinity: they become null."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
