"""A judge looks at a run."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num

from mfvjax import metrics
from mfvjax.domain import Domain
from mfvjax.judgement import Judged, Judgement
from mfvjax.judging.classes import ClassMatch, find_class, match_class
from mfvjax.judging.pictures import (
    center_windows,
    check_domain,
    for_judge,
    real_images,
    shown_windows,
)
from mfvjax.network import Network
from mfvjax.network.code_layers import own_layers
from mfvjax.run import Run

_BATCH = 16


def judge_run(
    run: Run, judge: Network | str | os.PathLike[str], *, judge_class: int | str | None = None
) -> Judgement:
    """What another network sees in a run's pictures, with what bounds it from below and above.

    Looked at are the center crop of each visualization, as large as what own scores are read from;
    beside it the untouched mean images, the controls, and the real images nearest to the facets'
    centers. All are resized to the judge's input, the patches of a hidden unit, too: they fill it.

    The class is that of `mfvjax.judging.match_class`. The facets are told apart by the mean codes
    of their real images, in the judge's own embedding: its last layer before the classes, or its
    last layer where it has none; maps are averaged over positions. Distances are Euclidean.

    Args:
      run: of any unit.
      judge: another network, or a file or name that `Network.load` takes.
      judge_class: the judge's class for the run's unit, where names do not tell: an index, a name
        or a WordNet identifier.

    Returns: see `mfvjax.judgement.Judgement`; of a hidden unit there are no ranks and
    probabilities, and of a run with one facet, no recall.

    Raises:
      ValueError: the judge is the run's own network, takes images of another kind, or has no such
        class as `judge_class`.
      FileNotFoundError: there is no such network.
    """
    judge = open_judge(judge)
    own = run.network.get("model_fingerprint", run.network.get("fingerprint"))
    check_judge(judge, run.domain, own_fingerprint=own)
    match = match_class(run, judge, judge_class)
    real, real_facets = real_images(run)
    size = run.facets.mean_images.shape[1:3]
    groups: list[Num[np.ndarray, "n _ _ c"]] = [shown_windows(run), run.facets.mean_images, real]
    if run.controls is not None:
        groups.append(center_windows(run.controls.images, size))
    read = [_read(judge, run.domain, images) for images in groups]
    real_codes = read[2].codes
    k = run.num_facets
    facets = [np.arange(k), np.arange(k)]
    judged = [
        _judged(judge, match, seen, own, real_codes, real_facets)
        for seen, own in zip(read, facets, strict=False)
    ]
    controls = None
    if run.controls is not None:
        own = np.full(len(run.controls.names), run.controls.facet)
        controls = _judged(judge, match, read[3], own, real_codes, real_facets)
    return Judgement(
        judge={
            "name": judge.name,
            "fingerprint": judge.fingerprint,
            "input_size": list(judge.input_size),
            "code_layer": embedding_layer(judge),
            "num_classes": judge.num_classes,
        },
        class_index=match.index,
        class_name="" if match.index is None else judge.class_name(match.index),
        class_by=match.about,
        shown=judged[0],
        start=judged[1],
        real=_judged_real(judge, match, read[2], real_facets, k),
        real_facets=real_facets,
        controls=controls,
    )


def judged(
    run: Run, judge: Network | str | os.PathLike[str], *, judge_class: int | str | None = None
) -> Run:
    """The run with `judge_run`'s judgement in it, in place of a former one by the same judge."""
    started = time.perf_counter()
    judgement = judge_run(run, judge, judge_class=judge_class)
    timings = {**run.timings, "judge": time.perf_counter() - started}
    return dataclasses.replace(with_judgement(run, judgement), timings=timings)


def with_judgement(run: Run, judgement: Judgement) -> Run:
    """The run with one more judgement; one by the same judge, by its fingerprint, is replaced."""
    others = list(run.judgements)
    same = [j.judge["fingerprint"] == judgement.judge["fingerprint"] for j in others]
    if any(same):
        others[same.index(True)] = judgement
    else:
        others.append(judgement)
    return dataclasses.replace(run, judgements=tuple(others))


def open_judge(judge: Network | str | os.PathLike[str]) -> Network:
    """A network, or the file or name of one.

    Raises: as `Network.load`.
    """
    return judge if isinstance(judge, Network) else Network.load(judge)


def check_judge(
    judge: Network,
    domain: Domain | None,
    *,
    own_fingerprint: str | None = None,
    judge_class: int | str | None = None,
) -> None:
    """Refuses, before any work, what cannot judge.

    Args:
      judge: the network.
      domain: of the images to be judged; ``None`` where that is not known yet.
      own_fingerprint: of the network that they were made for; its `Network.model_fingerprint`.
      judge_class: that was asked for.

    Raises:
      ValueError: see `judge_run`.
    """
    if own_fingerprint is not None and judge.model_fingerprint == own_fingerprint:
        raise ValueError(
            f"{judge.name!r} is the network that the pictures were made for; a judge must be "
            "another one"
        )
    if domain is not None:
        check_domain(domain, judge.preprocessing.domain, judge.name)
    if judge_class is not None:
        find_class(judge, judge_class)


def embedding_layer(judge: Network) -> str:
    """The layer whose activations are a judge's codes: the last one that is not of classes."""
    if judge.logits_layer:
        return judge.code_layer(judge.logits_layer)
    return own_layers(judge.layers)[-1]


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """What a judge computes of n images; no logits where it has no classes."""

    codes: Float[np.ndarray, "n d"]
    logits: Float[np.ndarray, "n classes"] | None


def _read(judge: Network, domain: Domain, images: Num[np.ndarray, "n h w c"]) -> _Seen:
    """In batches of one size, so that the judge is compiled once."""
    layer, logits_layer = embedding_layer(judge), judge.logits_layer
    layers = [layer, logits_layer] if logits_layer else [layer]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in layers}
    for start in range(0, len(images), _BATCH):
        some = for_judge(
            images[start : start + _BATCH],
            domain,
            size=judge.input_size,
            judge_domain=judge.preprocessing.domain,
        )
        filled = np.concatenate([some, some[-1:].repeat(_BATCH - len(some), axis=0)])
        for name, activation in judge.activations(filled, layers).items():
            parts[name].append(_vectors(np.asarray(activation, np.float64))[: len(some)])
    read = {name: np.concatenate(blocks) for name, blocks in parts.items()}
    return _Seen(read[layer], read[logits_layer] if logits_layer else None)


def _vectors(activation: Float[np.ndarray, "n *places d"]) -> Float[np.ndarray, "n d"]:
    """The mean over positions, if there are any."""
    return activation.reshape(len(activation), -1, activation.shape[-1]).mean(axis=1)


def _judged(
    judge: Network,
    match: ClassMatch,
    seen: _Seen,
    own: Int[np.ndarray, " n"],
    real_codes: Float[np.ndarray, "m d"],
    real_facets: Int[np.ndarray, " m"],
) -> Judged:
    k = int(real_facets.max()) + 1
    recalled, margin = np.full((2, len(own)), np.nan)
    if k > 1:
        centroids = metrics.code_centroids(real_codes, real_facets, num_facets=k)
        recalled, margin = metrics.facet_recall(seen.codes, own, centroids)
    percentile = metrics.similarity_percentile(seen.codes, own, real_codes, real_facets)
    return Judged(
        **_class_scores(judge, match, seen),
        recalled=recalled.astype(np.float64),
        margin=margin,
        percentile=percentile,
    )


def _judged_real(
    judge: Network, match: ClassMatch, seen: _Seen, facets: Int[np.ndarray, " n"], k: int
) -> Judged:
    """Single real images, each without its own share in its facet's mean."""
    recalled, margin = np.full((2, len(facets)), np.nan)
    if k > 1:
        recalled, margin = metrics.leave_one_out_recall(seen.codes, facets, num_facets=k)
    return Judged(
        **_class_scores(judge, match, seen),
        recalled=recalled,
        margin=margin,
        percentile=metrics.leave_one_out_percentile(seen.codes, facets),
    )


def _class_scores(judge: Network, match: ClassMatch, seen: _Seen) -> dict[str, Any]:
    nothing = np.full(len(seen.codes), np.nan)
    if seen.logits is None:
        return {"rank": nothing, "probability": nothing, "seen_as": ("",) * len(nothing)}
    best = np.nan_to_num(seen.logits, nan=-np.inf).argmax(axis=1)
    names = tuple(judge.class_name(int(index)) for index in best)
    if match.index is None:
        return {"rank": nothing, "probability": nothing, "seen_as": names}
    return {
        "rank": metrics.class_ranks(seen.logits, match.index),
        "probability": metrics.class_probabilities(seen.logits, match.index),
        "seen_as": names,
    }
