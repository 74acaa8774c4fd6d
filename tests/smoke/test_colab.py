"""The Colab recipes from base to GRPO, on small models with the real ones' architecture and special tokens."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from phi_reasoning import doctor, grpo, merge, prepare, sft
from phi_reasoning.model import adapters

ROOT = Path(__file__).resolve().parents[2]
BYTES = 256
SIZE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
}
# In the order of their ids, the first of which is 151643; those that decoding drops, and those it keeps.
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QWEN_KEPT = ["<tool_call>", "</tool_call>", "<think>", "</think>"]
# From 199999; <|end|> is 200020.
MINI_SPECIAL = ["<|endoftext|>", "<|endofprompt|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>"]


@dataclass(frozen=True)
class Case:
    name: str
    eos: str
    tags: tuple[int, int]
    prompt: str


CASES = [
    Case("qwen3", "<|im_end|>", (261, 262), "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"),
    Case("phi-4-mini", "<|end|>", (262, 263), "<|user|>Q<|end|><|assistant|>"),
]


def tokenizer(special, kept, **roles):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    backend.add_tokens([AddedToken(token, normalized=False) for token in kept])
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False, **roles)


def base(name, folder):
    """What the Hub serves under this name, at toy size: more rows than tokens, tied, in 16 bits."""
    torch.manual_seed(0)
    if name == "qwen3":
        made = tokenizer(QWEN_SPECIAL, QWEN_KEPT, eos_token="<|im_end|>", pad_token="<|endoftext|>")
        rope = {"rope_type": "default", "rope_theta": 1e6}
        config = Qwen3Config(**SIZE, vocab_size=BYTES + 12, head_dim=16, max_position_embeddings=40960)
        config.rope_parameters = rope
        model = Qwen3ForCausalLM(config)
    else:
        one = "<|endoftext|>"
        made = tokenizer(MINI_SPECIAL, [], bos_token=one, eos_token=one, pad_token=one)
        factors = [1.0 + i for i in range(6)]  # 16 x 0.75 / 2
        rope = {"rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": 0.75}
        rope |= {"short_factor": [1.0] * 6, "long_factor": factors, "original_max_position_embeddings": 4096}
        ids = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), BYTES)
        config = Phi3Config(**SIZE, **ids, vocab_size=BYTES + 12, max_position_embeddings=131072, rope_parameters=rope)
        model = Phi3ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    made.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def made(request, tmp_path_factory):
    """The case, its base, and what prepare makes of it; in float32, as a CPU cannot train in fp16."""
    case, folder = request.param, tmp_path_factory.mktemp(request.param.name)
    source = base(case.name, folder / "hub")
    recipe = str(ROOT / f"recipes/colab/prepare-{case.name}.yaml")
    words = ("--model_name_or_path", source, "--output_dir", folder / "base", "--dtype", "float32")
    prepare.main(["--config", recipe, *map(str, words)])
    return case, source, folder / "base"


def test_prepare_gives_a_turn_an_end_that_is_not_padding(made):
    case, source, folder = made
    before, after = AutoTokenizer.from_pretrained(source), AutoTokenizer.from_pretrained(folder)
    assert (after.eos_token, after.pad_token) == (case.eos, "<|endoftext|>")
    assert tuple(after.convert_tokens_to_ids(["<think>", "</think>"])) == case.tags
    ids = before.get_vocab()
    assert {token: i for token, i in after.get_vocab().items() if token in ids} == ids
    assert after.get_vocab().keys() - ids.keys() <= {"<think>", "</think>"}
    text = "<think>\n a \n</think>\n\nAns"
    assert after.decode(after.encode(text, add_special_tokens=False), skip_special_tokens=True) == text
    asked = after.apply_chat_template([{"role": "user", "content": "Q"}], tokenize=False, add_generation_prompt=True)
    assert asked.endswith(case.prompt) and (asked == case.prompt) == (case.name == "qwen3")
    stops = GenerationConfig.from_pretrained(folder)
    assert sorted(stops.eos_token_id) == sorted(after.convert_tokens_to_ids([case.eos, "<|endoftext|>"]))
    assert stops.pad_token_id == BYTES


def test_prepare_touches_the_rows_of_new_tags_alone(made):
    case, source, folder = made
    before, after = (AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (source, folder))
    rows = (before.model.embed_tokens.weight != after.model.embed_tokens.weight).any(dim=1).nonzero().flatten()
    assert rows.tolist() == ([] if case.name == "qwen3" else list(case.tags))
    assert after.lm_head.weight is after.model.embed_tokens.weight
    assert after.config.rope_parameters == before.config.rope_parameters
    assert after.config.max_position_embeddings == before.config.max_position_embeddings


@pytest.mark.slow
def test_the_whole_path(made, data, tmp_path, capsys):
    case, _, start = made
    cpu = ("--use_cpu", "--fp16", "false", "--bf16", "false", "--dtype", "float32", "--save_strategy", "no")
    few = ("--max_steps", "2", "--warmup_steps", "1", "--lora_r", "4")

    def words(verb, model, folder, rows):
        recipe = str(ROOT / f"recipes/colab/{verb}-{case.name}.yaml")
        sets = json.dumps([{"path": str(data / rows)}])
        paths = ("--model_name_or_path", str(model), "--output_dir", str(tmp_path / folder), "--datasets", sets)
        return ["--config", recipe, *paths, *cpu, *few]

    tuning = words("sft", start, "sft-lora", "sft.jsonl")
    tuning += ["--global_batch_size", "4", "--per_device_train_batch_size", "4", "--max_length", "512"]
    with pytest.raises(SystemExit) as ended:
        doctor.main([*tuning, "--learning_rate", "0.01"])
    assert ended.value.code == 0, capsys.readouterr().out
    sft.main([*tuning, "--learning_rate", "0.01"])
    merge.main(["--adapter", str(tmp_path / "sft-lora"), "--output_dir", str(tmp_path / "sft")])
    reinforced = words("grpo", tmp_path / "sft", "grpo-lora", "rl.jsonl")
    reinforced += ["--global_batch_size", "2", "--per_device_train_batch_size", "8", "--max_completion_length", "8"]
    grpo.main(reinforced)

    for stage, number in (("sft-lora", "loss"), ("grpo-lora", "reward")):
        lines = [json.loads(line) for line in (tmp_path / stage / "log.jsonl").read_text().splitlines()]
        assert len(lines) == 2 and all(line[number] is not None for line in lines)
        kept = AutoTokenizer.from_pretrained(tmp_path / stage)
        assert (kept.eos_token, kept.pad_token) == (case.eos, "<|endoftext|>")
    # Eight tokens of noise neither close a thought nor end: the worst a wrong answer can get, 8/13 of -1.
    assert lines[0]["reward"] == pytest.approx(-0.6153846, abs=1e-6)
    assert lines[0]["kl"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("quantised", [False, True], ids=["lora", "qlora"])
def test_what_learns_in_fp16_is_float32(prepared, data, quantised):
    """TRL leaves a 16-bit adapter on a quantised base, whose gradients a GPU's loss scaling cannot take."""
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig
    from trl import SFTConfig, SFTTrainer

    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float16) if quantised else None
    trainer = SFTTrainer(
        model=str(prepared),
        args=SFTConfig(
            use_cpu=True,
            bf16=False,
            report_to="none",
            model_init_kwargs={"dtype": "float16"} | ({"quantization_config": four} if four else {}),
        ),
        train_dataset=load_dataset("json", data_files=str(data / "sft.jsonl"), split="train[:2]"),
        peft_config=LoraConfig(target_modules="all-linear"),
    )

    def learning():
        return {parameter.dtype for parameter in trainer.model.parameters() if parameter.requires_grad}

    assert learning() == {torch.bfloat16 if quantised else torch.float32}
    adapters.widen(trainer.model)
    assert learning() == {torch.float32}

    scaler, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD(trainer.model.parameters(), lr=0.1)
    with torch.autocast("cpu", torch.float16):
        ids = torch.arange(8)[None]
        loss = trainer.model.get_base_model().model(ids).last_hidden_state.float().square().mean()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    assert {p.grad.dtype for p in trainer.model.parameters() if p.grad is not None} == {torch.float32}
