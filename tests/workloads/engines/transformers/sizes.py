"""What a transformer takes, and what autograd holds of its step between forward and backward."""

from __future__ import annotations


def kept_b(session, rows):
    """Return its bytes, each storage once, parameters and the texts themselves left out."""
    import torch

    own = {item.untyped_storage().data_ptr() for item in session.model.parameters()}
    kept = {}

    def note(item):
        storage = item.untyped_storage()
        if storage.data_ptr() not in own and item.is_floating_point():
            kept[storage.data_ptr()] = (storage.nbytes(), item)
        return item

    with torch.autograd.graph.saved_tensors_hooks(note, lambda item: item):
        loss = session._loss(rows, lambda phase: None)
    todo, met = [loss.grad_fn], set()
    while todo:  # what a function of a package keeps past the hooks
        function = todo.pop()
        if function is None or function in met:
            continue
        met.add(function)
        if isinstance(getattr(function, "A", None), torch.Tensor):
            note(function.A)
        todo += [following for following, _ in function.next_functions]
    del loss, todo, met, function
    return sum(size_b for size_b, _ in kept.values())


def step_peak_b(session, rows):
    """Return the most that torch's allocator of the host held at once during a step, beside what it held before."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        session.step(rows, lambda phase: None)
    held_b = peak_b = 0
    for event in profiled.profiler.kineto_results.events():  # in the order of time
        if event.name() == "[memory]":
            held_b += event.nbytes()
            peak_b = max(peak_b, held_b)
    return peak_b


def model_b(model):
    """Return the bytes of a network's tensors, each storage once; of packed maps their scales, too."""
    tensors = list(model.parameters())
    for layer in model.modules():
        state = getattr(getattr(layer, "weight", None), "quant_state", None)
        tensors += [] if state is None else [state.absmax, state.state2.absmax, state.offset]
        scales = getattr(getattr(layer, "state", None), "SCB", None)
        tensors += [] if scales is None else [scales]
    return sum(
        {item.untyped_storage().data_ptr(): item.untyped_storage().nbytes() for item in tensors}.values()
    )
