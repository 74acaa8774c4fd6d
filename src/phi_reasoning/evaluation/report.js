"use strict";
// Everything shown here was written by a model: it enters the page as text, never as markup.
(() => {
  const PAGE = 25;
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  let shown = data.rows;
  let page = 0;

  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  }

  const figure = (value) => value.toFixed(3).replace("-", "\u2212");
  const size = (row) => (row.thought || "").length + row.answer.length;

  function searchable(row) {
    row.lower ??= [row.prompt, row.thought || "", row.answer, row.place].join("\n").toLowerCase();
    return row.lower;
  }

  const orders = {
    long: (a, b) => size(b) - size(a),
    short: (a, b) => size(a) - size(b),
    high: (a, b) => (b.reward ?? -Infinity) - (a.reward ?? -Infinity) || 0,
    low: (a, b) => (a.reward ?? Infinity) - (b.reward ?? Infinity) || 0,
  };

  function filter() {
    const text = at("text").value.toLowerCase();
    const [source, verdict, flag] = ["source", "verdict", "flag"].map((id) => at(id).value);
    shown = data.rows.filter((row) =>
      (source === "" || row.source === Number(source)) &&
      (verdict === "" || row.verdict === verdict) &&
      (flag === "" || row.flags.includes(flag)) &&
      (text === "" || searchable(row).includes(text)));
    const order = orders[at("order").value];
    if (order) shown.sort(order);
    page = 0;
    render();
  }

  function chips(row) {
    const chips = row.flags.map((flag) => make("span", "chip flag", flag));
    if (row.verdict) chips.unshift(make("span", `chip ${row.verdict}`, row.verdict));
    if (typeof row.reward === "number") chips.push(make("span", "chip", `reward ${figure(row.reward)}`));
    return make("span", "chips", ...chips);
  }

  function preview(row) {
    const tokens = row.tokens == null ? `${size(row).toLocaleString("en")} chars` : `${row.tokens.toLocaleString("en")} tok`;
    const prompt = make("span", "clip", row.prompt.slice(0, 200));
    const answer = make("span", "clip answer-clip", row.answer.slice(0, 160) || "(no answer)");
    const place = make("span", "place", data.sources[row.source].name, make("small", "quiet", row.place));
    return make("summary", "", place, chips(row), make("span", "n quiet", tokens), make("span", "texts", prompt, answer));
  }

  function block(title, text, className) {
    return make("div", `block ${className}`, make("h4", "", title), make("pre", "", text));
  }

  function terms(row) {
    if (!row.terms || !row.terms.length) return null;
    const cell = (value) => make("td", "n", value === null ? "" : figure(value));
    const head = make("tr", "", ...["term", "value", "weight", "part"].map((name, i) => make("th", i ? "n" : "", name)));
    const lines = row.terms.map(([name, value, weight]) =>
      make("tr", "", make("td", "", name), cell(value), cell(weight), cell(weight === null ? null : weight * value)));
    if (row.reward !== null) lines.push(make("tr", "total", make("td", "", "reward"), cell(null), cell(null), cell(row.reward)));
    if (row.advantage !== null) lines.push(make("tr", "", make("td", "", "advantage"), cell(null), cell(null), cell(row.advantage)));
    return make("div", "block", make("h4", "", "Reward"), make("table", "terms", make("thead", "", head), make("tbody", "", ...lines)));
  }

  function grading(row) {
    if (row.gold === undefined) return null;
    const pair = (name, text) => [make("dt", "", name), make("dd", "", text === null ? "none" : text)];
    return make("div", "block", make("h4", "", "Grading"),
      make("dl", "", ...pair("verdict", row.verdict), ...pair("read as", row.extracted), ...pair("gold", row.gold)));
  }

  function entry(row) {
    const details = make("details", "", preview(row));
    details.addEventListener("toggle", () => {
      if (details.childElementCount > 1) return;
      const thought = row.thought === null ? null : block("Thought", row.thought, "thought");
      details.append(make("div", "body", block("Prompt", row.prompt, ""), thought, block("Answer", row.answer || "(none)", "answer"), grading(row), terms(row)));
    });
    return make("li", "", details);
  }

  function render() {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    const first = page * PAGE;
    at("rows").replaceChildren(...shown.slice(first, first + PAGE).map(entry));
    at("count").textContent = `${shown.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} completions`;
    at("page").textContent = `page ${page + 1} of ${pages}`;
    at("previous").disabled = page === 0;
    at("next").disabled = page >= pages - 1;
  }

  function turn(step) {
    page += step;
    render();
    at("filters").scrollIntoView({ block: "start" });
  }

  function offer(id, options) {
    at(id).append(...options.map(([value, text]) => new Option(text, value)));
    at(id).closest("label").hidden = options.length === 0;
  }

  offer("source", data.sources.map((source, index) => [index, `${source.name} (${source.kind})`]));
  offer("verdict", data.verdicts.map((verdict) => [verdict, verdict]));
  offer("flag", data.flags.map((flag) => [flag, flag]));
  if (!data.rows.some((row) => typeof row.reward === "number")) {
    for (const option of [...at("order").options]) if (["high", "low"].includes(option.value)) option.remove();
  }
  let waiting;
  at("text").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  for (const id of ["source", "verdict", "flag", "order"]) at(id).addEventListener("change", filter);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("previous").addEventListener("click", () => turn(-1));
  at("next").addEventListener("click", () => turn(1));
  render();
})();
