"""The loop: tensors in, events out."""
