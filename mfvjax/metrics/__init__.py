"""What a visualization is worth, in numbers: plain NumPy functions of arrays, each with its unit.

`METRICS` says of every number that a run stores what it means and which way is better; `metric`
also where images are not RGB.
"""

from mfvjax.metrics.activation import activation_percentile as activation_percentile
from mfvjax.metrics.activation import activation_ratio as activation_ratio
from mfvjax.metrics.codes import code_centroids as code_centroids
from mfvjax.metrics.codes import code_retention as code_retention
from mfvjax.metrics.codes import facet_recall as facet_recall
from mfvjax.metrics.codes import nearest_code_retention as nearest_code_retention
from mfvjax.metrics.color import color_distance as color_distance
from mfvjax.metrics.color import sliced_wasserstein as sliced_wasserstein
from mfvjax.metrics.diversity import code_diversity as code_diversity
from mfvjax.metrics.diversity import homogeneity as homogeneity
from mfvjax.metrics.diversity import image_diversity as image_diversity
from mfvjax.metrics.fragments import gradient_area as gradient_area
from mfvjax.metrics.fragments import gradient_spread as gradient_spread
from mfvjax.metrics.lab import rgb_to_lab as rgb_to_lab
from mfvjax.metrics.leave_one_out import leave_one_out_percentile as leave_one_out_percentile
from mfvjax.metrics.leave_one_out import leave_one_out_recall as leave_one_out_recall
from mfvjax.metrics.leave_one_out import similarity_percentile as similarity_percentile
from mfvjax.metrics.ranks import class_probabilities as class_probabilities
from mfvjax.metrics.ranks import class_ranks as class_ranks
from mfvjax.metrics.table import METRICS as METRICS
from mfvjax.metrics.table import Metric as Metric
from mfvjax.metrics.table import metric as metric
