import { Problem, button, call, count, element, exactJson, grid, json, part, save } from "./api.js";

const byId = (id) => document.getElementById(id);
const text = byId("text");
const outcome = byId("outcome");
const results = byId("results");

// What a browser can show at ease. Everything is in the file.
const SHOWN_ROWS = 1000;
const SHOWN_BYTES = 20e6;

let running = null;

export function edit(query, context) {
  text.value = query;
  if (context && [...byId("context").options].some((option) => option.value === context)) {
    byId("context").value = context;
  }
}

function request() {
  const option = byId("context").selectedOptions[0];
  const dialect = byId("dialect").value === "native" ? option?.dataset.engine || "duckdb" : "tsql";
  return { Query: text.value, TaskName: "CasJobs.page", Dialect: dialect };
}

const path = (action) => `contexts/${part(byId("context").value)}/${action}`;

// Shows the place of an error by selecting the word there.
function point(line, column) {
  const lines = text.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0) + column - 1;
  const word = /^[\w@#.[\]]*/.exec(text.value.slice(start))[0];
  text.focus();
  text.setSelectionRange(start, start + Math.max(word.length, 1));
}

function translation(statements) {
  const shown = (statements || []).filter((statement) => statement.sql);
  if (!shown.length) {
    return "";
  }
  return element(
    "details",
    { class: "mb-3" },
    element("summary", {}, "As the database ran it"),
    element("pre", { class: "casjobs-sql" }, shown.map((statement) => statement.sql).join(";\n\n")),
  );
}

export function problem(error) {
  const { line, column, hint, statements } = error.details || {};
  const box = element("div", { class: "alert alert-danger", role: "alert" });
  box.append(element("p", { class: "mb-1" }, error.message));
  if (hint && !error.message.includes(hint)) {
    box.append(element("p", { class: "mb-1" }, hint));
  }
  if (line) {
    box.append(button(`Go to line ${line}`, () => point(line, column || 1), "btn-outline-danger"));
  }
  box.append(translation(statements));
  return box;
}

async function work(what, action) {
  if (!text.value.trim()) {
    outcome.replaceChildren(problem(new Problem("There is no query yet: type one into the field.")));
    text.focus();
    return;
  }
  running = new AbortController();
  const started = performance.now();
  outcome.replaceChildren(element("p", { role: "status" }, what));
  results.replaceChildren();
  byId("stop").hidden = false;
  for (const id of ["run", "submit", "check", "download"]) {
    byId(id).disabled = true;
  }
  try {
    await action(running.signal, started);
  } catch (error) {
    if (error.name === "AbortError") {
      outcome.replaceChildren(element("p", { role: "status" }, "Stopped."));
    } else {
      outcome.replaceChildren(problem(error));
    }
  } finally {
    running = null;
    byId("stop").hidden = true;
    for (const id of ["run", "submit", "check", "download"]) {
      byId(id).disabled = false;
    }
  }
}

async function wholeText(answer) {
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let found = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      return found;
    }
    found += decoder.decode(value, { stream: true });
    if (found.length > SHOWN_BYTES) {
      await reader.cancel();
      throw new Problem("The result is too large to be shown here. Download it, or keep it with “select … into MyDB.name”.");
    }
  }
}

async function run(signal, started) {
  const answer = await call("POST", path("query"), {
    json: request(),
    headers: { Accept: "application/json+array" },
    query: { onTimeout: "queue" },
    signal,
  });
  const found = exactJson(await wholeText(answer));
  if (answer.status === 202) {
    outcome.replaceChildren(
      element(
        "p",
        { class: "alert alert-info", role: "status" },
        `This takes longer than a quick query may. It goes on in the long queue as job ${found.JobID}: see History.`,
      ),
    );
    return;
  }
  const seconds = ((performance.now() - started) / 1000).toLocaleString(undefined, { maximumFractionDigits: 2 });
  const total = found.Result.reduce((sum, table) => sum + table.Data.length, 0);
  outcome.replaceChildren(element("p", { role: "status" }, `Done in ${seconds} s: ${count(total)} ${total === 1 ? "row" : "rows"}.`));
  for (const table of found.Result.filter((each) => each.Columns.length)) {
    if (found.Result.length > 1) {
      results.append(element("h2", {}, table.TableName));
    }
    results.append(grid(table.Columns, table.Data.slice(0, SHOWN_ROWS), `Result ${table.TableName}`));
    if (table.Data.length > SHOWN_ROWS) {
      results.append(element("p", { class: "form-text" }, `The first ${count(SHOWN_ROWS)} of ${count(table.Data.length)} rows. The download has all.`));
    }
  }
}

async function submit(signal) {
  const answer = await call("PUT", path("jobs"), { json: request(), headers: { Accept: "text/plain" }, signal });
  const id = (await answer.text()).trim();
  outcome.replaceChildren(
    element("p", { class: "alert alert-info", role: "status" }, `Job ${id} is in the long queue. History shows how it goes, and has its result.`),
  );
}

async function check(signal) {
  const found = await json("POST", path("explain"), { json: request(), signal });
  const lines = found.statements.map((statement) => {
    const touched = [...new Set([...(statement.reads || []), statement.target].filter(Boolean))].join(", ");
    const rows = statement.estimated_rows === null || statement.estimated_rows === undefined ? "" : ` about ${count(statement.estimated_rows)} rows.`;
    return element("li", {}, `Line ${statement.line}: ${statement.action}${touched ? ` (${touched})` : ""}.${rows}`);
  });
  const plans = found.statements.map((statement) => statement.plan).filter(Boolean);
  outcome.replaceChildren(
    element("p", { role: "status" }, "The query can run. It was not run."),
    element("ol", {}, ...lines),
    translation(found.statements),
    plans.length
      ? element("details", { class: "mb-3" }, element("summary", {}, "Plan"), element("pre", { class: "casjobs-sql" }, plans.join("\n\n")))
      : "",
  );
}

async function download(signal) {
  const format = byId("format").value;
  const answer = await call("POST", path("query"), { json: request(), query: { format }, headers: { Accept: "*/*" }, signal });
  await save(answer, `result.${format}`);
  outcome.replaceChildren(element("p", { role: "status" }, "Done: the file is with your downloads."));
}

export function startQuery() {
  const busy = "Running …";
  byId("query-form").addEventListener("submit", (event) => {
    event.preventDefault();
    work(busy, run);
  });
  byId("submit").addEventListener("click", () => work("Handing over …", submit));
  byId("check").addEventListener("click", () => work("Checking …", check));
  byId("download").addEventListener("click", () => work(busy, download));
  byId("stop").addEventListener("click", () => running?.abort());
  let leaves = false;
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      work(busy, run);
    } else if (event.key === "Tab" && !event.shiftKey && !leaves) {
      event.preventDefault();
      text.setRangeText("    ", text.selectionStart, text.selectionEnd, "end");
    }
    // The keyboard must find a way out of the field.
    leaves = event.key === "Escape";
  });
  fillContexts();
  return {};
}

async function fillContexts() {
  try {
    const contexts = await json("GET", "contexts");
    byId("context").replaceChildren(
      ...contexts.map((context) => element("option", { value: context.Name, "data-engine": context.Engine }, context.Name)),
    );
    const kept = localStorage.getItem("casjobs-context");
    if (contexts.some((context) => context.Name === kept)) {
      byId("context").value = kept;
    }
    byId("context").addEventListener("change", () => localStorage.setItem("casjobs-context", byId("context").value));
  } catch (error) {
    outcome.replaceChildren(problem(error));
  }
}
