"""Train models to reason the way Phi-4-reasoning and Phi-4-reasoning-plus were trained (arXiv 2504.21318)."""

__version__ = "0.1.0"
