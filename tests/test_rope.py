import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from phi_reasoning.model import rope, tiny


def test_stretched_model_equals_one_built_with_that_base(tmp_path):
    # The same seed gives the same weights; only the base of RoPE may differ.
    built = tiny.build_model(32, 64, 2, 2, 1, 500000, 32768, seed=3).eval()
    stretched = tiny.build_model(32, 64, 2, 2, 1, 250000, 16384, seed=3)
    rope.stretch(stretched.config, 500000, 32768)
    stretched.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.randint(0, 256, (2, 300), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(loaded(ids).logits, built(ids).logits)
        untouched = tiny.build_model(32, 64, 2, 2, 1, 250000, 16384, seed=3).eval()
        assert not torch.allclose(untouched(ids).logits, built(ids).logits)


def test_scaled_rope_is_refused():
    config = LlamaConfig(rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0})
    with pytest.raises(ValueError, match="yarn"):
        rope.stretch(config, 500000, 32768)
