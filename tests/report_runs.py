"""Runs for the tests of the report, and a reader of the pages."""

import dataclasses
import html.parser
import json

import numpy as np

from tests.run_example import example_run


def shown_run(num_facets, num_shown, *, num_images=None, image_size=32, **overrides):
    """An example run of facets of equal size, with `num_shown` real images of every facet."""
    num_images = num_images or 2 * num_facets * num_shown
    run = example_run(num_facets, num_images, image_size, **overrides)
    assignment = np.arange(num_images) % num_facets
    nearest = np.arange(num_facets)[:, None] + num_facets * np.arange(num_shown)
    images = np.random.default_rng(1).integers(
        0, 256, (num_facets, num_shown, image_size, image_size, 3), np.uint8
    )
    facets = dataclasses.replace(
        run.facets, sizes=np.bincount(assignment), nearest=nearest, nearest_images=images
    )
    real = dataclasses.replace(run.real, assignment=assignment)
    return dataclasses.replace(run, facets=facets, real=real)


def flat_run(colors, size=32):
    """A run whose visualizations, means and real images are of one color each: ``(k, 4, 3)``.

    The four are the visualization, the mean image and two real images.
    """
    colors = np.asarray(colors)
    run = shown_run(len(colors), 2, num_images=8 * len(colors), image_size=size)
    flat = np.broadcast_to(colors[:, :, None, None], (len(colors), 4, size, size, 3))
    facets = dataclasses.replace(
        run.facets,
        mean_images=flat[:, 1].astype(np.float32),
        nearest_images=flat[:, 2:].astype(np.uint8),
    )
    images = flat[:, 0].astype(np.float32)
    shown = dataclasses.replace(run.shown, images=images, phase_images=(images,) * 3)
    return dataclasses.replace(run, facets=facets, shown=shown)


class Page(html.parser.HTMLParser):
    """The elements of a page: ``(tag, attributes)``, the text outside scripts, and the data.

    Attributes:
      elements: in order.
      text: of everything but scripts and styles.
      data: the JSON of ``<script id="data">``, read strictly.
    """

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.data = [], "", None
        self._inside = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._inside.pop()

    def handle_data(self, data):
        if not self._inside:
            self.text += data
        elif self._inside[-1] == ("script", "data"):
            self.data = json.loads(data, parse_constant=_not_json)

    def of(self, tag, **wanted):
        """Attributes of the elements of a tag, with at least the attributes `wanted`."""
        wanted = {name.replace("_", "-").strip("-"): value for name, value in wanted.items()}
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and wanted.items() <= attributes.items()
        ]


def _not_json(constant):
    raise AssertionError(f"{constant} is no JSON")
