"""Open a checkpoint for training: its tokenizer, the arguments its model is built with, and the adapter on it."""

from pathlib import Path
from typing import Any

from peft import PeftConfig
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase
from trl import ModelConfig, get_peft_config, get_quantization_config

from phi_reasoning.errors import InputError


def tokenizer(model: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a prepared checkpoint and check what training relies on.

    Raises:
        InputError: the folder holds an adapter, or the tokenizer is not that of a prepared checkpoint.
    """
    if (Path(model) / "adapter_config.json").is_file():
        raise InputError(
            f"{model}: found a LoRA adapter, valid: a full checkpoint; merge the adapter into its base first"
        )
    try:
        found = AutoTokenizer.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: no tokenizer to load, here or on the Hub ({error})") from None
    if found.chat_template is None:
        raise InputError(f"{model}: its tokenizer has no chat template; run `phi-reasoning prepare` on it")
    if found.pad_token_id is None or found.pad_token_id == found.eos_token_id:
        raise InputError(
            f"{model}: pad token {found.pad_token!r} and end token {found.eos_token!r} must be two tokens, or the end "
            "of a turn is never trained; run `phi-reasoning prepare` on it"
        )
    return found


def init_kwargs(arguments: ModelConfig) -> dict[str, Any]:
    """Return what the trainer passes to `from_pretrained`."""
    kwargs = {
        "revision": arguments.model_revision,
        "attn_implementation": arguments.attn_implementation,
        "dtype": arguments.dtype,
    }
    quantization = get_quantization_config(arguments)
    if quantization is not None:
        kwargs["quantization_config"] = quantization
    return {key: value for key, value in kwargs.items() if value is not None}


def adapter(arguments: ModelConfig) -> PeftConfig | None:
    """Return the configuration of a fresh adapter, or None for full fine-tuning."""
    return get_peft_config(arguments)


def end_ids(model: str, tokenizer: PreTrainedTokenizerBase, revision: str | None = None) -> tuple[int, ...]:
    """Return the ids that end a completion: the tokenizer's end token and those of the generation config."""
    try:
        ids = GenerationConfig.from_pretrained(model, revision=revision).eos_token_id
    except OSError:  # A checkpoint need not have a generation config.
        ids = None
    found = ids if isinstance(ids, list) else [] if ids is None else [ids]
    return tuple(sorted({*found, tokenizer.eos_token_id}))
