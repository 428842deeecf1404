"""Image sources: folders, lists of files, arrays and TensorFlow Datasets; decode, resize, batch."""

from mfvjax.images.batches import Batch as Batch
from mfvjax.images.batches import LoadReport as LoadReport
from mfvjax.images.batches import iterate_batches as iterate_batches
from mfvjax.images.batches import load_images as load_images
from mfvjax.images.decode import Decoding as Decoding
from mfvjax.images.files import FileSource as FileSource
from mfvjax.images.opening import Imagelike as Imagelike
from mfvjax.images.opening import open_images as open_images
from mfvjax.images.resize import ResizeRule as ResizeRule
from mfvjax.images.sources import ArraySource as ArraySource
from mfvjax.images.sources import ImageSource as ImageSource
from mfvjax.images.sources import SelectedSource as SelectedSource
from mfvjax.images.sources import fingerprints as fingerprints
from mfvjax.images.tfds_source import TfdsSource as TfdsSource
from mfvjax.images.unreadable import SkippedImage as SkippedImage
from mfvjax.images.unreadable import TooManyUnreadableError as TooManyUnreadableError
from mfvjax.images.unreadable import UnreadableImageError as UnreadableImageError
