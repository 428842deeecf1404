"""What a second network, a judge that nothing was optimized for, says of a run's pictures.

Plain NumPy and text, as the run itself; `mfvjax.judging` makes these.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

TOP = 5  # of the judge's best classes, beside the very best


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
    """What a judge says of n pictures; NaN where it says nothing.

    Attributes:
      rank: ``(n,)``, of the class among the judge's classes, 1 for the first; ties count against.
      probability: ``(n,)``, of the class, after softmax.
      recalled: ``(n,)``, 1 where the judge's code of a picture is nearest to the mean code of its
        own facet's real images, else 0. Of a real image without its own share in that mean.
      margin: ``(n,)``, how surely, in [-1, 1]; see `mfvjax.metrics.facet_recall`.
      percentile: ``(n,)``, percentage of the facet's real images that are less similar to the mean
        code of the others of them; see `mfvjax.metrics.similarity_percentile`.
      seen_as: the judge's best class for each; empty texts where it has no classes.
    """

    rank: Float[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"]
    recalled: Float[np.ndarray, " n"]
    margin: Float[np.ndarray, " n"]
    percentile: Float[np.ndarray, " n"]
    seen_as: tuple[str, ...]

    @property
    def summary(self) -> dict[str, float]:
        """Of all pictures: ``top_1`` and ``top_5``, the shares whose class is first and among the
        five first; ``median_rank``; mean ``probability``; ``recall``, the share recalled; median
        ``percentile``. NaN where the judge says nothing of any."""
        ranks = self.rank[np.isfinite(self.rank)]
        return {
            "top_1": _of(np.mean, ranks == 1),
            "top_5": _of(np.mean, ranks <= TOP),
            "median_rank": _of(np.median, ranks),
            "probability": _of(np.mean, self.probability),
            "recall": _of(np.mean, self.recalled),
            "percentile": _of(np.median, self.percentile),
        }

    def take(self, rows: Any) -> Judged:
        """Some of the pictures, by any index of NumPy's."""
        chosen = np.arange(len(self.rank))[rows]
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        names = fields.pop("seen_as")
        arrays = {name: values[chosen] for name, values in fields.items()}
        return Judged(**arrays, seen_as=tuple(names[i] for i in chosen))


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """One judge's view of a run with k facets, n real images shown of them, and c controls.

    Attributes:
      judge: ``name``, ``fingerprint``, ``input_size``, ``code_layer`` (empty without one) and
        ``num_classes``.
      class_index: the judge's class that stands for the unit; ``None`` where there is none.
      class_name: its name; empty likewise.
      class_by: how the class was found, or why there is none, in words.
      shown: of the ``k`` visualizations.
      start: of the ``k`` untouched mean images that they started from.
      real: of the ``n`` real images nearest to the facets' centers, the judge's ceiling.
      real_facets: ``(n,)``, the facet of each.
      controls: of the ``c`` controls; ``None`` where the run has none.
    """

    judge: dict[str, Any]
    class_index: int | None
    class_name: str
    class_by: str
    shown: Judged
    start: Judged
    real: Judged
    real_facets: Int[np.ndarray, " n"]
    controls: Judged | None = None

    @property
    def chance(self) -> dict[str, float]:
        """What guessing scores, by the names of `Judged.summary`."""
        classes = self.judge["num_classes"] if self.class_index is not None else 0
        share = 1 / classes if classes else float("nan")
        return {
            "top_1": share,
            "top_5": min(TOP * share, 1.0) if classes else share,
            "median_rank": (classes + 1) / 2 if classes else share,
            "probability": share,
            "recall": 1 / len(self.shown.rank),
            "percentile": float("nan"),
        }

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """By ``"shown"``, ``"start"``, ``"real"`` and ``"chance"``, see `Judged.summary`."""
        return {
            "shown": self.shown.summary,
            "start": self.start.summary,
            "real": self.real.summary,
            "chance": self.chance,
        }


def _of(reduce: Any, values: np.ndarray) -> float:
    """`reduce` of the values that are numbers; NaN of none."""
    known = values[np.isfinite(values)]
    return float(reduce(known)) if known.size else float("nan")
