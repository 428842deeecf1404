"""The compiled program: a loop of steps, split over devices or a processor's cores, compiled once.

Everything that a recipe's numbers, a unit or a key can change enters as an argument. A program is
compiled once per batch size, canvas size and structure of the recipe's parts, and kept.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from mfvjax.ascent.lanes import Batch, abstract_lane, join, num_lanes, side_by_side, split
from mfvjax.ascent.loop import State, run_chunk
from mfvjax.ascent.plan import MAX_CHUNK
from mfvjax.ascent.step import Facets, Step
from mfvjax.contracts import Size
from mfvjax.types import Params


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """What a compiled program depends on, besides the shapes of its arguments.

    Attributes:
      step: that is repeated.
      devices: that share the batch.
      together: facets that must be on one device, in one lane; counted from the first.
    """

    step: Step
    devices: tuple[jax.Device, ...]
    together: int = 1

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices in a row; facets are split over them."""
        return Mesh(np.asarray(self.devices), ("facets",))

    def sharding(self, *, by_facet: bool) -> NamedSharding:
        """Split over devices along the first axis, or a copy on each."""
        return NamedSharding(self.mesh, PartitionSpec("facets") if by_facet else PartitionSpec())

    @property
    def mapped(self) -> Any:
        """`run_chunk` over the devices: each takes the steps of its own facets."""
        by_facet, everywhere = PartitionSpec("facets"), PartitionSpec()
        return jax.shard_map(
            functools.partial(run_chunk, self.step),
            mesh=self.mesh,
            in_specs=(by_facet, everywhere, by_facet, *[everywhere] * 5),
            out_specs=(by_facet, PartitionSpec(None, "facets")),
            check_vma=False,  # each device loops as long as its own facets need
        )

    def arguments(self, state: Any, params: Params, facets: Any, constants: Any) -> tuple[Any, ...]:
        """Shapes and types that `mapped` takes, from arrays or shapes of one lane."""
        split, copied = self.sharding(by_facet=True), self.sharding(by_facet=False)
        numbers = 1 + self.step.plan.kinds.count("step")
        scalar = jax.ShapeDtypeStruct((), np.int32)
        steps = (
            jax.ShapeDtypeStruct((MAX_CHUNK, numbers), np.float32),
            constants,
            scalar,
            scalar,
            jax.ShapeDtypeStruct((2,), np.int32),
        )
        return (
            _abstract(state, split),
            _abstract(params, copied),
            _abstract(facets, split),
            *_abstract(steps, copied),
        )


def _abstract(tree: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


class Program:
    """`run_chunk`, compiled for the shapes of the arguments it is made with."""

    def __init__(
        self, spec: ProgramSpec, state: Any, params: Params, facets: Any, constants: Any
    ) -> None:
        """Compiles; `state` and `facets` may be shapes only (`jax.eval_shape`)."""
        self.spec = spec
        self.num_lanes = num_lanes(spec.devices, len(state.status), spec.together)
        lane = abstract_lane((state, facets), lanes=self.num_lanes, together=spec.together)
        self._param_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        arguments = spec.arguments(lane[0], params, lane[1], constants)
        lowered = jax.jit(spec.mapped, donate_argnums=0).lower(*arguments)
        self._compiled = compiled(lowered, _COMPILER_OPTIONS.get(spec.devices[0].platform))

    def __call__(
        self,
        state: State,
        params: Params,
        facets: Facets,
        rows: Float[np.ndarray, "chunk numbers"],
        constants: tuple[Array, ...],
        first_step: int,
        count: int,
        canvas_size: Size,
    ) -> tuple[State, Float[Array, "chunk facets"]]:
        """Takes `count` steps; `state` is donated. Trace row i is step i, NaN past `count`.

        Args:
          state: at the step.
          params: of the network.
          facets: as the program was made for.
          rows: numbers of the steps, from `PhaseValues.chunk`.
          constants: arrays of the recipe.
          first_step: of the whole run.
          count: at most `MAX_CHUNK`.
          canvas_size: ``(height, width)``; canvases may have room for more.
        """
        num_facets = len(state.status)
        size = np.asarray(canvas_size, np.int32)
        steps = (rows, constants, np.int32(first_step), np.int32(count), size)
        steps = jax.device_put(steps, self.spec.sharding(by_facet=False))
        sharding = self.spec.sharding(by_facet=True)

        def run(*part: Any) -> tuple[State, Array]:
            state, facets = jax.device_put(part, sharding)
            return self._compiled(state, params, facets, *steps)

        batch: Batch = (state, facets)
        parts = split(batch, lanes=self.num_lanes, together=self.spec.together)
        return join(side_by_side(run, parts), num_facets=num_facets)

    @property
    def memory_bytes(self) -> int:
        """Bytes that a call needs on each device, arguments and results included."""
        lane = _total_bytes(self._compiled.memory_analysis())
        return self.num_lanes * lane - (self.num_lanes - 1) * self._param_bytes


# TV sweeps are long loops over flat arrays: on processors that have them, the widest registers are
# a fifth faster, though slower to start than XLA assumes.
_COMPILER_OPTIONS: dict[str, dict[str, str | bool]] = {
    "cpu": {"xla_cpu_prefer_vector_width": "512"}
}


def compiled(lowered: Any, options: dict[str, str | bool] | None) -> Any:
    """`lowered`, compiled with `options`, or without them by an XLA that does not know them."""
    if options is not None:
        try:
            return lowered.compile(compiler_options=options)
        except jax.errors.JaxRuntimeError as error:
            if "No such compile option" not in str(error):
                raise
    return lowered.compile()


def _total_bytes(analysis: Any) -> int:
    if analysis is None:  # a backend without the analysis: nothing to go by
        return 0
    return int(
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        - analysis.alias_size_in_bytes
        + analysis.temp_size_in_bytes
    )


_PROGRAMS: dict[Any, Program] = {}
_MAX_PROGRAMS = 32


def _signature(tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


def program_for(
    spec: ProgramSpec, state: Any, params: Params, facets: Any, constants: Any
) -> Program:
    """The program for arguments of these shapes, compiled at most once while it is kept."""
    trees = (state, facets, params, constants)
    identity = (spec, *(_signature(tree) for tree in trees))
    if identity not in _PROGRAMS:
        if len(_PROGRAMS) >= _MAX_PROGRAMS:
            _PROGRAMS.pop(next(iter(_PROGRAMS)))
        _PROGRAMS[identity] = Program(spec, state, params, facets, constants)
    return _PROGRAMS[identity]


def local_devices(devices: Sequence[jax.Device] | None) -> tuple[jax.Device, ...]:
    """`devices`, or those of this process that are of the default kind.

    The kind is that of ``jax_default_device`` where it is set, or JAX's own choice.
    """
    if devices is not None:
        return tuple(devices)
    default = getattr(jax.config, "jax_default_device", None)
    return tuple(jax.local_devices(backend=getattr(default, "platform", default)))
