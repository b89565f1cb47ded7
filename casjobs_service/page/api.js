// The service's REST interface, and small helpers that the parts of the page share.

const { api, xsrf } = document.body.dataset;

export class Problem extends Error {
  constructor(text, details = {}) {
    super(text);
    this.details = details;
  }
}

const sentences = {
  401: "You are not signed in any more. Load the page again.",
  413: "The file is larger than this service accepts.",
};

export async function call(method, path, { query = {}, json, body, headers = {}, signal } = {}) {
  const address = new URL(api + path, window.location.href);
  for (const [key, value] of Object.entries(query)) {
    if (value !== "" && value !== undefined) {
      address.searchParams.set(key, value);
    }
  }
  const all = { "X-XSRFToken": xsrf, Accept: "application/json", ...headers };
  if (json !== undefined) {
    all["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  let answer;
  try {
    answer = await fetch(address, { method, headers: all, body, signal });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new Problem("The service does not answer. Try again in a minute.");
  }
  if (answer.ok) {
    return answer;
  }
  const details = await answer.json().catch(() => ({}));
  throw new Problem(details.error || sentences[answer.status] || `The service answered with error ${answer.status}.`, details);
}

// Integers that a JavaScript number would round are kept as text. Strings are matched first, and stay as they are.
export function exactJson(text) {
  const values = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  return JSON.parse(text.replace(values, (found) => (/^-?\d{16,}$/.test(found) ? `"${found}"` : found)));
}

export async function json(method, path, options) {
  return exactJson(await (await call(method, path, options)).text());
}

export const part = (text) => encodeURIComponent(text);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") {
      made.className = value;
    } else if (name.startsWith("on")) {
      made.addEventListener(name.slice(2), value);
    } else if (value === true) {
      made.setAttribute(name, "");
    } else if (value !== false && value !== undefined) {
      made.setAttribute(name, value);
    }
  }
  made.append(...children);
  return made;
}

export function button(text, action, style = "btn-outline-secondary", label = text) {
  const made = element("button", { type: "button", class: `btn btn-sm ${style}`, "aria-label": label }, text);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await action(made);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

export function say(place, text, isProblem = false) {
  place.replaceChildren();
  if (text) {
    place.append(element("p", { class: isProblem ? "sciserver-problem" : "", role: isProblem ? "alert" : "status" }, text));
  }
}

const isNumber = (value) => typeof value === "number" || (typeof value === "string" && /^-?\d{16,}$/.test(value));

// Does something, and tells in `place` that it is done, or why it is not.
export async function act(place, done, action) {
  try {
    await action();
    say(place, done);
  } catch (error) {
    say(place, error.message, true);
  }
}

// Rows as a table; values are exact as they came.
export function grid(columns, rows, caption) {
  const numbers = columns.map((_, place) => isNumber(rows.map((row) => row[place]).find((value) => value !== null)));
  const head = element(
    "tr",
    {},
    ...columns.map((name, place) => element("th", numbers[place] ? { scope: "col", class: "number" } : { scope: "col" }, name)),
  );
  const body = rows.map((row) =>
    element(
      "tr",
      {},
      ...row.map((value, place) => {
        const align = numbers[place] ? "number" : "";
        if (value === null || value === undefined) {
          return element("td", { class: `casjobs-null ${align}` }, "NULL");
        }
        return element("td", { class: align }, typeof value === "object" ? JSON.stringify(value) : String(value));
      }),
    ),
  );
  return element(
    "div",
    { class: "casjobs-scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", { class: "table table-sm" }, element("thead", {}, head), element("tbody", {}, ...body)),
  );
}

export function bytes(count) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) {
      return `${(count / size).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${unit}`;
    }
  }
  return `${count} bytes`;
}

export const count = (number) => Number(number).toLocaleString();

export async function save(answer, fallback) {
  const name = /filename="?([^";]+)/.exec(answer.headers.get("Content-Disposition") || "")?.[1] || fallback;
  const link = element("a", { href: URL.createObjectURL(await answer.blob()), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const dialog = document.getElementById("confirm");

// Resolves to false, or to true or the text that was entered.
export function confirmed({ title, text, action, value }) {
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-text").textContent = text;
  const yes = document.getElementById("confirm-yes");
  yes.textContent = action;
  yes.className = `btn ${value === undefined ? "btn-danger" : "btn-primary"}`;
  const field = document.getElementById("confirm-value");
  document.getElementById("confirm-field").hidden = value === undefined;
  field.value = value ?? "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    const done = () => {
      const agreed = dialog.returnValue === "yes";
      resolve(agreed && value !== undefined ? field.value.trim() : agreed);
    };
    dialog.addEventListener("close", done, { once: true });
  });
}
