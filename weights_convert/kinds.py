"""Names of Caffe's layer types: the numbers and words of the old form, and what a reader drops."""

V1_WORDS = {
    1: "ACCURACY",
    2: "BNLL",
    3: "CONCAT",
    4: "CONVOLUTION",
    5: "DATA",
    6: "DROPOUT",
    7: "EUCLIDEAN_LOSS",
    8: "FLATTEN",
    9: "HDF5_DATA",
    10: "HDF5_OUTPUT",
    11: "IM2COL",
    12: "IMAGE_DATA",
    13: "INFOGAIN_LOSS",
    14: "INNER_PRODUCT",
    15: "LRN",
    16: "MULTINOMIAL_LOGISTIC_LOSS",
    17: "POOLING",
    18: "RELU",
    19: "SIGMOID",
    20: "SOFTMAX",
    21: "SOFTMAX_LOSS",
    22: "SPLIT",
    23: "TANH",
    24: "WINDOW_DATA",
    25: "ELTWISE",
    26: "POWER",
    27: "SIGMOID_CROSS_ENTROPY_LOSS",
    28: "HINGE_LOSS",
    29: "MEMORY_DATA",
    30: "ARGMAX",
    31: "THRESHOLD",
    32: "DUMMY_DATA",
    33: "SLICE",
    34: "MVN",
    35: "ABSVAL",
    36: "SILENCE",
    37: "CONTRASTIVE_LOSS",
    38: "EXP",
    39: "DECONVOLUTION",
}
"""``V1LayerParameter.LayerType`` of Caffe's ``caffe.proto``."""

_IRREGULAR = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
V1_KINDS = {
    word: _IRREGULAR.get(word, "".join(part.capitalize() for part in word.split("_")))
    for word in V1_WORDS.values()
}
"""Today's name of each old type, as Caffe's ``upgrade_proto.cpp`` maps them."""

DATA_KINDS = frozenset(
    ("AnnotatedData", "Data", "DummyData", "HDF5Data", "ImageData", "MemoryData", "WindowData")
)
_AFTER_KINDS = frozenset(("Accuracy", "HDF5Output", "Silence"))


def is_dropped(kind: str) -> bool:
    """Whether a network that only looks at images has no use for a layer of this type."""
    return kind in DATA_KINDS or kind in _AFTER_KINDS or kind.endswith(("Loss", "LossLayer"))
