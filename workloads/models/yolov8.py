"""YOLOv8's layer shapes, for counting: our own description of the published architecture.

Written from its public description (backbone of C2f blocks and SPPF, a path-aggregation neck, a decoupled head with
distribution focal loss; depth, width and channel limits by size), without any of its code, which is AGPL. It is
checked by the published parameter totals and multiply-adds and is not built or trained here.
"""

from typing import Tuple

from tunebench.workloads.models.graph import Builder, Graph, UnsupportedModel

#: size -> (depth, width, most channels before width)
SIZES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}
TASKS = ("detect", "segment", "classify")
BINS = 16  # of a box side's distribution
MASKS, PROTOTYPE_CHANNELS = 32, 256
CLASSIFIER_CHANNELS = 1280


class _Yolo(object):
    """One size: how often blocks are repeated, how wide they are."""

    def __init__(self, size: str, task: str, side: int) -> None:
        depth, width, most = SIZES[size]
        self.depth, self.width = depth, width
        self.most = 1024 if task == "classify" else most
        self.b = Builder("yolov8" + size, task, (3, side, side))

    def channels(self, wanted: int) -> int:
        """Return the nominal channels times width, rounded up to a multiple of 8."""
        return -(-int(min(wanted, self.most) * self.width) // 8) * 8

    def repeats(self, wanted: int) -> int:
        """Return the nominal repeats times depth, rounded, at least 1."""
        return max(int(wanted * self.depth + 0.5), 1)

    def conv(self, name: str, source: str, channels: int, kernel: int = 1, stride: int = 1) -> str:
        """Add a convolution with BatchNorm and SiLU."""
        return self.b.conv(name, source, channels, kernel, stride, act="silu")

    def c2f(self, name: str, source: str, wanted: int, repeats: int, shortcut: bool = True) -> str:
        """Add two halves with a chain of bottlenecks on the second; the outputs of all its links are joined."""
        out = self.channels(wanted)
        half = out // 2
        split = self.conv(name + "_in", source, 2 * half)
        parts = [self.b.slice("%s_part%d" % (name, i), split, i * half, half) for i in (0, 1)]
        for index in range(self.repeats(repeats)):
            part = "%s_block%d" % (name, index)
            y = self.conv(part + "_b", self.conv(part + "_a", parts[-1], half, 3), half, 3)
            parts.append(self.b.add(part + "_sum", parts[-1], y) if shortcut else y)
        return self.b.end_block(self.conv(name + "_out", self.b.concat(name + "_all", *parts), out))

    def sppf(self, name: str, source: str, wanted: int) -> str:
        """Add three poolings one behind another, all joined."""
        out = self.channels(wanted)
        parts = [self.conv(name + "_in", source, out // 2)]
        for index in range(3):
            parts.append(self.b.maxpool("%s_pool%d" % (name, index), parts[-1], 5, 1, padding=2))
        return self.b.end_block(self.conv(name + "_out", self.b.concat(name + "_all", *parts), out))

    def backbone(self) -> Tuple[str, str, str]:
        """Add the backbone; return its feature maps at strides 8, 16 and 32."""
        y, maps = "input", []
        for stage, (wanted, repeats) in enumerate(((64, 0), (128, 3), (256, 6), (512, 6), (1024, 3))):
            y = self.conv("down%d" % stage, y, self.channels(wanted), 3, 2)
            y = y if stage else self.b.end_block(y)
            if repeats:
                y = self.c2f("stage%d" % stage, y, wanted, repeats)
            maps.append(y)
        return maps[2], maps[3], maps[4]

    def neck(self, p3: str, p4: str, p5: str) -> Tuple[str, str, str]:
        """Add the neck, top-down, then bottom-up; return its feature maps at the same strides."""
        b = self.b
        top = self.sppf("sppf", p5, 1024)
        n4 = self.c2f("up4", b.concat("cat4", b.upsample("to4", top), p4), 512, 3, False)
        n3 = self.c2f("up3", b.concat("cat3", b.upsample("to3", n4), p3), 256, 3, False)
        back4 = self.conv("back4", n3, self.channels(256), 3, 2)
        o4 = self.c2f("out4", b.concat("join4", back4, n4), 512, 3, False)
        back5 = self.conv("back5", o4, self.channels(512), 3, 2)
        o5 = self.c2f("out5", b.concat("join5", back5, top), 1024, 3, False)
        return n3, o4, o5

    def branch(self, name: str, source: str, hidden: int, out: int) -> str:
        """Add two 3x3 convolutions and a plain 1x1: one output of the decoupled head at one level."""
        y = self.conv(name + "_b", self.conv(name + "_a", source, hidden, 3), hidden, 3)
        return self.b.conv(name, y, out, 1, norm=False, act="", head=True)

    def heads(self, levels: Tuple[str, str, str], n_classes: int) -> Tuple[str, ...]:
        """Add the heads for classes and boxes at three levels; segmentation adds mask coefficients and prototypes."""
        shapes = self.b.shapes
        least = shapes[levels[0]][0]
        box_width, class_width = max(16, least // 4, 4 * BINS), max(least, min(n_classes, 100))
        boxes, classes, masks = [], [], []
        for index, level in enumerate(levels):
            boxes.append(self.branch("box%d" % index, level, box_width, 4 * BINS))
            classes.append(self.branch("class%d" % index, level, class_width, n_classes))
            if self.b.task == "segment":
                masks.append(self.branch("mask%d" % index, level, max(least // 4, MASKS), MASKS))
        anchors = sum(shapes[box][1] * shapes[box][2] for box in boxes)
        bins = self.b.rearrange("bins", tuple(boxes), (BINS, 4, anchors))
        dfl = self.b.conv("dfl", bins, 1, 1, norm=False, act="", bias=False, fixed=True)
        if self.b.task == "detect":
            return (dfl,) + tuple(classes)
        wide = self.channels(PROTOTYPE_CHANNELS)
        y = self.b.deconv("proto_up", self.conv("proto_a", levels[0], wide, 3), wide)
        proto = self.conv("proto_c", self.conv("proto_b", y, wide, 3), MASKS)
        return (dfl,) + tuple(classes) + tuple(masks) + (proto,)


def graph(size: str, task: str, n_classes: int, side: int) -> Graph:
    """Build YOLOv8 of one size.

    Args:
        size: one of :data:`SIZES`.
        task: one of :data:`TASKS`.
        n_classes: published totals have 80 (detect, segment) and 1000 (classify).
        side: of the square input in pixels, a multiple of 32.

    Raises:
        UnsupportedModel: unknown task, or a side that is no multiple of 32.
    """
    if task not in TASKS:
        raise UnsupportedModel(
            "model 'yolov8%s' has no task %r, use one of: %s" % (size, task, ", ".join(TASKS))
        )
    if side < 32 or side % 32:
        raise UnsupportedModel("model 'yolov8%s': input side %d, expected a multiple of 32" % (size, side))
    y = _Yolo(size, task, side)
    p3, p4, p5 = y.backbone()
    if task == "classify":
        pooled = y.b.avgpool("pool", y.b.end_block(y.conv("wide", p5, CLASSIFIER_CHANNELS)))
        return y.b.graph(y.b.linear("classifier", pooled, n_classes))
    return y.b.graph(*y.heads(y.neck(p3, p4, p5), n_classes))
