import { act, button, bytes, call, confirmed, count, element, json, part, save, say } from "./api.js";
import { columnsOf, sampleOf } from "./databases.js";

const section = document.getElementById("mydb");
const list = document.getElementById("tables");
const told = section.querySelector(".sciserver-told");
const detail = document.getElementById("mydb-detail");
const quota = document.getElementById("quota");

const TYPES = {
  fits: "application/fits",
  fit: "application/fits",
  vot: "application/x-votable+xml",
  votable: "application/x-votable+xml",
  xml: "application/x-votable+xml",
  parquet: "application/vnd.apache.parquet",
  arrow: "application/vnd.apache.arrow.stream",
  arrows: "application/vnd.apache.arrow.stream",
};

let use;

const address = (table) => `contexts/MyDB/Tables/${part(table)}`;

function row(table) {
  const name = table.Name;
  const format = element(
    "select",
    { class: "form-select form-select-sm", "aria-label": `Format of ${name}` },
    ...["csv", "fits", "votable", "parquet", "arrow"].map((each) => element("option", { value: each }, each)),
  );
  const rename = async () => {
    const wanted = await confirmed({ title: `Rename ${name}`, text: "Its rows stay as they are.", action: "Rename", value: name });
    if (wanted && wanted !== name) {
      await call("PATCH", address(name), { json: { Name: wanted } });
      await load();
      say(told, `${name} is now ${wanted}.`);
    }
  };
  const drop = async () => {
    const text = `${count(table.Rows)} rows will be gone. This cannot be undone.`;
    if (await confirmed({ title: `Drop ${name}?`, text, action: "Drop" })) {
      await call("DELETE", address(name));
      detail.replaceChildren();
      await load();
      say(told, `${name} was dropped.`);
    }
  };
  const fetchFile = async () =>
    save(await call("GET", `${address(name)}/data`, { query: { format: format.value }, headers: { Accept: "*/*" } }), `${name}.${format.value}`);
  const look = async () => {
    detail.replaceChildren(element("h2", { tabindex: "-1" }, name), await columnsOf("MyDB", name), await sampleOf("MyDB", name));
    detail.firstChild.focus();
  };
  const try_ = (action) => () => act(told, "", action);
  return element(
    "tr",
    { "data-table": name },
    element("th", { scope: "row" }, element("button", { type: "button", class: "casjobs-link", onclick: try_(look) }, name)),
    element("td", { class: "number" }, count(table.Rows)),
    element("td", { class: "number" }, bytes(table.Size * 1000)),
    element(
      "td",
      {},
      element(
        "div",
        { class: "casjobs-row" },
        button("Query", () => use(`select top 100 * from MyDB.[${name}]`, "MyDB"), "btn-outline-secondary", `Query ${name}`),
        format,
        button("Download", try_(fetchFile), "btn-outline-secondary", `Download ${name}`),
        button("Rename", try_(rename), "btn-outline-secondary", `Rename ${name}`),
        button("Drop", try_(drop), "btn-outline-danger", `Drop ${name}`),
      ),
    ),
  );
}

async function load() {
  const [tables, limits] = await Promise.all([json("GET", "contexts/MyDB/Tables"), json("GET", "limits")]);
  const { used, quota: whole } = limits.MyDB;
  quota.replaceChildren(
    element(
      "div",
      { class: "casjobs-quota mb-3" },
      element("label", { for: "quota-meter" }, `${bytes(used)} of ${bytes(whole)} used`),
      element("progress", { id: "quota-meter", class: "w-100", value: used, max: whole }),
    ),
  );
  if (!tables.length) {
    list.replaceChildren(
      element("p", { class: "text-body-secondary" }, "MyDB is empty. “select … into MyDB.name from …” makes a table, and so does an upload."),
    );
    return;
  }
  list.replaceChildren(
    element(
      "div",
      { class: "casjobs-scroll mb-3", tabindex: "0", role: "region", "aria-label": "Tables of MyDB" },
      element(
        "table",
        { class: "table align-middle" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...["Table", "Rows", "Size"].map((text) => element("th", { scope: "col" }, text)),
            element("th", { scope: "col" }, element("span", { class: "visually-hidden" }, "Actions")),
          ),
        ),
        element("tbody", {}, ...tables.map(row)),
      ),
    ),
  );
}

function nameFor(file) {
  const name = file.name.replace(/\.[^.]*$/, "").replace(/\W+/g, "_");
  return /^\d/.test(name) ? `t${name}` : name;
}

async function upload(event) {
  event.preventDefault();
  const file = document.getElementById("upload-file").files[0];
  const name = document.getElementById("upload-name").value.trim();
  const type = TYPES[file.name.split(".").pop().toLowerCase()] || "text/csv";
  const send = event.target.querySelector("[type=submit]");
  send.disabled = true;
  say(told, `Uploading ${file.name} …`);
  await act(told, `${name} was made.`, async () => {
    await call("POST", address(name), { body: file, headers: { "Content-Type": type } });
    event.target.reset();
    await load();
  });
  send.disabled = false;
}

export function startMyDB(useQuery) {
  use = useQuery;
  document.getElementById("upload-form").addEventListener("submit", upload);
  document.getElementById("upload-file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    document.getElementById("upload-name").value = file ? nameFor(file) : "";
  });
  return { show: () => act(told, "", load) };
}
