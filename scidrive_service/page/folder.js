// One folder: its path, its files and folders, and what is done with them.
import { encodePath, fileAddress, listFolder, makeFolder, remove, search, transfer } from "./api.js";
import { act, askText, bytes, button, byId, confirmed, element, problem, tell, visible, when } from "./dom.js";
import { hasPreview, preview } from "./preview.js";
import { publicLink, share } from "./sharing.js";
import { moveOrCopy } from "./transfer.js";
import { chooseFiles } from "./uploads.js";
import { deleteVolume, find, loadUsage, renameVolume, show as showVolume, titleOf } from "./volumes.js";

const AT_ONCE = 500;

const here = { volume: undefined, path: [], entries: [], order: "name", isDown: false, limit: AT_ONCE, found: undefined };
const chosen = new Set();
let loading;

export const place = () => here;

export const hashOf = (volume, path) => `#/${encodePath([...volume.place, ...path])}`;

const may = (action) => here.volume.actions.has(action);

// -- loading

export async function open(volume, path) {
  loading?.abort();
  loading = new AbortController();
  const isSame = here.volume && hashOf(here.volume, here.path) === hashOf(volume, path);
  Object.assign(here, { volume, path, found: undefined, limit: AT_ONCE });
  if (!isSame) {
    chosen.clear();
    byId("pattern").value = "";
    here.entries = [];
    byId("entries").replaceChildren(element("p", { class: "text-body-secondary" }, "Loading …"));
  }
  document.title = `${visible(path.at(-1) ?? volume.title)} · Files · SciServer`;
  showVolume(volume);
  showPath();
  showTools();
  try {
    here.entries = await listFolder(volume, path, loading.signal);
    showEntries();
  } catch (error) {
    if (error.name !== "AbortError") {
      byId("entries").replaceChildren();
      problem(error.message);
    }
  }
}

export async function refresh() {
  if (here.volume) {
    // What may be done with it can have changed.
    await open(find(here.volume.place) ?? here.volume, here.path);
  }
}

// Something was changed here: the list, and how much is used.
async function changed() {
  chosen.clear();
  await Promise.all([refresh(), loadUsage().catch(() => {})]);
}

function showPath() {
  const { volume, path } = here;
  const parts = [titleOf(volume), ...path.map(visible)];
  byId("path").replaceChildren(
    ...parts.map((text, index) => {
      const isLast = index === parts.length - 1;
      const link = element("a", { href: hashOf(volume, path.slice(0, index)), "aria-current": isLast ? "page" : undefined }, text);
      return element("li", {}, link);
    }),
  );
  const about = byId("about");
  about.hidden = path.length > 0 || !volume.description;
  about.textContent = volume.description;
}

function showTools() {
  const { volume, path } = here;
  const tools = [];
  if (may("write")) {
    tools.push(button("Upload", () => chooseFiles(here), "btn-primary"), button("New folder", newFolder));
  }
  if (!path.length && may("grant")) {
    tools.push(button("Share", () => share(volume), "btn-outline-secondary", `Share ${volume.title}`));
  }
  if (!path.length && volume.kind === "own" && volume.name) {
    tools.push(button("Rename volume", () => renameVolume(volume)), button("Delete volume", () => deleteVolume(volume), "btn-outline-danger"));
  }
  tools.push(element("a", { class: "btn btn-sm btn-outline-secondary", href: `${fileAddress(volume, path)}?format=zip`, download: "" }, "Download all"));
  if (!may("write")) {
    tools.push(element("span", { class: "text-body-secondary" }, "You can read here, and change nothing."));
  }
  byId("tools").replaceChildren(...tools);
}

// -- the list

const ORDERS = {
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  size: (a, b) => (a.size ?? -1) - (b.size ?? -1),
  lastModified: (a, b) => (a.lastModified < b.lastModified ? -1 : 1),
};

function sorted(entries) {
  const order = ORDERS[here.order];
  const sign = here.isDown ? -1 : 1;
  return entries.toSorted((a, b) => b.isFolder - a.isFolder || sign * order(a, b) || ORDERS.name(a, b));
}

function showEntries() {
  showChosen();
  const { entries, found, path } = here;
  const some = found ?? entries;
  if (!some.length) {
    let text = "This folder is empty.";
    if (found) {
      text = "Nothing here has such a name.";
    } else if (may("write")) {
      text = `${path.length ? "This folder is empty." : "Nothing is here yet."} Drop files here, or choose “Upload”.`;
    }
    byId("entries").replaceChildren(element("p", { class: "drive-empty" }, text));
    return;
  }
  const shown = sorted(some).slice(0, here.limit);
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, chooseAll(shown)),
    heading("Name", "name"),
    heading("Size", "size", "drive-number"),
    heading("Modified", "lastModified"),
    element("th", { scope: "col" }, element("span", { class: "visually-hidden" }, "Actions")),
  );
  const parts = [
    element("table", { class: "table align-middle drive-files" }, element("thead", {}, head), element("tbody", {}, ...shown.map(row))),
  ];
  if (shown.length < some.length) {
    const more = () => {
      here.limit += AT_ONCE * 4;
      showEntries();
    };
    parts.push(element("p", {}, `${shown.length.toLocaleString()} of ${some.length.toLocaleString()} are shown. `, button("Show more", more)));
  }
  byId("entries").replaceChildren(...parts);
}

function heading(text, order, style = "") {
  const isThis = here.order === order;
  const sort = () => {
    here.isDown = isThis && !here.isDown;
    here.order = order;
    showEntries();
    byId("entries").querySelector(`[data-order=${order}]`).focus();
  };
  const direction = here.isDown ? "descending" : "ascending";
  return element(
    "th",
    { scope: "col", class: style, "aria-sort": isThis ? direction : undefined },
    element("button", { type: "button", class: "drive-link", "data-order": order, onclick: sort }, text, isThis ? (here.isDown ? " ↓" : " ↑") : ""),
  );
}

function chooseAll(shown) {
  const box = element("input", { type: "checkbox", class: "form-check-input", "aria-label": "Choose all" });
  box.checked = shown.every(({ key, name }) => chosen.has(key ?? name));
  box.addEventListener("change", () => {
    for (const { key, name } of shown) {
      chosen[box.checked ? "add" : "delete"](key ?? name);
    }
    showEntries();
  });
  return box;
}

// Where an entry is, from the volume's root. What was found by a search may be deeper than this folder.
const pathOf = (entry) => [...here.path, ...(entry.above ?? []), entry.name];

function row(entry) {
  const shown = visible(entry.name);
  const key = entry.key ?? entry.name;
  const box = element("input", { type: "checkbox", class: "form-check-input", "aria-label": `Choose ${shown}` });
  box.checked = chosen.has(key);
  box.addEventListener("change", () => {
    chosen[box.checked ? "add" : "delete"](key);
    showChosen();
  });
  const path = pathOf(entry);
  let name;
  if (entry.isFolder) {
    name = element("a", { href: hashOf(here.volume, path) }, shown);
  } else if (hasPreview(entry)) {
    name = element("button", { type: "button", class: "drive-link", onclick: () => act(() => preview(here.volume, path, entry)) }, shown);
  } else {
    name = element("a", { href: fileAddress(here.volume, path), download: "" }, shown);
  }
  const above = entry.above?.length ? [element("small", { class: "text-body-secondary d-block" }, `in ${entry.above.map(visible).join(" / ")}`)] : [];
  return element(
    "tr",
    { "data-name": entry.name },
    element("td", {}, box),
    element("th", { scope: "row" }, element("span", { class: entry.isFolder ? "drive-folder" : "drive-file", "aria-hidden": "true" }), element("span", {}, name, ...above)),
    element("td", { class: "drive-number", "data-label": entry.isFolder ? undefined : "Size" }, entry.isFolder ? element("span", { class: "visually-hidden" }, "folder") : bytes(entry.size)),
    element("td", { class: "drive-when" }, when(entry.lastModified)),
    element("td", { class: "drive-do" }, menu(entry, path)),
  );
}

function menu(entry, path) {
  const shown = visible(entry.name);
  const items = [];
  const add = (text, action, style = "") => {
    items.push(element("li", {}, element("button", { type: "button", class: `dropdown-item ${style}`, onclick: () => act(action) }, text)));
  };
  const address = fileAddress(here.volume, path) + (entry.isFolder ? "?format=zip" : "");
  items.push(element("li", {}, element("a", { class: "dropdown-item", href: address, download: "" }, entry.isFolder ? "Download as ZIP" : "Download")));
  if (hasPreview(entry)) {
    add("Preview", () => preview(here.volume, path, entry));
  }
  if (here.volume.kind !== "data") {
    add("Public link", () => publicLink(here.volume, path, entry.isFolder));
  }
  if (may("write") && may("delete")) {
    add("Rename", () => rename(entry, path));
    add("Move", () => moved([[path, entry]], false));
  }
  add("Copy", () => moved([[path, entry]], true));
  if (may("delete")) {
    add("Delete", () => removed([[path, entry]]), "drive-danger");
  }
  const opener = element("button", { type: "button", class: "btn btn-sm btn-outline-secondary", "data-bs-toggle": "dropdown", "data-bs-popper-config": '{"strategy":"fixed"}', "aria-expanded": "false", "aria-label": `Actions for ${shown}` }, "⋯");
  return element("div", { class: "dropdown" }, opener, element("ul", { class: "dropdown-menu" }, ...items));
}

function showChosen() {
  const some = (here.found ?? here.entries).filter((entry) => chosen.has(entry.key ?? entry.name)).map((entry) => [pathOf(entry), entry]);
  const bar = byId("chosen");
  bar.hidden = !some.length;
  const parts = [element("span", {}, `${some.length.toLocaleString()} chosen`), button("Copy", () => act(() => moved(some, true)), "btn-outline-secondary", "Copy the chosen ones")];
  if (may("delete")) {
    parts.push(
      button("Move", () => act(() => moved(some, false)), "btn-outline-secondary", "Move the chosen ones"),
      button("Delete", () => act(() => removed(some)), "btn-outline-danger", "Delete the chosen ones"),
    );
  }
  bar.replaceChildren(...parts);
}

// -- actions

async function newFolder() {
  const name = await askText("New folder", "Name", "Make");
  if (name) {
    await act(async () => {
      await makeFolder(here.volume, [...here.path, name]);
      await changed();
    }, `The folder ${visible(name)} was made.`);
  }
}

async function rename(entry, path) {
  const dot = entry.isFolder ? -1 : entry.name.lastIndexOf(".");
  const name = await askText(`Rename ${visible(entry.name)}`, "New name", "Rename", entry.name, dot > 0 ? dot : entry.name.length);
  if (!name || name === entry.name) {
    return;
  }
  if (name.includes("/")) {
    problem("A name has no slash in it. “Move” brings it to another folder.");
    return;
  }
  await transfer(here.volume, path, here.volume, [...path.slice(0, -1), name], { copy: false });
  await changed();
  tell(`${visible(entry.name)} is now ${visible(name)}.`);
}

async function removed(some) {
  const [[, first]] = some;
  const title = some.length === 1 ? `Delete ${visible(first.name)}?` : `Delete ${some.length} files and folders?`;
  const text = some.some(([, entry]) => entry.isFolder) ? "Folders are deleted with all that is in them. This cannot be undone." : "This cannot be undone.";
  if (!(await confirmed(title, text, "Delete"))) {
    return;
  }
  try {
    for (const [path] of some) {
      await remove(here.volume, path);
    }
  } finally {
    await changed();
  }
  tell(some.length === 1 ? `${visible(first.name)} was deleted.` : `${some.length} files and folders were deleted.`);
}

async function moved(some, copy) {
  let done;
  try {
    done = await moveOrCopy(here.volume, some.map(([path]) => path), here.path, copy);
  } finally {
    if (done !== false) {
      await changed();
    }
  }
  if (done) {
    tell(done);
  }
}

// -- search

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const pattern = byId("pattern").value.trim();
  if (!pattern) {
    here.found = undefined;
    showEntries();
    return;
  }
  act(async () => {
    const { found, more } = await search(here.volume, here.path, pattern);
    here.found = found;
    showEntries();
    tell(`Found ${found.length.toLocaleString()}${more ? ", and there are more" : ""}.`);
  });
});

byId("pattern").addEventListener("search", (event) => {
  if (!event.target.value && here.found) {
    here.found = undefined;
    showEntries();
  }
});
