import { button, count, element, grid, json, part } from "./api.js";

const tree = document.getElementById("tree");
const detail = document.getElementById("detail");

let use;
let loaded = false;

export async function columnsOf(database, table) {
  const found = await json("GET", `contexts/${part(database)}/Tables/${part(table)}`);
  const rows = found.Columns.map((column) => [column.Name, column.Type, column.Unit, column.UCD, column.Description]);
  return grid(["Column", "Type", "Unit", "UCD", "Description"], rows, `Columns of ${table}`);
}

export async function sampleOf(database, table) {
  const found = await json("GET", `contexts/${part(database)}/Tables/${part(table)}/sample`, { query: { rows: 10 } });
  const [result] = found.Result;
  return element("div", { class: "mt-3" }, element("h3", {}, "Some rows"), grid(result.Columns, result.Data, `Some rows of ${table}`));
}

async function show(make) {
  detail.replaceChildren(element("p", { role: "status" }, "Loading …"));
  try {
    detail.replaceChildren(...(await make()));
  } catch (error) {
    detail.replaceChildren(element("p", { class: "sciserver-problem", role: "alert" }, error.message));
  }
}

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value);
  return element(
    "dl",
    { class: "sciserver-facts" },
    ...shown.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

async function aboutContext(name) {
  const [context, functions] = await Promise.all([
    json("GET", `contexts/${part(name)}`),
    json("GET", `contexts/${part(name)}/Functions`),
  ]);
  const parts = [
    element("h2", {}, context.Title || context.Name),
    element("p", {}, context.Description),
    facts([["Licence", context.Rights], ["Cite", context.Cite], ["Source", context.Source], ["Engine", context.Engine]]),
  ];
  if (functions.length) {
    const rows = functions.map((each) => [
      `${each.Name}(${each.Parameters.map((parameter) => parameter.Name).join(", ")})`,
      each.Kind === "table" ? "table" : each.Returns,
      each.Description,
    ]);
    parts.push(element("details", {}, element("summary", {}, `${count(functions.length)} functions`), grid(["Function", "Returns", "Description"], rows, "Functions")));
  }
  return parts;
}

async function aboutTable(context, table) {
  const name = /^\w+$/.test(table.Name) ? table.Name : `[${table.Name}]`;
  const rows = table.Rows === null || table.Rows === undefined ? "" : `${count(table.Rows)} rows. `;
  return [
    element("h2", {}, `${context}.${table.Name}`),
    element("p", {}, rows + (table.Description || "")),
    element("p", {}, button("Query", () => use(`select top 100 * from ${name}`, context), "btn-primary", `Query ${table.Name}`)),
    await columnsOf(context, table.Name),
    await sampleOf(context, table.Name),
  ];
}

function choice(text, make) {
  const made = element("button", { type: "button", class: "casjobs-link" }, text);
  made.addEventListener("click", () => {
    tree.querySelector("[aria-current]")?.removeAttribute("aria-current");
    made.setAttribute("aria-current", "true");
    show(make);
  });
  return made;
}

function branch(context) {
  const items = element("ul");
  const node = element("details", {}, element("summary", {}, context.Name), items);
  node.addEventListener("toggle", async () => {
    if (!node.open || items.children.length) {
      return;
    }
    items.append(element("li", {}, choice("About this database", () => aboutContext(context.Name))));
    try {
      const tables = await json("GET", `contexts/${part(context.Name)}/Tables`);
      items.append(...tables.map((table) => element("li", {}, choice(table.Name, () => aboutTable(context.Name, table)))));
    } catch (error) {
      items.append(element("li", { class: "sciserver-problem" }, error.message));
    }
  });
  return node;
}

export function startDatabases(useQuery) {
  use = useQuery;
  const load = async () => {
    if (loaded) {
      return;
    }
    try {
      const contexts = await json("GET", "contexts");
      tree.replaceChildren(...contexts.map(branch));
      loaded = true;
    } catch (error) {
      tree.replaceChildren(element("p", { class: "sciserver-problem", role: "alert" }, error.message));
    }
  };
  return { show: load };
}
