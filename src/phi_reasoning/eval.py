"""Measure a checkpoint: several independent runs over every item.

phi-reasoning eval --config recipes/tiny/eval-sft.yaml
"""

import json
from pathlib import Path

from phi_reasoning import config
from phi_reasoning.errors import one_line


@one_line
def main(argv: list[str] | None = None) -> None:
    """Write `results.jsonl` and `summary.json`; rerunning continues where it stopped."""
    recipe = config.load("eval", argv)
    own = recipe.own

    from phi_reasoning.evaluation import questions

    asked = questions.questions(own.tasks, own.seed)

    import torch
    from transformers import AutoModelForCausalLM

    from phi_reasoning import grading, lineage, shipped
    from phi_reasoning.evaluation import records, runs, statistics
    from phi_reasoning.model import checkpoint, hub

    folder = Path(own.output_dir)
    results = folder / runs.RESULTS
    if not lineage.claim(folder, recipe.values):
        judge = grading.use_judge(grading.Judge(**vars(own.judge)) if own.judge else None)
        source, origin = hub.fetch(own.model_name_or_path, own.model_revision)
        tokenizer = checkpoint.tokenizer(source)
        parent = {**lineage.parent(source, tokenizer), **origin}
        if own.chat_template:
            tokenizer.chat_template = shipped.find(own.chat_template).read_text()
        model = AutoModelForCausalLM.from_pretrained(source, dtype=own.dtype)
        model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()

        sampling = {key: getattr(own, key) for key in ("temperature", "top_p", "top_k", "max_new_tokens")}
        recipe.dump(folder / lineage.RECIPE)
        metadata = {
            "model": own.model_name_or_path,
            "tasks": sorted({question.task for question in asked}),
            "items": len(asked),
            "runs": own.runs,
            "seed": own.seed,
            "sampling": sampling,
            "judge": judge,
            "prompts_sha256": lineage.text_sha256("\n".join(runs.rendered(tokenizer, question) for question in asked)),
        }
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n")
        with results.open("a", encoding="utf-8") as file:
            for batch in runs.generate(
                model,
                tokenizer,
                asked,
                runs=own.runs,
                seed=own.seed,
                sampling=sampling,
                batch_size=own.batch_size,
                done=runs.finished(results),
            ):
                file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in batch)
                file.flush()
        summary = statistics.summary(records.load_exam(folder).rows)
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        lineage.write(folder, "eval", recipe.values, tokenizer=tokenizer, parent=parent, judge=judge)
    print(statistics.describe(json.loads((folder / "summary.json").read_text())), flush=True)


if __name__ == "__main__":
    main()
