"""Measure how often a model solves each problem, against its solution or what a strong model mostly answers."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from phi_reasoning import tasks
from phi_reasoning.data import prompts
from phi_reasoning.data.answers import pluralities, wilson
from phi_reasoning.data.asking import Asked, Sampling, answered, failure, with_instruction
from phi_reasoning.data.classifier import Classifier, fit, held_out
from phi_reasoning.data.rows import Context, Dropped, Row, batched, position
from phi_reasoning.errors import InputError
from phi_reasoning.generation import Reply
from phi_reasoning.grading import gold_problems
from phi_reasoning.grading.extract import after_thinking

VERSION = 1
LEAST_SCORED = 50  # rows that a classifier is fitted and checked on
RATING = re.compile(r"Rating: ([1-5])")


def whole(rows: Iterable[Row], settings: Any, context: Context) -> Iterator[Row | Dropped]:
    """Yield every row with `difficulty`, or dropped, in order.

    `difficulty` has passes, samples, rate, interval (Wilson, 95%), gold (solution or proxy) and agreement (of the
    proxy). With `score_share` below 1 the rows that were not drawn have a predicted rate instead; the drawn ones are
    in memory until all are scored. Only a drawn row can be dropped: for want of a gold, of agreement, or of an answer.
    """
    scorer, share = Scorer(settings, context), settings.score_share
    if share == 1:
        for batch in batched(rows):
            yield from scorer.score(batch)
        _report(context, scorer.account())
        return
    drawn = (row for row in rows if _drawn(row, share, context.seed))
    scored = [entry for batch in batched(drawn) for entry in scorer.score(batch)]
    classifier, agreement = _classifier(scored, context.seed)
    _report(context, {**scorer.account(), "classifier": agreement})
    done, rest = iter(scored), iter(rows)
    while block := list(islice(rest, 1000)):
        asked = [_drawn(row, share, context.seed) for row in block]
        others = [row for row, chosen in zip(block, asked, strict=True) if not chosen]
        rates = iter(classifier.predict([row["problem"] for row in others]).tolist())
        for row, chosen in zip(block, asked, strict=True):
            yield next(done) if chosen else {**row, "difficulty": {"rate": round(next(rates), 6), "predicted": True}}


def _drawn(row: Row, share: float, seed: int) -> bool:
    return position(seed, f"difficulty {row['id']}") < share


def _report(context: Context, report: dict[str, Any]) -> None:
    (context.folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _classifier(scored: list[Row | Dropped], seed: int) -> tuple[Classifier, dict[str, Any]]:
    """Fit a classifier on four fifths of the scored rows, and measure it on the rest."""
    known = [row for row in scored if not isinstance(row, Dropped)]
    if len(known) < LEAST_SCORED:
        raise InputError(
            f"difficulty: score_share: {len(known)} problems were scored, valid: a share that scores at least "
            f"{LEAST_SCORED}, or 1"
        )
    apart = [position(seed, f"held out {row['id']}") < 0.2 for row in known]
    parts = [[row for row, out in zip(known, apart, strict=True) if out == kind] for kind in (False, True)]
    (texts, rates), (other, expected) = (
        ([row["problem"] for row in part], [row["difficulty"]["rate"] for row in part]) for part in parts
    )
    classifier = fit(texts, rates)
    return classifier, {"fitted_on": len(texts), **held_out(expected, classifier.predict(other), seed)}


class Scorer:
    """The models of a difficulty stage, and what they are asked."""

    def __init__(self, settings: Any, context: Context) -> None:
        self.settings, self.number = settings, 0
        names = {"base": settings.model, "reference": settings.reference, "judge": settings.judge}
        self.models = {role: Asked(context, role, name) for role, name in names.items() if name is not None}
        self.ratings = {"rated": 0, "unparsed": 0}

    def account(self) -> dict[str, Any]:
        """Return what each model's replies used up, and how many ratings could be read."""
        models = {role: model.account() for role, model in self.models.items()}
        return {"models": models, **({"ratings": self.ratings} if "judge" in self.models else {})}

    def score(self, batch: list[Row]) -> list[Row | Dropped]:
        """Return the rows of a batch with `difficulty`, or dropped, in order."""
        number, self.number = self.number, self.number + 1
        golds = ["solution" if sound else None for sound in checkable(batch)]
        outcome: list[Row | Dropped] = [
            {**row, "difficulty": {"gold": gold, "agreement": None}} for row, gold in zip(batch, golds, strict=True)
        ]
        self._consult(number, batch, golds, outcome)
        self._attempt(number, batch, outcome)
        if "judge" in self.models:
            self._rate(number, batch, outcome)
        return outcome

    def _sampling(self, max_tokens: int | None = None) -> Sampling:
        settings = self.settings
        return Sampling(max_tokens or settings.max_tokens, settings.temperature, settings.top_p)

    def _ask(
        self, number: int, role: str, batch: list[Row], outcome: list[Row | Dropped], places: list[int]
    ) -> Iterator[tuple[int, list[Reply]]]:
        """Yield the place and the answers of each row that got any; the others are dropped if they need one."""
        settings = self.settings
        count = settings.samples if role == "base" else settings.reference_samples
        sampling = self._sampling(None if role == "base" else settings.reference_max_tokens)
        asked = [with_instruction(batch[place], settings.instruction) for place in places]
        for place, replies in zip(places, self.models[role].ask(number, asked, count, sampling), strict=True):
            if found := answered(replies):
                yield place, found
            elif role == "base" or outcome[place]["difficulty"]["gold"] is None:  # type: ignore[index]
                outcome[place] = Dropped(batch[place], "no_answer", failure(role, replies))

    def _consult(self, number: int, batch: list[Row], golds: list[str | None], outcome: list[Row | Dropped]) -> None:
        """Ask the reference, and take its plurality as the solution of rows that have none."""
        settings, without = self.settings, [place for place, gold in enumerate(golds) if gold is None]
        if "reference" not in self.models:
            for place in without:
                outcome[place] = Dropped(batch[place], "no_gold")
            return
        places = without if settings.reference_rows == "without_gold" else list(range(len(batch)))
        replies = dict(self._ask(number, "reference", batch, outcome, places))
        proxied = [place for place in replies if golds[place] is None]
        voted = pluralities([[reply.text for reply in replies[place]] for place in proxied])
        for place, plurality in zip(proxied, voted, strict=True):
            votes = {"passes": plurality.votes, "samples": plurality.samples}
            agreement, before = round(plurality.agreement, 6), batch[place].get("solution")
            if plurality.answer is None or plurality.agreement < settings.least_agreement:
                detail = {"agreement": agreement, "answer": plurality.answer}
                outcome[place] = Dropped(batch[place], "no_agreement", detail)
            else:
                found = {"gold": "proxy", "agreement": agreement, "proxy_of": self.models["reference"].engine.name}
                found |= {"reference": votes} | ({} if before is None else {"replaced": before})
                outcome[place] = {**batch[place], "solution": plurality.answer, "difficulty": found}
        self._grade("reference", {place: replies[place] for place in replies if golds[place]}, batch, outcome)

    def _attempt(self, number: int, batch: list[Row], outcome: list[Row | Dropped]) -> None:
        """Ask the model whose pass rate counts."""
        places = [place for place, row in enumerate(outcome) if not isinstance(row, Dropped)]
        self._grade("base", dict(self._ask(number, "base", batch, outcome, places)), batch, outcome)

    def _grade(
        self, role: str, replies: dict[int, list[Reply]], batch: list[Row], outcome: list[Row | Dropped]
    ) -> None:
        flat = [(place, reply) for place, found in replies.items() for reply in found]
        rows = [outcome[place] for place, _ in flat]
        verdicts = tasks.verdicts(
            [reply.text for _, reply in flat],
            [row["solution"] for row in rows],  # type: ignore[index]
            [row.get("task") for row in rows],  # type: ignore[union-attr]
            [row.get("instance") for row in rows],  # type: ignore[union-attr]
        )
        graded: dict[int, list[bool | None]] = {}
        for (place, _), verdict in zip(flat, verdicts, strict=True):
            graded.setdefault(place, []).append(None if verdict is None else verdict.outcome == "correct")
        for place, solved in graded.items():
            row = outcome[place]
            if isinstance(row, Dropped):
                continue
            if None in solved:
                # It passed the check of golds before; a comparison that ran out of time does not.
                outcome[place] = Dropped(batch[place], "no_gold")
                continue
            passes, samples = sum(map(bool, solved)), len(solved)
            if role == "reference":
                row["difficulty"]["reference"] = {"passes": passes, "samples": samples}
            else:
                interval = [round(bound, 6) for bound in wilson(passes, samples)]
                measured = {"passes": passes, "samples": samples, "rate": round(passes / samples, 6)}
                row["difficulty"] = {**measured, "interval": interval, **row["difficulty"]}

    def _rate(self, number: int, batch: list[Row], outcome: list[Row | Dropped]) -> None:
        """Let the judge rate the reasoning that each problem asks for; what it does not say is None."""
        kept = [row for row in outcome if not isinstance(row, Dropped)]
        asked = [(row["id"], prompts.RATE + row["problem"]) for row in kept]
        sampling = Sampling(self.settings.judge_max_tokens)
        for row, replies in zip(kept, self.models["judge"].ask(number, asked, 1, sampling), strict=True):
            steps = rating(replies[0].text)
            self.ratings["unparsed" if steps is None else "rated"] += 1
            row["difficulty"]["steps"] = steps


def checkable(rows: list[Row]) -> list[bool]:
    """Say for each row whether answers can be graded: by its task's own checker, or against its solution."""
    problems = iter(gold_problems([row.get("solution") for row in rows if not row.get("task")]))
    return [bool(row.get("task")) or next(problems) is None for row in rows]


def rating(text: str) -> int | None:
    """Return the rating of a judge's reply, whose last line must be exactly `Rating: N`, N from 1 to 5."""
    lines = after_thinking(text).strip().splitlines()
    found = RATING.fullmatch(lines[-1].strip()) if lines else None
    return int(found[1]) if found else None
