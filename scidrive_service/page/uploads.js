// Files on their way to the service: three at a time, large ones in parts, which go on where they stopped.
import { base, call, encodeName, encodePath, json, makeFolder, problemOf, xsrf } from "./api.js";
import { ask, button, byId, bytes, element, many, visible } from "./dom.js";

const AT_ONCE = 3;
const LARGE = 32e6;
const PART = 16 * 2 ** 20;
const TRIES = 4;
const PAUSES = [1000, 3000, 9000];

const queue = [];
let running = 0;
let afterwards = () => {};

export const isBusy = () => queue.some((item) => ["waiting", "running"].includes(item.state));

// -- where an upload that was left may go on: the service keeps its parts for days

const memory = "scidrive-uploads";
const keyOf = ({ volume, path, file }) => JSON.stringify([volume.place, path, file.size, file.lastModified]);

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(memory)) ?? {};
  } catch {
    return {};
  }
}

function remember(key, id) {
  const all = remembered();
  delete all[key];
  const kept = Object.entries(all).slice(-49);
  try {
    localStorage.setItem(memory, JSON.stringify(Object.fromEntries(id ? [...kept, [key, id]] : kept)));
  } catch {
    // Without it an upload begins anew after the page is left.
  }
}

// -- sending

// `fetch` tells nothing of how much has been sent.
function send(method, path, body, item, headers = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    item.abort = () => request.abort();
    request.open(method, base + path);
    for (const [name, value] of Object.entries({ "X-XSRFToken": xsrf, "Content-Type": "application/octet-stream", ...headers })) {
      request.setRequestHeader(name, value);
    }
    request.upload.addEventListener("progress", ({ loaded }) => progress(item, item.offset + loaded));
    request.addEventListener("load", () => (request.status < 300 ? resolve(request) : reject(problemOf(request.status, request.responseText))));
    request.addEventListener("error", () => reject(problemOf(0, "")));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    request.send(body);
  });
}

const isPassing = (error) => [0, 500, 502, 503, 504].includes(error.status);

const pause = (milliseconds) => new Promise((resolve) => {
  setTimeout(resolve, milliseconds);
});

// Tries again what may go well another time; what the service refuses is refused.
async function patiently(item, action) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await action(attempt);
    } catch (error) {
      if (item.state !== "running" || !isPassing(error) || attempt + 1 >= TRIES) {
        throw error;
      }
      show(item, "The connection broke. Trying again …");
      await pause(PAUSES[Math.min(attempt, PAUSES.length - 1)]);
    }
  }
}

const addressOf = ({ volume, path }) => encodePath([...volume.place, ...path]);

async function sendWhole(item) {
  item.offset = 0;
  const quiet = item.replace ? "True" : "False";
  await patiently(item, () => send("PUT", `fileservice/api/file/${addressOf(item)}?quiet=${quiet}`, item.file, item));
}

// -- in parts: the protocol tus

const note = (text) => btoa(text.replace(/%([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16))));

function begin(item) {
  const headers = {
    "Upload-Length": item.file.size,
    "Upload-Metadata": `path ${note(addressOf(item))},overwrite ${note(String(item.replace))}`,
  };
  return json("POST", "api/uploads", { headers });
}

// How far an upload has come; undefined if the service has none such any more.
async function offsetOf(id) {
  try {
    return (await json("GET", `api/uploads/${encodeName(id)}`)).offset;
  } catch (error) {
    if (error.status === 404) {
      return undefined;
    }
    throw error;
  }
}

async function sendParts(item) {
  const key = keyOf(item);
  const { size } = item.file;
  let id = remembered()[key];
  item.offset = id && (await patiently(item, () => offsetOf(id)));
  if (item.offset === undefined) {
    ({ id } = await patiently(item, () => begin(item)));
    item.offset = 0;
    remember(key, id);
  }
  const address = `api/uploads/${encodeName(id)}`;
  item.drop = async () => {
    remember(key);
    await call("DELETE", address).catch(() => {});
  };
  let isThere = false;
  while (item.offset < size) {
    await patiently(item, async (attempt) => {
      if (attempt) {
        const found = await offsetOf(id);
        // Only the answer to the last part was lost.
        isThere = found === undefined && item.offset + PART >= size;
        item.offset = isThere ? size : (found ?? item.offset);
      }
      if (item.offset < size) {
        const part = item.file.slice(item.offset, item.offset + PART);
        const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": item.offset };
        item.offset = Number((await send("PATCH", address, part, item, headers)).getResponseHeader("Upload-Offset"));
        // With the last part the file appears.
        isThere = item.offset === size;
      }
    });
  }
  if (!isThere) {
    await patiently(item, () => json("POST", address, { json: { path: addressOf(item), overwrite: item.replace } }));
  }
  remember(key);
  item.drop = undefined;
}

async function run(item) {
  running += 1;
  item.state = "running";
  item.problem = "";
  show(item);
  try {
    await (item.file.size > LARGE ? sendParts(item) : sendWhole(item));
    item.state = "done";
  } catch (error) {
    if (error.name === "AbortError") {
      item.state = "cancelled";
      await item.drop?.();
    } else {
      item.state = "failed";
      item.problem = error.status === 409 && !item.replace ? "There is a file of that name already." : error.message;
      item.canReplace = error.status === 409 && !item.replace;
    }
  }
  running -= 1;
  show(item);
  next();
}

function next() {
  while (running < AT_ONCE) {
    const item = queue.find(({ state }) => state === "waiting");
    if (!item) {
      break;
    }
    run(item);
  }
  summary();
  if (!isBusy()) {
    afterwards();
  }
}

export function whenDone(action) {
  afterwards = action;
}

// -- what is to be seen

function progress(item, sent) {
  item.bar.value = item.file.size ? sent / item.file.size : 1;
  item.text.textContent = `${bytes(sent)} of ${bytes(item.file.size)}`;
}

function show(item, note = "") {
  const words = { waiting: "Waiting", running: note, done: `Done, ${bytes(item.file.size)}`, cancelled: "Cancelled", failed: item.problem };
  item.text.textContent = words[item.state];
  item.text.className = item.state === "failed" ? "sciserver-problem" : "";
  item.text.setAttribute("role", item.state === "failed" ? "alert" : "none");
  item.bar.hidden = item.state !== "running";
  const name = visible(item.path.at(-1));
  const again = (replace) => {
    item.replace ||= replace;
    item.state = "waiting";
    show(item);
    next();
  };
  const tools = [];
  if (["waiting", "running"].includes(item.state)) {
    tools.push(button("Cancel", () => cancel(item), "btn-outline-secondary", `Cancel ${name}`));
  } else if (item.state === "failed" && item.canReplace) {
    tools.push(button("Replace", () => again(true), "btn-outline-danger", `Replace ${name}`));
  } else if (item.state !== "done") {
    tools.push(button("Try again", () => again(false), "btn-outline-secondary", `Try ${name} again`));
  }
  item.tools.replaceChildren(...tools);
}

function cancel(item) {
  if (item.state === "waiting") {
    item.state = "cancelled";
    show(item);
    next();
  } else {
    item.state = "stopping";
    item.abort?.();
  }
}

const title = element("h2");
const list = element("ul", { class: "drive-list" });
const clear = button("Clear the list", () => {
  for (const item of queue.filter(({ state }) => !["waiting", "running"].includes(state))) {
    item.line.remove();
    queue.splice(queue.indexOf(item), 1);
  }
  summary();
});

function summary() {
  const left = queue.filter(({ state }) => ["waiting", "running"].includes(state)).length;
  const failed = queue.filter(({ state }) => state === "failed").length;
  const words = left ? `Uploading ${many(left, "file")}` : "Uploads are done";
  title.textContent = failed ? `${words}, ${failed} failed` : words;
  clear.hidden = left > 0;
  byId("uploads").hidden = !queue.length;
}

function enqueue(volume, path, file, replace) {
  const item = { volume, path, file, replace, state: "waiting", offset: 0 };
  item.bar = element("progress", { value: 0, max: 1, "aria-label": `Progress of ${visible(path.at(-1))}` });
  item.text = element("span");
  item.tools = element("span");
  item.line = element("li", {}, element("div", { class: "drive-row" }, element("span", { class: "drive-grow" }, visible(path.join("/"))), item.tools), item.bar, item.text);
  list.append(item.line);
  queue.push(item);
  show(item);
}

// `files`: pairs of a path below the folder and a file.
export async function upload({ volume, path, entries }, files) {
  const present = new Set(entries.map(({ name }) => name));
  const doubles = files.filter(([[first, ...rest]]) => !rest.length && present.has(first));
  let wanted = files;
  let replace = false;
  if (doubles.length) {
    const names = doubles.slice(0, 5).map(([[name]]) => visible(name)).join(", ") + (doubles.length > 5 ? " …" : "");
    const choice = element(
      "select",
      { class: "form-select", "aria-label": "What to do with them" },
      element("option", { value: "skip" }, "Leave the files that are there"),
      element("option", { value: "replace" }, "Replace them"),
    );
    const answer = await ask({
      title: doubles.length === 1 ? "This file is there already" : `${doubles.length} files are there already`,
      content: [element("p", {}, names), choice],
      action: "Upload",
      read: () => choice.value,
    });
    if (!answer) {
      return;
    }
    replace = answer === "replace";
    wanted = replace ? files : files.filter((each) => !doubles.includes(each));
  }
  byId("uploads").replaceChildren(element("div", { class: "drive-row" }, title, clear), list);
  for (const [below, file] of wanted) {
    if (file) {
      enqueue(volume, [...path, ...below], file, replace);
    } else {
      // A folder that has nothing in it.
      await makeFolder(volume, [...path, ...below]).catch(() => {});
    }
  }
  next();
}

// -- where files come from

let target;

export function chooseFiles(place) {
  target = place;
  byId("files").click();
}

byId("files").addEventListener("change", (event) => {
  const files = [...event.target.files].map((file) => [[file.name], file]);
  event.target.value = "";
  upload(target, files);
});

async function readAll(entry, above = []) {
  const path = [...above, entry.name];
  if (entry.isFile) {
    return [[path, await new Promise((resolve, reject) => {
      entry.file(resolve, reject);
    })]];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (!some.length) {
      return found.length ? found : [[path, null]];
    }
    for (const child of some) {
      found.push(...(await readAll(child, path)));
    }
  }
}

export function acceptDrops(zone, place) {
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    zone.classList.toggle("drive-over", depth > 0);
  };
  const isWelcome = (event) => event.dataTransfer?.types.includes("Files") && place().volume?.actions.has("write");
  zone.addEventListener("dragenter", (event) => isWelcome(event) && mark(1));
  zone.addEventListener("dragleave", (event) => isWelcome(event) && mark(-1));
  zone.addEventListener("dragover", (event) => {
    if (isWelcome(event)) {
      event.preventDefault();
    }
  });
  zone.addEventListener("drop", async (event) => {
    mark(-depth);
    if (!isWelcome(event)) {
      return;
    }
    event.preventDefault();
    const here = { ...place() };
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const plain = [...event.dataTransfer.files].map((file) => [[file.name], file]);
    const files = entries.length ? (await Promise.all(entries.map((entry) => readAll(entry)))).flat() : plain;
    await upload(here, files);
  });
}
