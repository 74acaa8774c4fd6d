"""What a recipe needs beyond the core dependencies and what the libraries cannot do, known from its keys alone."""

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any


def _names(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(part) for part in value or []]


# key, does its value need it, any of these packages, extra
NEEDS: list[tuple[str, Callable[[Any], bool], tuple[str, ...], str]] = [
    ("report_to", lambda value: "wandb" in _names(value), ("wandb",), "wandb"),
    ("report_to", lambda value: "trackio" in _names(value), ("trackio",), "trackio"),
    ("use_vllm", bool, ("vllm",), "vllm"),
    ("load_in_4bit", bool, ("bitsandbytes",), "quant"),
    ("load_in_8bit", bool, ("bitsandbytes",), "quant"),
    ("optim", lambda value: str(value).endswith(("_8bit", "_8bit_bnb")), ("bitsandbytes", "torchao"), "quant"),
    ("use_liger_kernel", bool, ("liger_kernel",), "liger"),
    (
        "attn_implementation",
        lambda value: str(value).startswith("flash_attention"),
        ("flash_attn", "kernels"),
        "flash",
    ),
    ("deepspeed", bool, ("deepspeed",), "deepspeed"),
]


def missing(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) for each package that a key needs and that is not installed."""
    for key, needs, packages, extra in NEEDS:
        if needs(values.get(key)) and not any(importlib.util.find_spec(package) for package in packages):
            yield key, f"{packages[0]} is not installed, valid: pip install 'phi-reasoning[{extra}]', or another {key}"


def impossible(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) for keys that the libraries accept together and then get wrong."""
    for key in ("load_in_4bit", "load_in_8bit"):
        if values.get("use_vllm") and values.get(key):
            yield (
                key,
                "cannot go with use_vllm: vLLM does not take the updates of quantised weights (trl#4973, trl#3466), "
                "valid: use_transformers_continuous_batching: true in place of use_vllm",
            )
