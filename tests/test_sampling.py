import json

import pytest
import torch
from transformers import AutoModelForCausalLM

from phi_reasoning import eval as eval_verb
from phi_reasoning.config.keys import EvalTask
from phi_reasoning.evaluation import runs
from phi_reasoning.evaluation.questions import questions
from phi_reasoning.generation import sampling

SETTINGS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 12}


def draws(logits, count, **settings):
    scores = torch.tensor([logits]).repeat(count, 1)
    for processor in sampling.sampler(range(count), **settings):
        scores = processor(None, scores)
    return scores.argmax(dim=-1)


def test_draws_follow_the_softmax():
    logits = [0.0, 1.0, 2.0, -1.0]
    found = torch.bincount(draws(logits, 20000, temperature=0.7, top_k=0, top_p=1.0), minlength=4) / 20000
    expected = torch.softmax(torch.tensor(logits) / 0.7, dim=0)
    # Five standard errors of a share near 1/2.
    assert (found - expected).abs().max() < 5 * 0.5 / 20000**0.5


def test_truncation_of_the_distribution():
    assert set(draws([0.0, 5.0, 4.0, 3.0], 500, temperature=1.0, top_k=2, top_p=1.0).tolist()) == {1, 2}
    assert set(draws([0.0, 5.0, 4.0, 3.0], 500, temperature=1.0, top_k=0, top_p=0.5).tolist()) == {1}
    assert len(sampling.sampler([1], temperature=0, top_k=0, top_p=1.0)) == 0


def complete(prepared, tokenizer, asked, batch_size, done=frozenset()):
    model = AutoModelForCausalLM.from_pretrained(prepared).eval()
    batches = runs.generate(
        model, tokenizer, asked, runs=2, seed=0, sampling=SETTINGS, batch_size=batch_size, done=set(done)
    )
    return {(row["item"], row["run"]): row for batch in batches for row in batch}


def test_completions_do_not_depend_on_their_batch(prepared, tokenizer):
    asked = questions([EvalTask(task="arithmetic", size=6, difficulty={"digits": [1, 3]})], seed=0)
    whole = complete(prepared, tokenizer, asked, 12)
    assert len({row["response"] for row in whole.values()}) == 12  # every run of every item has its own draws
    assert complete(prepared, tokenizer, asked, 5) == whole
    rest = complete(prepared, tokenizer, asked, 4, done={("arithmetic", i, 0) for i in range(6)})
    assert rest == {key: row for key, row in whole.items() if key[1] == 1}


def test_ended_and_token_counts(prepared, tokenizer):
    # A model that always ends at once, and one that never does.
    asked = questions([EvalTask(task="arithmetic", size=2)], seed=0)
    model = AutoModelForCausalLM.from_pretrained(prepared).eval()
    for token, ended, tokens in ((tokenizer.eos_token_id, True, 1), (65, False, 12)):
        hook = model.get_output_embeddings().register_forward_hook(lambda *call, token=token: only(call[2], token))
        greedy = {**SETTINGS, "temperature": 0}
        (rows,) = runs.generate(model, tokenizer, asked, runs=1, seed=0, sampling=greedy, batch_size=4, done=set())
        hook.remove()
        assert [(row["ended"], row["tokens"]) for row in rows] == [(ended, tokens)] * 2


def only(logits, token):
    return torch.nn.functional.one_hot(torch.full(logits.shape[:-1], token), logits.shape[-1]).float()


def recipe(prepared, folder):
    tasks = [{"task": "arithmetic", "size": 8, "difficulty": {"digits": [1, 2]}}]
    return [
        *("--model_name_or_path", str(prepared), "--output_dir", str(folder), "--tasks", json.dumps(tasks)),
        *("--runs", "2", "--max_new_tokens", "12", "--batch_size", "4"),
    ]


def test_stopped_evaluation_continues_with_the_same_records(prepared, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    eval_verb.main(recipe(prepared, whole))
    eval_verb.main(recipe(prepared, stopped))
    records = (stopped / runs.RESULTS).read_text().splitlines(keepends=True)
    assert len(records) == 16
    for name in ("summary.json", "lineage.json"):
        (stopped / name).unlink()
    (stopped / runs.RESULTS).write_text("".join(records[:7]) + records[7][:30])  # killed in the middle of a line
    eval_verb.main(recipe(prepared, stopped))
    assert (stopped / runs.RESULTS).read_text() == (whole / runs.RESULTS).read_text() == "".join(records)
    assert (stopped / "summary.json").read_text() == (whole / "summary.json").read_text()


def test_foreign_lines_are_refused_and_kept(prepared, tmp_path, capsys):
    (tmp_path / runs.RESULTS).write_text('{"task": "arithmetic"}\n')
    with pytest.raises(SystemExit) as stop:
        eval_verb.main(recipe(prepared, tmp_path))
    assert stop.value.code == 2
    assert f"{runs.RESULTS}:1: not a record" in capsys.readouterr().err
    assert (tmp_path / runs.RESULTS).read_text() == '{"task": "arithmetic"}\n'
