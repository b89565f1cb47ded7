// The service's REST interface, and small helpers that the parts of the page share.

import { attempt, caller, element } from "./sciserver.js";

export { Problem, button, bytes, element } from "./sciserver.js";

export const call = caller(document.body.dataset.api);

// Integers that a JavaScript number would round are kept as text. Strings are matched first, and stay as they are.
export function exactJson(text) {
  const values = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  return JSON.parse(text.replace(values, (found) => (/^-?\d{16,}$/.test(found) ? `"${found}"` : found)));
}

export async function json(method, path, options) {
  return exactJson(await (await call(method, path, options)).text());
}

export const part = (text) => encodeURIComponent(text);

export function say(place, text, isProblem = false) {
  place.replaceChildren();
  if (text) {
    place.append(element("p", { class: isProblem ? "sciserver-problem" : "", role: isProblem ? "alert" : "status" }, text));
  }
}

const isNumber = (value) => typeof value === "number" || (typeof value === "string" && /^-?\d{16,}$/.test(value));

// Does something, and tells in `place` that it is done, or why it is not.
export const act = (place, done, action) => attempt(action, () => say(place, done), (text) => say(place, text, true));

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
