// Elements, dialogs and messages of this page. A file's name is text, whatever is in it.
import { attempt, element } from "./sciserver.js";

export { button, bytes, element } from "./sciserver.js";

export const byId = (id) => document.getElementById(id);

// Says that something is done, where screen readers hear of it.
export function tell(text) {
  byId("told").textContent = text;
  byId("problem").replaceChildren();
}

export function problem(text) {
  byId("told").textContent = "";
  byId("problem").replaceChildren(element("p", { class: "sciserver-problem", role: "alert" }, text));
}

// Does something, and tells that it is done, or why it is not.
export const act = (action, done) => attempt(action, () => done && tell(done), problem);

export function many(count, thing) {
  return count === 1 ? `1 ${thing}` : `${Number(count).toLocaleString()} ${thing}s`;
}

export function when(text) {
  const date = new Date(text);
  const shown = Number.isNaN(date.getTime()) ? String(text ?? "") : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return element("time", Number.isNaN(date.getTime()) ? {} : { datetime: date.toISOString() }, shown);
}

// A name as people see it: what is not to be seen (line breaks, marks that turn the direction) is shown as a sign, and
// so are bytes that are no text.
export function visible(name) {
  return name
    .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, "\ufffd")
    .replace(/[\ud800-\udbff][\udc00-\udfff]|[\ud800-\udfff]/g, (found) => (found.length === 2 ? found : "\ufffd"));
}

const dialog = byId("dialog");

// Shows a dialog with a form; resolves with what `read` gives when it is sent, and undefined when it is left.
export function ask({ title, content = [], action, style = "btn-primary", cancel = "Cancel", read = () => true }) {
  return new Promise((resolve) => {
    const form = element("form", { method: "dialog" });
    const buttons = element("div", { class: "drive-row mt-3" });
    if (action) {
      buttons.append(element("button", { class: `btn ${style}`, type: "submit", value: "yes" }, action));
    }
    buttons.append(element("button", { class: "btn btn-outline-secondary", type: "button", onclick: () => dialog.close("no") }, cancel));
    form.append(element("h2", { id: "dialog-title" }, title), ...content, buttons);
    dialog.replaceChildren(form);
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? read(form) : undefined), { once: true });
    dialog.showModal();
    const field = form.querySelector("[autofocus]");
    field?.focus();
    field?.select?.();
  });
}

export function confirmed(title, text, action) {
  return ask({ title, content: [element("p", {}, text)], action, style: "btn-danger" });
}

// One line of text; `stem` of it is marked, so that the ending of a file's name stays.
export function askText(title, label, action, value = "", stem = value.length) {
  const field = element("input", { class: "form-control", id: "dialog-text", required: true, maxlength: "255", autocomplete: "off", spellcheck: "false", value });
  const asked = ask({
    title,
    content: [element("label", { class: "form-label", for: "dialog-text" }, label), field],
    action,
    read: () => field.value,
  });
  field.focus();
  field.setSelectionRange(0, stem);
  return asked;
}
