"""Run a verb with FSDP2 or DeepSpeed on CPU processes: `shards_on_cpu.py VERB --config RECIPE ...` after a launcher.

accelerate shards by FSDP2 over accelerators only; processes on the CPU get plain data parallelism, whatever the
configuration says. Called GPUs once their process group stands, they are sharded like GPUs.

DeepSpeed shards on the CPU as well (`DS_ACCELERATOR=cpu`), but compiles a shared-memory collective there for a minute
first. Without that operator it takes gloo's.
"""

import os
import runpy
import sys
from typing import Any

import accelerate.state
from accelerate.utils import DistributedType

start = accelerate.state.PartialState.__init__


def start_as_gpus(self: accelerate.state.PartialState, *args: Any, **kwargs: Any) -> None:
    start(self, *args, **kwargs)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        import deepspeed.ops

        deepspeed.ops.__compatible_ops__ = {}
    else:
        accelerate.state.PartialState.__init__ = start_as_gpus
    verb = sys.argv.pop(1)
    runpy.run_module(f"phi_reasoning.{verb}", run_name="__main__")
