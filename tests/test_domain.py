"""What an image is: its names, its numbers, and its 256 steps."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfvjax.domain import GREY, RGB, Domain
from tests.domain_networks import BANDS, DIGITS, DOMAINS, SOUNDS


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": 0}, "channels=0 must be a number from 1"),
        ({"low": 1.0, "high": 1.0}, "low=1.0 and high=1.0 must be finite, low below high"),
        ({"high": np.inf}, "high=inf must be finite"),
        ({"low": np.nan}, "low=nan"),
        ({"kind": ""}, "kind='' must be a word"),
        ({"channels": 1}, "kind='rgb' has 3 channels, not 1"),
        ({"kind": "grey"}, "kind='grey' has 1 channels, not 3"),
    ],
)
def test_domains_that_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Domain(**fields)


def test_names_and_numbers():
    assert [str(domain) for domain in DOMAINS.values()] == [
        "RGB in [0, 255]",
        "grey in [0, 255]",
        "grey in [0, 16]",
        "spectrogram of 1 channel in [-80, 0]",
        "bands of 5 channels in [0, 1]",
    ]
    assert [domain.is_8bit for domain in DOMAINS.values()] == [True, True, False, False, False]
    assert not Domain(1, 0, 255, "spectrogram").is_8bit
    assert [GREY.dtype, DIGITS.dtype] == [np.uint8, np.float32]


def test_whole_numbers_and_numpys_are_written_down_alike():
    one, other = Domain(1, 0, 16, "grey"), Domain(1, np.float64(0), 16.0, "grey")
    assert repr(one) == repr(other)
    assert json.dumps(dataclasses.asdict(one)) == json.dumps(dataclasses.asdict(other))
    assert hash(one) == hash(other)


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
def test_a_domain_comes_back_from_json(domain):
    assert Domain.from_json(json.loads(json.dumps(dataclasses.asdict(domain)))) == domain


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {"channels": 1},
        {"channels": "1", "low": 0, "high": 1, "kind": "grey"},
        {"channels": 1, "low": "a", "high": 1, "kind": "grey"},
        {"channels": 1, "low": 0, "high": 1, "kind": 7},
        {"channels": None, "low": 0, "high": 1, "kind": "grey"},
        {"channels": 1, "low": 0, "high": 1, "kind": "grey", "more": 1},
    ],
)
def test_json_that_is_no_domain(fields):
    with pytest.raises(ValueError, match="domain"):
        Domain.from_json(fields)


@given(low=st.floats(-1e3, 1e3), span=st.floats(1, 1e4))
def test_levels_are_even_steps_and_come_back(low, span):
    domain = Domain(1, low, low + span, "depth")
    every = np.arange(256, dtype=np.uint8)
    values = domain.from_levels(every)
    assert values.dtype == np.float32
    assert domain.holds(values)
    np.testing.assert_allclose(values, np.linspace(low, low + span, 256), rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(domain.levels(values.astype(np.float64)), every)


def test_levels_of_what_is_outside_or_no_number():
    values = np.array([-90, -80, -79.9, -40, -0.1, 0, 3, np.nan, np.inf, -np.inf], np.float32)
    # -79.9 is step 0.32, -40 is step 127.5 (to the even one), -0.1 is step 254.7.
    assert SOUNDS.levels(values).tolist() == [0, 0, 0, 128, 255, 255, 255, 0, 255, 0]


def test_grey_levels_are_their_own_steps():
    levels = np.arange(256, dtype=np.uint8)
    assert RGB.levels(levels) is levels
    assert GREY.from_levels(levels) is levels
    values = np.array([-3, 0.4, 0.6, 254.6, 300], np.float32)
    assert RGB.levels(values).tolist() == [0, 0, 1, 255, 255]


def test_what_a_domain_holds():
    assert BANDS.holds(np.array([0, 0.5, 1], np.float32))
    for wrong in (-1e-6, 1.00001, np.nan, np.inf):
        assert not BANDS.holds(np.array([0.5, wrong], np.float32))
    tenth = Domain(1, 0, 0.1, "depth")  # 0.1 is a little more in float32
    assert tenth.holds(np.array([0.1], np.float32))
