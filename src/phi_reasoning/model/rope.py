"""Stretch the context of a RoPE model by raising its base frequency (arXiv 2504.21318, section 3: 16K to 32K)."""

from transformers import PretrainedConfig


def stretch(config: PretrainedConfig, theta: float | None, max_positions: int | None) -> None:
    """Set the RoPE base and the maximum length of `config` in place; None leaves the model's own.

    The values must reach `config.json` on disk: vLLM builds its model from there, so an override in memory would
    train one model and sample from another.

    Raises:
        ValueError: the model uses a scaled RoPE (YaRN, LongRoPE ...), whose base cannot be changed alone.
    """
    if theta is None and max_positions is None:
        return
    rope = dict(getattr(config, "rope_parameters", None) or {})
    kind = rope.get("rope_type", "default")
    if kind != "default":
        raise ValueError(
            f"rope_type is {kind!r}; only the plain ('default') RoPE can be stretched by its base; "
            "valid: rope_theta and max_position_embeddings null, which keep the model's own"
        )
    if theta is not None:
        # The dict replaces the old one as a whole, so it has to carry the keys that stay as they are.
        config.rope_parameters = {**rope, "rope_type": kind, "rope_theta": float(theta)}
    if max_positions is None:
        return
    config.max_position_embeddings = max_positions
    if hasattr(config, "original_max_position_embeddings"):
        config.original_max_position_embeddings = max_positions
