"""Pictures that share the statistics of a facet's own images: this library's recipe.

The paper keeps a picture at its facet by where it starts. Here the facet is part of what is
climbed: besides raising its unit, a picture meets, in every random view of it, the statistics that
the facet's nearest real images have in layers of all depths.

The recipe says how pictures move. What they climb is each facet's own and comes with the targets:
for a unit whose largest activation on real images is ``largest``, from the facet's mean image,
``(1 / largest) * unit_objective(unit) + statistics_objective(activations, layers)``, where
`mfvjax.objective.statistics_objective` takes the activations of the facet's nearest images in one
layer per depth, such as SqueezeNet's ``fire3/concat`` to ``fire9/concat``.
"""

from __future__ import annotations

import optax

from mfvjax.parametrizations import Fourier
from mfvjax.recipe import Phase, Recipe
from mfvjax.updates import Optax
from mfvjax.views import RandomView

# Coefficients and Adam at 0.05 are Lucid's. Canvas, views and number of steps were chosen on three
# classes of ImageNet seen by SqueezeNet, by how networks that had no part in them saw the pictures.
FACET_STATISTICS = Recipe(
    "facet-statistics",
    (
        Phase(
            num_steps=128,
            scale=1.13,
            parametrization=Fourier(),
            view=RandomView(smallest=0.6, largest=1.1, degrees=8.0),
            update=Optax(optax.adam, {"learning_rate": 0.05}),
            projections=(),
        ),
    ),
)
