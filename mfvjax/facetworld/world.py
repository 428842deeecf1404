"""Pictures by class, facet and seed: one at a time, or a labeled set."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8

from mfvjax.facetworld.canvas import new_canvas
from mfvjax.facetworld.catalog import CLASSES, FACETS, SCENES
from mfvjax.facetworld.photo import develop

Pictures = UInt8[np.ndarray, "n height width 3"]


@dataclasses.dataclass(frozen=True, eq=False)
class FacetWorld:
    """Pictures with their true class and facet.

    Attributes:
      images: RGB.
      class_index: into `class_names`.
      facet_index: into ``facet_names[class_index]``.
      class_names: of the classes asked for, in that order.
      facet_names: per class, the names of its facets.
    """

    images: Pictures
    class_index: Int[np.ndarray, " n"]
    facet_index: Int[np.ndarray, " n"]
    class_names: tuple[str, ...]
    facet_names: tuple[tuple[str, ...], ...]

    def of_class(self, class_name: str) -> FacetWorld:
        """The pictures of one class only.

        Raises:
          KeyError: the set has no such class.
        """
        if class_name not in self.class_names:
            raise KeyError(f"no class {class_name!r} here; there are {', '.join(self.class_names)}")
        index = self.class_names.index(class_name)
        chosen = self.class_index == index
        return FacetWorld(
            self.images[chosen],
            np.zeros(int(chosen.sum()), self.class_index.dtype),
            self.facet_index[chosen],
            (class_name,),
            (self.facet_names[index],),
        )


def render(
    class_name: str, facet_name: str, *, seed: int, index: int = 0, size: int = 96
) -> UInt8[np.ndarray, "size size 3"]:
    """Paints one picture; the same arguments give the same picture on any machine.

    (To the grey level, here and there plus or minus one, where machines round differently.)

    Args:
      class_name: one of `CLASSES`.
      facet_name: one of ``FACETS[class_name]``.
      seed: of the set, at least 0.
      index: of the picture in the set, at least 0.
      size: side in pixels, at least 16. The same scene at every size, but for its fine texture.

    Raises:
      KeyError: no such class or facet.
      ValueError: `size` is too small, or `seed` or `index` is negative.
    """
    if class_name not in SCENES:
        raise KeyError(f"no class {class_name!r} in facetworld; there are {', '.join(CLASSES)}")
    if facet_name not in SCENES[class_name]:
        known = ", ".join(repr(name) for name in FACETS[class_name])
        raise KeyError(f"{class_name!r} has no facet {facet_name!r}; it has {known}")
    if size < 16 or seed < 0 or index < 0:
        raise ValueError(
            f"size {size} must be at least 16, seed {seed} and index {index} at least 0"
        )
    # By name, so that a class or facet added later leaves the others' pictures as they are.
    names = zlib.crc32(class_name.encode()), zlib.crc32(facet_name.encode())
    sequence = np.random.SeedSequence([seed, *names, index])
    canvas = new_canvas(np.random.Generator(np.random.PCG64(sequence)), 2 * size)
    SCENES[class_name][facet_name](canvas)
    return develop(canvas)


def dataset(
    num_per_facet: int,
    *,
    classes: Sequence[str] | None = None,
    seed: int,
    size: int = 96,
    num_workers: int = 0,
) -> FacetWorld:
    """Paints `num_per_facet` pictures of every facet of `classes`.

    Picture ``i`` of a facet is ``render(..., seed=seed, index=i)``, however many are asked for.

    Args:
      num_per_facet: at least 1.
      classes: all of `CLASSES` by default.
      seed: two seeds share no picture.
      size: side in pixels.
      num_workers: processes that paint; 0 paints here. They are spawned, so a script that asks for
        some needs the usual ``if __name__ == "__main__":``.

    Raises:
      KeyError: no such class.
      ValueError: `num_per_facet` or `num_workers` is out of range.
    """
    if num_per_facet < 1 or num_workers < 0:
        raise ValueError(
            f"num_per_facet {num_per_facet} must be at least 1, "
            f"num_workers {num_workers} at least 0"
        )
    names = CLASSES if classes is None else tuple(classes)
    for name in names:
        if name not in FACETS:
            raise KeyError(f"no class {name!r} in facetworld; there are {', '.join(CLASSES)}")
    facets = [(c, f) for c, name in enumerate(names) for f in range(len(FACETS[name]))]
    jobs = [(names[c], FACETS[names[c]][f], seed, num_per_facet, size) for c, f in facets]
    if num_workers:
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(num_workers, mp_context=context) as pool:
            painted = list(pool.map(_paint_facet, jobs))
    else:
        painted = [_paint_facet(job) for job in jobs]
    labels = np.repeat(np.array(facets, np.int32), num_per_facet, axis=0)
    return FacetWorld(
        images=np.concatenate(painted),
        class_index=labels[:, 0],
        facet_index=labels[:, 1],
        class_names=names,
        facet_names=tuple(FACETS[name] for name in names),
    )


def _paint_facet(job: tuple[str, str, int, int, int]) -> Pictures:
    class_name, facet_name, seed, count, size = job
    return np.stack(
        [render(class_name, facet_name, seed=seed, index=i, size=size) for i in range(count)]
    )
