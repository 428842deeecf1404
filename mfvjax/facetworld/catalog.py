"""Which classes facetworld has, which facets each has, and which function paints them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from mfvjax.facetworld.canvas import Canvas
from mfvjax.facetworld.scenes import (
    balloon,
    beacon,
    clock,
    convertible,
    daisy,
    golf_ball,
    milk_can,
    ostrich,
    peppers,
    pool,
    pumpkin,
    reel,
    theater,
    volcano,
)

Scene: TypeAlias = Callable[[Canvas], None]

SCENES: Mapping[str, Mapping[str, Scene]] = MappingProxyType(
    {
        "bell pepper": {
            "one red on white": peppers.one_red_on_white,
            "several yellow": peppers.several_yellow,
            "green on the plant": peppers.green_on_the_plant,
            "orange in the dark": peppers.orange_in_the_dark,
        },
        "movie theater": {
            "facade by day": theater.facade_by_day,
            "facade by night": theater.facade_by_night,
            "seats and screen": theater.seats_and_screen,
        },
        "pool table": {
            "balls close up": pool.balls_close_up,
            "table from afar": pool.table_from_afar,
        },
        "convertible": {
            "red from the side": convertible.red_from_the_side,
            "white at dusk": convertible.white_at_dusk,
            "yellow from the front": convertible.yellow_from_the_front,
            "black in the showroom": convertible.black_in_the_showroom,
            "blue from behind": convertible.blue_from_behind,
            "green in the woods": convertible.green_in_the_woods,
        },
        "ostrich": {
            "head against the sky": ostrich.head_against_the_sky,
            "pair on the grass": ostrich.pair_on_the_grass,
        },
        "beacon": {
            "by day": beacon.by_day,
            "by night": beacon.by_night,
            "at sunset": beacon.at_sunset,
        },
        "balloon": {
            "one close by": balloon.one_close_by,
            "several at dawn": balloon.several_at_dawn,
            "glowing by night": balloon.glowing_by_night,
        },
        "volcano": {
            "smoking by day": volcano.smoking_by_day,
            "erupting by night": volcano.erupting_by_night,
        },
        "daisy": {
            "close up": daisy.close_up,
            "in a meadow": daisy.in_a_meadow,
        },
        "pumpkin": {
            "in the field": pumpkin.in_the_field,
            "lantern by night": pumpkin.lantern_by_night,
        },
        "fishing reel": {"on the pier": reel.on_the_pier},
        "milk can": {"in the yard": milk_can.in_the_yard},
        "golf ball": {"in the grass": golf_ball.in_the_grass},
        "wall clock": {"on the wall": clock.on_the_wall},
    }
)

CLASSES: tuple[str, ...] = tuple(SCENES)
FACETS: Mapping[str, tuple[str, ...]] = MappingProxyType({c: tuple(f) for c, f in SCENES.items()})
