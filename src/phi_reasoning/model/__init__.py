"""What turns a base checkpoint into a reasoning checkpoint: tokens, RoPE, and a tiny stand-in for phi-4."""
