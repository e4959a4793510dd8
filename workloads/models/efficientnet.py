"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6, for phones and boards.

As TensorFlow's authors trained it: convolutions pad as SAME does, pixels are scaled by ``(x - 127) / 128``. 4,652,008
parameters at 1000 classes. Source: Liu and Tan, EfficientNet-Lite (tensorflow/tpu, models/official/efficientnet/lite,
2020), after Tan and Le, EfficientNet, ICML 2019.
"""

from typing import Tuple

from tunebench.workloads.models.graph import INPUT, Builder, Graph

#: expansion, channels, repeats, stride of the first, kernel of the depthwise convolution
_STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
#: of pixels from 0 to 1
SCALING = ((127 / 255, 128 / 255),) * 3


def lite0(name: str, shape: Tuple[int, ...], n_classes: int) -> Graph:
    """Build EfficientNet-Lite0 for inputs of a shape (c, h, w); grey images are read three times."""
    b = Builder(name, "classify", shape)
    y = b.end_block(b.conv_same("stem", b.normalise("normal", INPUT, SCALING), 32, 3, 2, act="relu6"))
    for stage, (expansion, channels, repeats, stride, kernel) in enumerate(_STAGES):
        for index in range(repeats):
            part, source, c_in = "stage%d_%d" % (stage, index), y, b.shapes[y][0]
            step, hidden = stride if index == 0 else 1, c_in * expansion
            if expansion != 1:
                y = b.conv(part + "_expand", y, hidden, 1, act="relu6")
            y = b.conv_same(part + "_depth", y, hidden, kernel, step, groups=hidden, act="relu6")
            y = b.conv(part + "_project", y, channels, 1, act="")
            y = b.end_block(b.add(part + "_sum", source, y) if step == 1 and c_in == channels else y)
    y = b.end_block(b.conv("wide", y, 1280, 1, act="relu6"))
    return b.graph(b.linear("classifier", b.avgpool("pool", y), n_classes))
