"""One self-contained page of a run, and figures for papers. Needs no JAX.

A run is plain NumPy (`mfvjax.run.Run`); its page can be written on any machine.
"""

from mfvjax.report.export import facet_table as facet_table
from mfvjax.report.export import write_table as write_table
from mfvjax.report.facts import run_facts as run_facts
from mfvjax.report.figures import facets_strip as facets_strip
from mfvjax.report.figures import map_figure as map_figure
from mfvjax.report.figures import progress_figure as progress_figure
from mfvjax.report.figures import write_figures as write_figures
from mfvjax.report.page import render_page as render_page
from mfvjax.report.page import write_page as write_page
