"""Whole layers: the facets of many units over many devices and hosts, resumable, nothing lost."""

from mfvjax.atlas.build import Atlas as Atlas
from mfvjax.atlas.build import DamagedUnitWarning as DamagedUnitWarning
from mfvjax.atlas.build import UnitFailedWarning as UnitFailedWarning
from mfvjax.atlas.build import build_atlas as build_atlas
from mfvjax.atlas.find import ChangedImageError as ChangedImageError
from mfvjax.atlas.folder import AtlasFolder as AtlasFolder
from mfvjax.atlas.hosts import join_processes as join_processes
from mfvjax.atlas.index import write_index as write_index
from mfvjax.atlas.judge import JudgedAtlas as JudgedAtlas
from mfvjax.atlas.judge import judge_atlas as judge_atlas
from mfvjax.atlas.locks import AtlasBusyError as AtlasBusyError
from mfvjax.atlas.merge import Merged as Merged
from mfvjax.atlas.merge import merge_atlas as merge_atlas
from mfvjax.atlas.plan import AtlasError as AtlasError
from mfvjax.atlas.plan import AtlasPlan as AtlasPlan
from mfvjax.atlas.share import Share as Share
from mfvjax.atlas.share import parse_units as parse_units
