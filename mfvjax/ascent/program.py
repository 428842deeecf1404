"""The compiled program: a loop of steps, split over devices or a processor's cores, compiled once.

Everything that a schedule, a unit or a key can change enters as an argument. A program is compiled
once per batch size, largest canvas size and `StepOptions`, and kept.
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

from mfvjax.ascent.lanes import Batch, Size, abstract_lane, join, num_lanes, side_by_side, split
from mfvjax.ascent.loop import MAX_CHUNK, Loop, State, StepValues, run_chunk
from mfvjax.objective import Readouts
from mfvjax.types import Keys, Params


@dataclasses.dataclass(frozen=True)
class ProgramSpec:
    """What a compiled program depends on, besides the shapes of its arguments.

    Attributes:
      room: ``(height, width)`` of the largest canvas it can take; by default that of its arguments.
    """

    loop: Loop
    devices: tuple[jax.Device, ...]
    room: Size | None = None

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices in a row; facets are split over them."""
        return Mesh(np.asarray(self.devices), ("facets",))

    def sharding(self, *, by_facet: bool) -> NamedSharding:
        """Split over devices along the first axis, or a copy on each."""
        return NamedSharding(self.mesh, PartitionSpec("facets") if by_facet else PartitionSpec())


def _abstract(tree: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree
    )


class Program:
    """`run_chunk`, compiled for the shapes of the arguments it is made with."""

    def __init__(
        self, spec: ProgramSpec, state: Any, params: Params, readouts: Readouts, keys: Any
    ) -> None:
        """Compiles; `state`, `readouts` and `keys` may be shapes only (`jax.eval_shape`)."""
        self.spec = spec
        self.num_lanes = num_lanes(spec.devices, len(state.status))
        self._room = spec.room or state.canvases.shape[1:3]
        state, readouts, keys = abstract_lane(
            (state, readouts, keys), lanes=self.num_lanes, room=self._room
        )
        self._param_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        by_facet, everywhere = PartitionSpec("facets"), PartitionSpec()
        mapped = jax.shard_map(
            functools.partial(run_chunk, spec.loop),
            mesh=spec.mesh,
            in_specs=(by_facet, everywhere, by_facet, by_facet, *[everywhere] * 4),
            out_specs=(by_facet, PartitionSpec(None, "facets")),
            check_vma=False,  # each device loops as long as its own facets need
        )
        facets, copied = spec.sharding(by_facet=True), spec.sharding(by_facet=False)
        scalar = jax.ShapeDtypeStruct((), np.int32)
        lowered = jax.jit(mapped, donate_argnums=0).lower(
            _abstract(state, facets),
            _abstract(params, copied),
            _abstract(readouts, facets),
            _abstract(keys, facets),
            _abstract(_EMPTY_VALUES, copied),
            _abstract(scalar, copied),
            _abstract(scalar, copied),
            _abstract(jax.ShapeDtypeStruct((2,), np.int32), copied),
        )
        self._compiled = compiled(lowered, _COMPILER_OPTIONS.get(spec.devices[0].platform))

    def __call__(
        self,
        state: State,
        params: Params,
        readouts: Readouts,
        keys: Keys,
        values: StepValues,
        first_step: int,
        count: int,
    ) -> tuple[State, Float[Array, "steps batch"]]:
        """Takes `count` steps; `state` is donated. Trace row i is step i, NaN past `count`.

        The canvases of `state` may be smaller than the program's room.
        """
        size = (state.canvases.shape[1], state.canvases.shape[2])
        num_facets = len(state.status)
        steps = (values, np.int32(first_step), np.int32(count), np.asarray(size, np.int32))
        steps = jax.device_put(steps, self.spec.sharding(by_facet=False))
        facets = self.spec.sharding(by_facet=True)

        def run(*part: Any) -> tuple[State, Array]:
            state, readouts, keys = jax.device_put(part, facets)
            return self._compiled(state, params, readouts, keys, *steps)

        batch: Batch = (state, readouts, keys)
        parts = split(batch, lanes=self.num_lanes, room=self._room)
        return join(side_by_side(run, parts), num_facets=num_facets, size=size)

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


_EMPTY_VALUES = StepValues(
    *(np.zeros(MAX_CHUNK, t) for t in (np.float32, np.float32, np.float32, np.bool_, np.int32))
)


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
    spec: ProgramSpec, state: Any, params: Params, readouts: Readouts, keys: Any
) -> Program:
    """The program for arguments of these shapes, compiled at most once while it is kept."""
    room = spec.room or state.canvases.shape[1:3]
    lane = abstract_lane((state, readouts, keys), lanes=1, room=room)
    identity = (spec, *(_signature(tree) for tree in (lane, params)))
    if identity not in _PROGRAMS:
        if len(_PROGRAMS) >= _MAX_PROGRAMS:
            _PROGRAMS.pop(next(iter(_PROGRAMS)))
        _PROGRAMS[identity] = Program(spec, state, params, readouts, keys)
    return _PROGRAMS[identity]


def local_devices(devices: Sequence[jax.Device] | None) -> tuple[jax.Device, ...]:
    """`devices`, or those of this process that are of the default kind.

    The kind is that of ``jax_default_device`` where it is set, or JAX's own choice.
    """
    if devices is not None:
        return tuple(devices)
    default = getattr(jax.config, "jax_default_device", None)
    return tuple(jax.local_devices(backend=getattr(default, "platform", default)))
