"""A model loaded into this process by transformers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from phi_reasoning.errors import InputError
from phi_reasoning.generation import Reply, Request, Usage
from phi_reasoning.generation.sampling import sampler


class Local:
    """Samples with transformers, in batches; see `generation.Engine` for the interface.

    The draws of a reply come from its request's seed alone, so neither its batch nor its place there matters, but for
    the rounding of the hardware's kernels, which can depend on the shape of a batch.

    Args:
        settings: A `ModelSource` with `model_name_or_path`.
        where: Its place in the recipe.
    """

    def __init__(self, settings: Any, where: str):
        self.name = settings.model_name_or_path + (f"@{settings.revision}" if settings.revision else "")
        self.usage = Usage()
        self.settings, self.where = settings, where
        self._loaded: Loaded | None = None

    def generate(self, requests: Sequence[Request], done: Callable[[int, Reply], None] | None = None) -> list[Reply]:
        """Return the replies in the order of `requests`; see `generation.Engine`."""
        replies: list[Any] = [None] * len(requests)

        def finish(index: int, reply: Reply) -> None:
            replies[index] = reply
            self.usage.add(reply)
            if done:
                done(index, reply)

        if requests:
            if self._loaded is None:
                self._loaded = self._load(_tokenizer(self.settings, self.where))
            prompts = _fit(self._loaded, requests, finish)
            for batch in _batches(requests, prompts, self.settings.batch_size):
                asked, read = [requests[index] for index in batch], [prompts[index] for index in batch]
                for index, reply in zip(batch, self._batch(self._loaded, asked, read), strict=True):
                    finish(index, reply)
        return replies

    def _load(self, tokenizer: PreTrainedTokenizerBase) -> "Loaded":
        settings = self.settings
        model = AutoModelForCausalLM.from_pretrained(
            settings.model_name_or_path, revision=settings.revision, dtype=settings.dtype
        )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return Loaded(model.to(device).eval(), tokenizer, model.config.get_text_config().max_position_embeddings)

    def _batch(self, loaded: "Loaded", requests: Sequence[Request], prompts: Sequence[list[int]]) -> list[Reply]:
        """Answer requests of the same sampling settings, given the token ids of their prompts."""
        first = requests[0]
        found = complete(
            loaded.model,
            loaded.tokenizer,
            prompts,
            [request.seed for request in requests],
            temperature=first.temperature,
            top_k=first.top_k,
            top_p=first.top_p,
            max_new_tokens=first.max_tokens,
        )
        texts = loaded.tokenizer.batch_decode([ids for ids, _ in found], skip_special_tokens=True)
        return [
            Reply(
                text=text,
                finish="stop" if ended else "length",
                prompt_tokens=len(prompt),
                completion_tokens=len(ids),
            )
            for prompt, text, (ids, ended) in zip(prompts, texts, found, strict=True)
        ]


@dataclass(frozen=True)
class Loaded:
    """A model, its tokenizer, and how many tokens prompt and answer may have together."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    context: int


def _tokenizer(settings: Any, where: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a loaded model.

    Raises:
        InputError: there is none, it has no chat template, or nothing to pad with.
    """
    key = f"{where}.model_name_or_path"
    try:
        tokenizer = AutoTokenizer.from_pretrained(settings.model_name_or_path, revision=settings.revision)
    except (OSError, ValueError) as error:
        raise InputError(f"{key}: no tokenizer to load, here or on the Hub ({error})") from None
    for part in ("chat_template", "pad_token"):
        if getattr(tokenizer, part) is None:
            raise InputError(f"{key}: the tokenizer of {settings.model_name_or_path} has no {part}, valid: with one")
    return tokenizer


def _fit(loaded: Loaded, requests: Sequence[Request], refuse: Callable[[int, Reply], None]) -> dict[int, list[int]]:
    """Return the prompts' token ids by the index of the requests that fit into the context.

    The others get an error reply, as from a server: cut to what is left they would seem to have run to their limit.
    """
    prompts = {}
    for index, request in enumerate(requests):
        # The template writes every special token itself.
        text = loaded.tokenizer.apply_chat_template(list(request.messages), tokenize=False, add_generation_prompt=True)
        ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) + request.max_tokens <= loaded.context:
            prompts[index] = ids
        else:
            reason = f"{len(ids)} prompt tokens, max_tokens {request.max_tokens}: over the context of {loaded.context}"
            refuse(index, Reply(text="", finish="error", reason=reason, prompt_tokens=0, completion_tokens=0))
    return prompts


def _batches(requests: Sequence[Request], prompts: Mapping[int, list[int]], size: int) -> list[list[int]]:
    """Return batches of indices with the same sampling settings and prompts of about the same length."""
    groups: dict[tuple[float, ...], list[int]] = {}
    for index in prompts:
        request = requests[index]
        settings = (request.temperature, request.top_p, request.top_k, request.max_tokens)
        groups.setdefault(settings, []).append(index)
    found = []
    for group in groups.values():
        group.sort(key=lambda index: len(prompts[index]))
        found += [group[start : start + size] for start in range(0, len(group), size)]
    return found


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    *,
    temperature: float,
    top_k: int,
    top_p: float,
    max_new_tokens: int,
) -> list[tuple[list[int], bool]]:
    """Return each completion's token ids, with the one that ends it and without padding, and whether it ended."""
    inputs = tokenizer.pad({"input_ids": list(prompts)}, padding_side="left", return_tensors="pt").to(model.device)
    ends = _end_ids(model, tokenizer)
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            generation_config=GenerationConfig(
                do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
            ),
            logits_processor=sampler(seeds, temperature=temperature, top_k=top_k, top_p=top_p, device=model.device),
        )
    found = []
    for row in output[:, inputs["input_ids"].shape[1] :].tolist():
        stop = next((i for i, token in enumerate(row) if token in ends), None)
        found.append((row, False) if stop is None else (row[: stop + 1], True))
    return found


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    ids = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *(ids if isinstance(ids, list) else [] if ids is None else [ids])})
