"""Give a tokenizer its reasoning tags without resizing a matrix (arXiv 2504.21318, section 3)."""

import json
from collections.abc import Mapping, Sequence

import torch
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

# Ordinary text to the tokenizer: `special=True` would drop the tags wherever completions are decoded with
# skip_special_tokens, and phi-4's `lstrip`/`rstrip` would swallow the white space around them.
FLAGS = {"special": False, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}


def repurpose(
    tokenizer: PreTrainedTokenizerBase, names: Mapping[str, str | None], *, eos: str, pad: str
) -> PreTrainedTokenizerFast:
    """Return a tokenizer in which every tag is one token and ordinary text; no token changes its id.

    `names[tag]` is the placeholder that the tag takes over with its id, or the tag itself where the tokenizer has it,
    or None for a new token under the next free id.

    Args:
        tokenizer: A tokenizer backed by the `tokenizers` library.
        names: Such as `{"<think>": "<|dummy_86|>"}`.
        eos: Token that ends a turn.
        pad: Token that pads; never the end of a turn, or that end would be masked out of the loss.

    Raises:
        ValueError: a placeholder or another named token is missing, a tag exists that was to be made, or pad equals
            eos.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    added = {token["content"]: token for token in state["added_tokens"]}
    for tag, placeholder in names.items():
        if tag in added and tag != placeholder:
            raise ValueError(
                f"the tokenizer already has {tag}: this checkpoint was prepared before, or came with it; "
                f"valid: think_tokens {{{tag}: {tag}}} to keep it"
            )
        if placeholder is None:
            continue
        if placeholder not in added:
            raise ValueError(f"the tokenizer has no placeholder token {placeholder}{_similar(placeholder, added)}")
        added[placeholder].update(content=tag, **FLAGS)
        vocabulary = state["model"]["vocab"]
        if placeholder in vocabulary:
            vocabulary[tag] = vocabulary.pop(placeholder)
    backend = Tokenizer.from_str(json.dumps(state))
    backend.add_tokens([AddedToken(tag, **FLAGS) for tag, placeholder in names.items() if placeholder is None])
    present = {token["content"] for token in state["added_tokens"]}
    for role, token in (("eos_token", eos), ("pad_token", pad)):
        if token not in present:
            raise ValueError(f"{role} {token} is not among the tokenizer's added tokens{_similar(token, present)}")
    if eos == pad:
        raise ValueError(f"pad_token and eos_token are both {eos}: the end of a turn would never be trained")
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=tokenizer.bos_token,
        eos_token=eos,
        pad_token=pad,
        model_max_length=tokenizer.model_max_length,
        clean_up_tokenization_spaces=False,
    )


def check_ids(before: Mapping[str, int], after: Mapping[str, int], rows: int) -> None:
    """Hold a vocabulary to the one it was made from: no id is lost, and each has a row of the embedding.

    Raises:
        ValueError: an id went, or a new one lies beyond the `rows` of the model's matrices.
    """
    if not set(before.values()) <= set(after.values()):
        raise ValueError("the new names of the placeholders would change token ids")
    if beyond := sorted(token for token, i in after.items() if i >= rows and token not in before):
        raise ValueError(
            f"{', '.join(beyond)}: the embedding has {rows} rows, and none is free; valid: a placeholder to take over"
        )


def _similar(token: str, present: Mapping[str, object] | set[str]) -> str:
    import difflib

    close = difflib.get_close_matches(token, list(present), n=1)
    return f"; nearest: {close[0]}" if close else ""


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """Return the id of `token`, which must be exactly one token.

    Raises:
        ValueError: the tokenizer splits it.
    """
    ids = tokenizer.encode(token, add_special_tokens=False)
    if len(ids) != 1:
        raise ValueError(f"{token} is {len(ids)} tokens, not one")
    return ids[0]


@torch.no_grad()
def initialise_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    related: Mapping[str, Sequence[str]],
    *,
    noise: float,
    seed: int,
) -> None:
    """Give each token in `related` the mean row of its related words, in the embedding and in the head.

    Placeholder rows were never trained: left alone, the tags would start as noise of the wrong scale.

    Args:
        model: A model with (V, H) embedding and head; a tied head is written once.
        tokenizer: Its tokenizer.
        related: Token to words whose tokens' rows are averaged.
        noise: Standard deviation of the added noise, in units of the matrix's own standard deviation. It keeps two
            tags with the same words apart.
        seed: Seed of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    matrices = [embedding] if head.data_ptr() == embedding.data_ptr() else [embedding, head]
    for token, words in related.items():
        row = token_id(tokenizer, token)
        ids = [i for word in words for i in tokenizer.encode(word, add_special_tokens=False)]
        if not ids:
            raise ValueError(f"think_init: {token} has no related words to start from")
        for matrix in matrices:
            jitter = torch.randn(matrix.shape[1], generator=generator) * noise * matrix.float().std().item()
            matrix[row] = (matrix[ids].float().mean(dim=0) + jitter.to(matrix.device)).to(matrix.dtype)
