"""What autograd holds of a transformer's step between forward and backward."""

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
    del loss
    return sum(size_b for size_b, _ in kept.values())
