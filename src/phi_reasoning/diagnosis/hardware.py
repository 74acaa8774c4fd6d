"""Combinations that do not work on the devices: launches, adapters and quantisation, number formats and kernels.

A row is (name, predicate, diagnosis, remedy). The rows are disjoint where they can be, so that one wrong setting gets
one diagnosis.
"""

from collections.abc import Callable
from typing import Any

from phi_reasoning.diagnosis.situation import Situation

Row = tuple[str, Callable[[Situation], Any], str, str]


def _flash(s: Situation) -> bool:
    return str(s["attn_implementation"]).startswith(("flash_attention", "kernels-community/"))


def _half(s: Situation) -> bool:
    return s.bf16 or s["fp16"] or s["dtype"] in ("bfloat16", "float16")


def _targets(s: Situation) -> list[str]:
    found = s["lora_target_modules"] or []
    return [found] if isinstance(found, str) else found


def _liger(s: Situation, kernel: str) -> bool:
    return bool(s["use_liger_kernel"] and (s["liger_kernel_config"] or {}).get(kernel))


LAUNCH: list[Row] = [
    (
        "devices",
        lambda s: s.launch.devices > 1 and s.launch.kind == "NO",
        "several devices without a distributed launch would be nn.DataParallel, which TRL refuses",
        "start with accelerate_configs/zero3.yaml, fsdp2.yaml or ddp.yaml",
    ),
    (
        "zero3-peft",
        lambda s: s.launch.zero == 3 and s.adapter,
        "ZeRO-3 gathers the whole model to merge an adapter, and forces re-entrant checkpointing on it",
        "start with accelerate_configs/ddp.yaml or zero2.yaml, which keep the base whole on each device",
    ),
    (
        "qlora-fsdp",
        lambda s: s.launch.fsdp and s.quantised,
        "merging a quantised base that FSDP2 has sharded fails (trl#5975, trl#6007)",
        "start with accelerate_configs/ddp.yaml",
    ),
    (
        "optimizer-shards",
        lambda s: s.launch.shards_states and "8bit" in str(s["optim"]) and "torch" not in str(s["optim"]),
        "the 8-bit optimizers of bitsandbytes do not work on sharded parameters",
        "optim: adamw_torch_8bit with FSDP2, or a launch that does not shard",
    ),
    (
        "checkpointing-twice",
        lambda s: s.launch.checkpointing and s["gradient_checkpointing"],
        "gradient_checkpointing and fsdp_activation_checkpointing both compute each layer again",
        "one of them; with FSDP2 gradient_checkpointing: false",
    ),
    (
        "grpo-parallel",
        lambda s: s.verb == "grpo" and s.parallel("cp") * s.parallel("sp") > 1,
        "GRPO has neither context nor sequence parallelism",
        "cp_size: 1 and sp_size: 1; shorter completions or more devices instead",
    ),
    (
        "parallel-packing",
        lambda s: s.verb == "sft" and s.parallel("cp") > 1 and s.packs,
        "context parallelism cannot split packed rows",
        "packing: false, or sp_size with DeepSpeed in place of cp_size",
    ),
    (
        "parallel-attention",
        lambda s: s.verb == "sft" and s.parallel("cp") > 1 and not s.packs and s["attn_implementation"] != "sdpa",
        "context parallelism works with SDPA alone",
        "attn_implementation: sdpa",
    ),
]

ADAPTERS: list[Row] = [
    (
        "two-quantisations",
        lambda s: s["load_in_4bit"] and s["load_in_8bit"],
        "load_in_4bit and load_in_8bit together",
        "one of them",
    ),
    (
        "quantised-full",
        lambda s: s.quantised and not s.adapter,
        "quantised weights cannot learn",
        "use_peft: true, or no quantisation",
    ),
    (
        "qlora-dtype",
        lambda s: s["load_in_4bit"] and s["dtype"] not in ("bfloat16", "float16"),
        "dtype is what a 4-bit layer computes in, and anything but 16 bits is slow and large",
        "dtype: bfloat16 (float16 on a T4)",
    ),
    (
        "token-rows-full",
        lambda s: s["train_tokens"] and not s.adapter,
        "train_tokens without an adapter: full fine-tuning trains every row",
        "use_peft: true, or no train_tokens",
    ),
    (
        "lora-targets",
        lambda s: s.adapter and not s["lora_target_modules"] and s.shape and s.shape.fused,
        "PEFT knows no default targets for phi3",
        "lora_target_modules: [qkv_proj, o_proj, gate_up_proj, down_proj]",
    ),
    (
        "lora-head",
        lambda s: s.adapter and "lm_head" in _targets(s),
        "TRL reads the head's weights directly, so an adapter on lm_head would never learn",
        "leave lm_head out of lora_target_modules",
    ),
    (
        "adapter-reference",
        lambda s: s.adapter and s["sync_ref_model"],
        "with an adapter the reference is the model without it, and cannot be moved",
        "sync_ref_model: false",
    ),
    (
        "no-reference",
        lambda s: s["sync_ref_model"] and not s.adapter and not s["beta"],
        "sync_ref_model without a reference: beta is 0",
        "a beta above 0, or sync_ref_model: false",
    ),
]

NUMBERS: list[Row] = [
    (
        "two-precisions",
        lambda s: s["fp16"] and s["bf16"],
        "fp16 and bf16 together",
        "bf16: true, or fp16: true on a GPU without bfloat16 (T4)",
    ),
    ("fp16-cpu", lambda s: s["fp16"] and not s["bf16"] and s.cpu, "fp16 needs a GPU", "fp16: false"),
    (
        "fp16-bfloat16",
        lambda s: s["fp16"] and not s["bf16"] and s["dtype"] == "bfloat16" and not s.cpu and not s.quantised,
        "the loss scaling of fp16 does not take bfloat16 weights",
        "dtype: float16 with an adapter, float32 without; or bf16: true",
    ),
    (
        "fp16-full",
        lambda s: s["fp16"] and not s["bf16"] and s["dtype"] == "float16" and not s.adapter and not s.cpu,
        "float16 gradients cannot be unscaled, so float16 weights cannot learn",
        "dtype: float32, or use_peft: true",
    ),
    (
        "flash-cpu",
        lambda s: s.cpu and _flash(s),
        "flash attention needs a GPU",
        "attn_implementation: sdpa",
    ),
    (
        "flash-dtype",
        lambda s: not s.cpu and _flash(s) and not _half(s),
        "flash attention computes in 16 bits only",
        "dtype: bfloat16 and bf16: true",
    ),
    ("vllm-cpu", lambda s: s.cpu and s["use_vllm"], "vLLM needs a GPU", "use_vllm: false"),
    (
        "liger-cpu",
        lambda s: s.cpu and s["use_liger_kernel"] and not _liger(s, "fused_linear_cross_entropy"),
        "Liger's kernels need a GPU",
        "use_liger_kernel: false",
    ),
    (
        "liger-loss",
        lambda s: _liger(s, "fused_linear_cross_entropy"),
        "TRL's own fused head computes the loss and refuses Liger's",
        "liger_kernel_config: {fused_linear_cross_entropy: false}",
    ),
    (
        "offload-cpu",
        lambda s: s.cpu and (s["activation_offloading"] or (s["gradient_checkpointing_kwargs"] or {}).get("offload")),
        "activations are offloaded from a GPU to the host; here there is no GPU",
        "activation_offloading: false",
    ),
]
