import { act, button, bytes, call, count, element, grid, json, save, say } from "./api.js";

const states = ["Waiting", "Running", "Being stopped", "Cancelled", "Failed", "Finished"];
const STEP = 25;
const FORMATS = ["csv", "fits", "votable", "parquet", "arrow", "ndjson"];

const section = document.getElementById("history");
const list = document.getElementById("jobs");
const older = document.getElementById("older");
const told = section.querySelector(".sciserver-told");

let use;
let watching = null;
let last = null;

const moment = (text) => (text ? new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" }) : "–");

function duration(job) {
  if (!job.TimeStart || !job.TimeEnd) {
    return "–";
  }
  const seconds = (new Date(job.TimeEnd) - new Date(job.TimeStart)) / 1000;
  return seconds < 100 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds / 60)} min`;
}

function progress(job) {
  if (job.Status === 0 && job.Position) {
    return `Waiting, number ${count(job.Position)} in the queue`;
  }
  if (job.Status === 1 && job.Statements > 1) {
    return `Running, statement ${job.Statement} of ${job.Statements}`;
  }
  return states[job.Status];
}

function downloads(job) {
  return (job.Results || []).map((result) => {
    const choice = element(
      "select",
      { class: "form-select form-select-sm", "aria-label": `Format of ${result.name}` },
      ...FORMATS.map((format) => element("option", { value: format }, format)),
    );
    const path = `jobs/${job.JobID}/results/${result.index}`;
    const shown = element("div");
    const show = async () => {
      const found = await json("GET", path, { query: { format: "json-array" } });
      shown.replaceChildren(grid(found.Result[0].Columns, found.Result[0].Data.slice(0, 1000), result.name));
    };
    const fetchFile = async () => save(await call("GET", path, { query: { format: choice.value }, headers: { Accept: "*/*" } }), `${result.name}.${choice.value}`);
    return element(
      "div",
      { class: "mt-2" },
      element(
        "div",
        { class: "casjobs-row" },
        `${result.name}: ${count(result.rows)} rows, ${bytes(result.bytes)}`,
        result.bytes < 5e6 ? button("Show", () => act(told, "", show), "btn-outline-secondary", `Show ${result.name}`) : "",
        choice,
        button("Download", () => act(told, "The file is with your downloads.", fetchFile), "btn-outline-secondary", `Download ${result.name}`),
      ),
      shown,
    );
  });
}

function row(job) {
  const ended = job.Status >= 3;
  const name = job.TaskName && !job.TaskName.startsWith("CasJobs.page") ? ` · ${job.TaskName}` : "";
  const buttons = element("div", { class: "casjobs-row mt-2" }, button("Open in the editor", () => use(job.Query, job.Target)));
  if (ended && job.Kind !== "upload") {
    const again = async () => {
      await call("POST", `jobs/${job.JobID}/resubmit`);
      await load();
    };
    buttons.append(button("Run again in the long queue", () => act(told, "It is in the long queue again.", again)));
  }
  if (!ended) {
    const cancel = async () => {
      await call("DELETE", `jobs/${job.JobID}`);
      await load();
    };
    buttons.append(button("Stop", () => act(told, `Job ${job.JobID} was stopped.`, cancel), "btn-outline-danger", `Stop job ${job.JobID}`));
  }
  return element(
    "details",
    { class: "sciserver-card", "data-job": job.JobID, "data-status": job.Status },
    element(
      "summary",
      {},
      element("strong", {}, `${job.JobID} `),
      element("span", { class: "sciserver-tag" }, progress(job)),
      ` ${job.Kind === "long" ? "long" : job.Kind} · ${job.Target} · ${moment(job.TimeSubmit)}${name} `,
      element("code", {}, job.Query.replace(/\s+/g, " ").slice(0, 100)),
    ),
    element("pre", { class: "casjobs-sql" }, job.Query),
    job.Message && job.Status >= 3 && job.Status < 5 ? element("p", { class: "sciserver-problem" }, job.Message) : "",
    element(
      "p",
      { class: "mb-1" },
      `Rows: ${count(job.Rows)}. Ran for: ${duration(job)}.${job.Created_Table ? ` Made: ${job.Created_Table}.` : ""}`,
    ),
    job.ModifiedQuery
      ? element("details", {}, element("summary", {}, "As the database ran it"), element("pre", { class: "casjobs-sql" }, job.ModifiedQuery))
      : "",
    ...downloads(job),
    buttons,
  );
}

function filters() {
  const value = (id) => document.getElementById(id).value.trim() || undefined;
  return { search: value("search"), status: value("status"), top: STEP };
}

async function load() {
  const jobs = await json("GET", "jobs", { query: filters() });
  const opened = new Set([...list.querySelectorAll("details[data-job][open]")].map((each) => each.dataset.job));
  list.replaceChildren(...jobs.map(row));
  for (const each of list.children) {
    each.open = opened.has(each.dataset.job);
  }
  if (!jobs.length) {
    list.append(element("p", { class: "text-body-secondary" }, "No query matches. Run one on the first tab."));
  }
  page(jobs);
  watch(jobs);
}

function page(jobs) {
  older.hidden = jobs.length < STEP;
  last = jobs.length ? jobs[jobs.length - 1].JobID : null;
}

// Long-polls the newest job that has not ended; each change loads the list again.
async function watch(jobs) {
  watching?.abort();
  const open = jobs.find((job) => job.Status < 3);
  if (!open) {
    return;
  }
  const here = (watching = new AbortController());
  try {
    await call("GET", `jobs/${open.JobID}`, { query: { wait: 30 }, signal: here.signal });
    if (watching === here) {
      await load();
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      say(told, error.message, true);
    }
  }
}

export function startHistory(useQuery) {
  use = useQuery;
  const show = async () => {
    try {
      await load();
      say(told, "");
    } catch (error) {
      say(told, error.message, true);
    }
  };
  document.getElementById("history-form").addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  older.addEventListener("click", async () => {
    try {
      const jobs = await json("GET", "jobs", { query: { ...filters(), before: last } });
      list.append(...jobs.map(row));
      page(jobs);
    } catch (error) {
      say(told, error.message, true);
    }
  });
  return { show, hide: () => watching?.abort() };
}
