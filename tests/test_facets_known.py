"""Facets of the bundled network's classes, beside those that the pictures were painted with."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from mfvjax.facets.discover import discover_facets
from mfvjax.facetworld import CLASSES, FACETS, dataset
from mfvjax.network import Network


@pytest.fixture(scope="module")
def network():
    return Network.load("compact")


def found_in(network, pictures, class_name, num_facets):
    return discover_facets(
        network,
        pictures.images,
        unit=f"fc8:{network.class_names.index(class_name)}",
        num_facets=num_facets,
    )


@pytest.mark.parametrize("class_name", ["bell pepper", "daisy", "milk can"])
def test_known_facets_are_found(class_name, network):
    """Four facets, two and one, in 64 pictures."""
    true = len(FACETS[class_name])
    pictures = dataset(64 // true, classes=[class_name], seed=21)
    facets = found_in(network, pictures, class_name, "auto")
    assert facets.num_facets == true, facets.summary["num_facets"]["reason"]
    assert adjusted_rand_score(pictures.facet_index, facets.assignment) > 0.9


@pytest.mark.slow
def test_all_classes(network):
    """The number of facets right for at least four classes in five, and for all of one facet."""
    answers, agreements = {}, {}
    for class_name in CLASSES:
        true = len(FACETS[class_name])
        pictures = dataset(80, classes=[class_name], seed=22)
        facets = found_in(network, pictures, class_name, "auto")
        answers[class_name] = (facets.num_facets, true)
        if true > 1:
            if facets.num_facets != true:
                facets = found_in(network, pictures, class_name, true)
            agreement = adjusted_rand_score(pictures.facet_index, facets.assignment)
            agreements[class_name] = agreement
    print(answers, agreements)
    assert np.mean([answer == true for answer, true in answers.values()]) >= 0.8, answers
    assert all(answer == 1 for answer, true in answers.values() if true == 1), answers
    assert min(agreements.values()) >= 0.9, agreements
