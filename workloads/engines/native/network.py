"""A network on the native kernels: its trunk frozen, in inference mode, or with adapters beside its layers.

What stands behind a frozen trunk trains as ever. A plan that caches runs the trunk once an image; the others run it in
every step. Neither torch nor numpy is needed.
"""

from array import array
from typing import Any, Dict, Optional, Sequence, Tuple

from tunebench.workloads import seeds
from tunebench.workloads.artefact import Tensor
from tunebench.workloads.engines import check_plan, check_training
from tunebench.workloads.engines.native.errors import NativeError
from tunebench.workloads.engines.native.head import head_of
from tunebench.workloads.engines.native.layout import LayerRow, Layout
from tunebench.workloads.engines.native.loader import Library, address, find_library
from tunebench.workloads.engines.native.memory import predict
from tunebench.workloads.engines.native.net import Program, compile_net
from tunebench.workloads.engines.native.session import MAX_LAYERS, check_place, version
from tunebench.workloads.engines.native.session import Session as ChainSession
from tunebench.workloads.engines.native.trunk import Trunk, folded_layer
from tunebench.workloads.models.graph import product
from tunebench.workloads.tasks.spec import SpecError
from tunebench.workloads.tasks.task import Task

__all__ = ["NativeError", "Session", "version"]


class Session(ChainSession):
    """A fine-tuning of what stands behind a network's frozen trunk, or of adapters in it.

    Args:
        task: what to train.
        cache: None follows the plan; False recomputes what the plan would cache (the correctness check).
        library: the kernels; None: see :func:`find_library`.
        trunk: of another session on the same network and method, to share.

    Raises:
        SpecError: the task asks for what this engine does not have.
        NativeError: no library, or out of memory.
    """

    def __init__(
        self,
        task: Task,
        cache: Optional[bool] = None,
        library: Optional[Library] = None,
        trunk: Optional[Trunk] = None,
    ) -> None:
        self._check(task)
        chosen = library or find_library()
        self._images = bytes_of(task.data.need("finetune_x"))
        self.trunk: Optional[Trunk] = None
        self.net = compile_net(task.plan, chosen.vector_floats) if task.plan.trains_trunk else None
        if self.net is None:
            self._take_head(task, chosen, trunk)
        super().__init__(task, cache, chosen)
        self._test = bytes_of(task.data.need("test_x"))

    def _take_head(self, task: Task, library: Library, trunk: Optional[Trunk]) -> None:
        """Find what trains behind the frozen trunk, and make the trunk."""
        self.head = head_of(task.plan)
        if len(self.head.layout.layers) > MAX_LAYERS:
            raise SpecError(
                "workload.engine 'native' takes at most %d blocks with skip adapters, model %r has %d: set "
                "workload.skip_blocks" % (MAX_LAYERS - 1, task.spec.model, len(self.head.layout.layers) - 1)
            )
        self.trunk = trunk or Trunk(self.head.graph, self.head.given, task.weights, library)

    def _check(self, task: Task) -> None:
        check_training("native", task.spec.training, task.spec.model)
        check_plan("native", str(task.spec.method), task.plan)
        check_place(task)

    def _layout(self) -> Layout:
        if self.net is None:
            return self.head.layout
        (scores,) = (node for node in self.plan.graph.nodes if node.name == self.plan.graph.outputs[0])
        return Layout((LayerRow(0, product(scores.shape)),), (), self.plan.rank, (False, True), fed=True)

    @property
    def n_adapters(self) -> int:
        return super().n_adapters if self.net is None else len(self.net.adapters)

    def adapter_sizes(self, index: int) -> Tuple[int, int]:
        if self.net is None:
            return super().adapter_sizes(index)
        adapter = self.net.adapters[index]
        return product(adapter.extractor), product(adapter.mapper)

    def _set_start(self) -> None:
        c = self.library.c
        labels = self.task.data.need("finetune_y").array()
        none = array("f", [0.0])  # layer 0 has no inputs
        c.tb_set_data(self._handle, address(none), address(labels))
        if self.net is not None:
            self._set_net(self.net)
        elif self.trunk is not None:
            c.tb_feed(self._handle, self.trunk.handle, address(self._images), self.trunk.image_b)
            if self.head.layer:
                (node,) = (node for node in self.head.graph.nodes if node.name == self.head.layer)
                weight, _, bias = folded_layer(node, self.task.weights)
                self.set_layer(1, weight, bias)
        for index, (name, fan_in) in enumerate(self._extractors()):
            n_first, n_second = self.adapter_sizes(index)
            first = seeds.kaiming_uniform(n_first, fan_in, self.task.spec.seed, name)
            second = array("f", bytes(4 * n_second))
            c.tb_set_adapter(self._handle, index, address(first), address(second))

    def _extractors(self) -> Sequence[Tuple[str, int]]:
        """Return of each adapter the name of its start values, and the inputs of one output of its extractor."""
        if self.net is None:
            return self.head.extractors
        return [(adapter.name, adapter.fan_in) for adapter in self.net.adapters]

    def _set_net(self, net: Program) -> None:
        """Give the kernels the network, its frozen weights and the images."""
        c, spec = self.library.c, self.task.spec
        nodes, grids = (
            array("i", [value for row in rows for value in row]) for rows in (net.nodes, net.grids)
        )
        sizes = array("i", net.sizes)
        made = c.tb_net_new(
            self._handle, address(nodes), len(net.nodes), address(grids), len(net.grids), address(sizes),
            address(self._images), product(self.plan.graph.shape),
        )  # fmt: skip
        if made != 0:
            raise NativeError("out of memory for model %r and a batch of %d" % (spec.model, spec.batch))
        for index, node in net.layers:
            weight, slope, shift = folded_layer(node, self.task.weights)
            c.tb_net_set(self._handle, index, address(weight), address(slope), address(shift))

    def _like(self, task: Task) -> "Session":
        return Session(task, self.caching, self.library, self.trunk)

    def images_logits(self, images: Any, rows: int) -> "array[float]":
        """Compute logits (rows x n_classes, flat) of images of bytes, nothing cached."""
        values = array("f", bytes(4 * rows * self.layout.layers[-1].n_out))
        self.library.c.tb_logits_of_images(self._handle, address(images), rows, address(values))
        return values

    def facts(self) -> Dict[str, Any]:
        facts = super().facts()
        predicted = predict(self.plan, self.task.spec.batch, vector_floats=self.library.vector_floats)
        return {**facts, "metrics": {"predicted_step_b": predicted.step_b, **facts["metrics"]}}

    def _test_logits(self, rows: int) -> "array[float]":
        return self.images_logits(self._test, rows)


def bytes_of(item: Tensor) -> Any:
    """Return a tensor's bytes where they lie, or a copy if the kernels could not be given their address."""
    view = memoryview(item.data)
    return bytearray(view) if view.readonly else view
