"""The run folder: a finished run on disk, written whole or not at all, and read back exactly.

Format ``mfvjax-run``, version 1. A folder holds:

* ``run.json``: text (UTF-8, strict JSON). ``format``, ``version``, ``unit``, ``title``,
  ``network``, ``options``, ``versions``, ``timings``, ``summary``, ``scores`` (name -> one number
  per facet), ``domain`` (what the images are: ``channels``, ``low``, ``high``, ``kind``, see
  `mfvjax.domain.Domain`; RGB in [0, 255] where there is none, in older runs), ``real.names`` (of
  the images, in the order of the arrays), ``shown.phase_ends``, ``shown.top_class_names``,
  ``controls`` (``names``, ``about``, ``facet``, where there are any), ``judgements`` (one of each
  judge, see `mfvjax.judgement.Judgement`, where there are any; one can be added later), and
  ``files``: for every file below its ``bytes`` and ``sha256``. Numbers that JSON cannot write are
  the strings "NaN", "Infinity" and "-Infinity".
* ``arrays.npz``: the arrays of `mfvjax.run.Run`, as ``real.map``, ``facets.sizes``,
  ``shown.phase_images.1`` and so on; nothing pickled. Float images are stored as the four bytes of
  their little-endian float32 values, one plane after another, which packs a sixth tighter: for
  ``planes = arrays["shown.images.planes"]`` the images are
  ``np.moveaxis(planes, 0, -1).copy().view("<f4")[..., 0]``. ``shown.images`` is left out where it
  equals the last of ``shown.phase_images``. Phases of 8-bit canvases are not among the arrays.
  All images have the values of the domain, but for ``real.thumbnails``: these have 256 levels, 0
  for the domain's lowest value and 255 for its highest. Where the domain is not of RGB or grey
  pictures in [0, 255], ``facets.nearest_images`` is an array too.
* ``facets/01.png`` the visualization of the first facet, ``facets/01_mean.png`` its mean image,
  ``facets/01_phase1.png`` the canvas at the end of each phase, but for a last one that is the
  visualization: rounded, for people, and the record of 8-bit canvases.
* ``controls/01.png`` the first control: rounded, and the record of 8-bit ones.
* ``nearest/01_01.png``: the real images nearest to the first facet's centroid, nearest first. Of
  RGB and grey pictures in [0, 255] these are the record: `load_run` reads them.

Pictures of RGB and grey images are RGB and grey, black for the domain's lowest value and white for
its highest. Pictures of others are only for looking at, see `mfvjax.store.pictures.look`: one
channel in matplotlib's "magma", several side by side, spectrograms with row 0 at the bottom.

Anything else in the folder, a page or figures, is made from the run, can be made again, and is not
listed. Fields are only ever added within a version.
"""

from mfvjax.store.add import add_judgement as add_judgement
from mfvjax.store.errors import DamagedRunError as DamagedRunError
from mfvjax.store.errors import NotARunError as NotARunError
from mfvjax.store.errors import RunExistsError as RunExistsError
from mfvjax.store.errors import RunWriteError as RunWriteError
from mfvjax.store.errors import UnknownVersionError as UnknownVersionError
from mfvjax.store.publish import check_run_folder as check_run_folder
from mfvjax.store.publish import open_run_folder as open_run_folder
from mfvjax.store.read import is_finished as is_finished
from mfvjax.store.read import load_run as load_run
from mfvjax.store.read import read_header as read_header
from mfvjax.store.read import verify_run as verify_run
from mfvjax.store.write import save_run as save_run
from mfvjax.store.write import write_run as write_run
