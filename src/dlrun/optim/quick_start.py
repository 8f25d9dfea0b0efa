"""Keeps PyTorch's optimizers from importing its compiler, which takes 0.7 s and is used by few runs."""

from torch.optim import Optimizer


def without_compiler() -> None:
    """Let the optimizers' methods run as they are; call it where nothing will be compiled.

    PyTorch wraps some of them so that the compiler leaves them alone, and imports the compiler for that at
    their first call (torch._compile._disable_dynamo, which remembers its choice in this attribute).
    """
    for method in vars(Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain
