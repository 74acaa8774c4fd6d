"""Settings of rows, schedule, sampling and rewards that do not work together, as rows like those of `hardware`."""

from huggingface_hub import get_token

from phi_reasoning.diagnosis.hardware import Row
from phi_reasoning.diagnosis.situation import Situation

# Beyond this many tokens the exponential of a sum over them is 0 or huge.
LONG = 4096


def _sequence_ratio(s: Situation) -> bool:
    corrected = s["use_vllm"] and s["vllm_importance_sampling_correction"]
    return bool(corrected) and str(s["vllm_importance_sampling_mode"]).startswith("sequence")


def _longest(s: Situation) -> int:
    if s.verb == "grpo":
        return max(s["vllm_max_model_length"] or 0, s["max_completion_length"] or 0)
    return s.length or 0


ROWS: list[Row] = [
    (
        "packing-leaks",
        lambda s: s["packing"] and s["packing_strategy"] == "wrapped",
        "wrapped packing lets a row attend to the one before it",
        "packing_strategy: bfd",
    ),
    (
        "packing-attention",
        lambda s: s.packs and s["packing_strategy"] != "wrapped" and not s.cpu and not s.variable_length,
        "packed rows without variable-length attention need a mask of length x length",
        "attn_implementation: flash_attention_2 or flex_attention, or packing: false (T4: no packing)",
    ),
    (
        "padding-free",
        lambda s: s["padding_free"] and not s["packing"] and s["max_length"] is not None,
        "padding_free without packing does not hold rows to max_length, and TRL refuses the pair",
        "packing: true, or max_length: null",
    ),
    (
        "eval-data",
        lambda s: str(s["eval_strategy"]) != "no" and not s["eval_datasets"],
        "eval_strategy without eval_datasets",
        "eval_datasets, or eval_strategy: 'no'",
    ),
    (
        "warm-up",
        lambda s: 0 < s["max_steps"] <= (s["warmup_steps"] or 0),
        "the warm-up is as long as the run, so the learning rate is never reached",
        "warmup_steps below max_steps",
    ),
    ("learning-rate", lambda s: not s["learning_rate"], "nothing learns at learning_rate 0", "a rate above 0"),
    (
        "positions",
        lambda s: s.shape and s.length and _longest(s) > s.shape.positions,
        "sequences longer than the model's max_position_embeddings",
        "shorter sequences, or `phi-reasoning prepare` with more positions",
    ),
]

SAMPLING: list[Row] = [
    (
        "truncated-reward",
        lambda s: s["mask_truncated_completions"] and any(s.rewards("missing_end")),
        "mask_truncated_completions hides the completions that the reward's missing_end is to punish",
        "mask_truncated_completions: false",
    ),
    (
        "importance-ratio",
        lambda s: _sequence_ratio(s) and (s["max_completion_length"] or 0) > LONG,
        "a ratio over a whole sequence is the exponential of a sum over its tokens: 0 or huge at this length",
        "vllm_importance_sampling_mode: token_truncate",
    ),
    (
        "vllm-length",
        lambda s: s["use_vllm"] and 0 < (s["vllm_max_model_length"] or 0) <= (s["max_completion_length"] or 0),
        "vllm_max_model_length leaves no room for a prompt beside max_completion_length",
        "vllm_max_model_length: prompt + completion",
    ),
    (
        "reward-length",
        lambda s: any((s["max_completion_length"] or length) < length for length in s.rewards("max_length")),
        "completions are cut before the length that the reward's constants are made for",
        "max_length, control_length_correct and control_length_incorrect of the reward scaled to the completion",
    ),
    (
        "temperature",
        lambda s: s["temperature"] is not None and s["temperature"] <= 0,
        "without temperature all completions of a prompt are one, and every advantage is 0",
        "temperature: 1.0",
    ),
    (
        "batch-search",
        lambda s: s.verb == "grpo" and s["auto_find_batch_size"],
        "a smaller batch would cut groups of completions in two, so TRL refuses auto_find_batch_size",
        "auto_find_batch_size: false and a smaller per_device_train_batch_size",
    ),
    (
        "tensor-parallel",
        lambda s: s.colocated and s.launch.devices % (s["vllm_tensor_parallel_size"] or 1),
        "vllm_tensor_parallel_size does not divide the number of devices",
        "a divisor of it",
    ),
    (
        "two-engines",
        lambda s: s["use_vllm"] and s["use_transformers_continuous_batching"],
        "use_vllm and use_transformers_continuous_batching together; only vLLM would be used",
        "one of them",
    ),
    (
        "sleep-server",
        lambda s: s["use_vllm"] and not s.colocated and s["vllm_enable_sleep_mode"],
        "vllm_enable_sleep_mode does nothing for a server",
        "vllm_enable_sleep_mode: false, or vllm_mode: colocate",
    ),
]

# What works, and surprises.
NOTES: list[Row] = [
    (
        "hub-token",
        lambda s: bool(s["push_to_hub"]) and not (s["hub_token"] or get_token()),
        "push_to_hub finds no Hub token on this machine",
        "`hf auth login`, or HF_TOKEN in the environment",
    ),
    (
        "dropout",
        lambda s: s.adapter and s["lora_dropout"] > 0,
        "lora_dropout keeps a copy of every layer's input: about 4 GB at 32k tokens of phi-4",
        "lora_dropout: 0",
    ),
    (
        "bf16-cpu",
        lambda s: s.cpu and s.bf16,
        "bfloat16 on a CPU is slow and rounds small gradients away",
        "bf16: false",
    ),
    (
        "kl-correction",
        lambda s: s.verb == "grpo" and s["beta"] and s["use_bias_correction_kl"] is not False,
        "TRL weighs the KL by the importance ratio unless told not to, which plain GRPO does not",
        "use_bias_correction_kl: false",
    ),
    (
        "adapter-tensor-parallel",
        lambda s: s.adapter and s.colocated and (s["vllm_tensor_parallel_size"] or 1) > 1,
        "an adapter beside a tensor-parallel vLLM has hung (trl#3671)",
        "vllm_tensor_parallel_size: 1",
    ),
]
