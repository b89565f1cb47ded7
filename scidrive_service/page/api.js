// The service's REST interface, and the addresses of files.
import { bytes, visible } from "./dom.js";
import { caller } from "./sciserver.js";

export { Problem, problemOf } from "./sciserver.js";

export const { base, xsrf, user } = document.body.dataset;

export const call = caller(base);

export async function json(method, path, options) {
  const text = await (await call(method, path, options)).text();
  return text ? JSON.parse(text) : {};
}

// -- addresses

const hex = (code) => `%${code.toString(16).toUpperCase().padStart(2, "0")}`;

// As the service spells names in addresses. A byte of a name that is no text comes as half of a surrogate pair (Python's
// surrogateescape); it goes back as it was.
export function encodeName(name) {
  let encoded = "";
  for (const character of name) {
    const code = character.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) {
      encoded += hex(code & 0xff);
    } else {
      encoded += encodeURIComponent(code >= 0xd800 && code <= 0xdfff ? "\ufffd" : character);
    }
  }
  return encoded.replace(/[!'()*]/g, (sign) => hex(sign.charCodeAt(0)));
}

export function decodeName(text) {
  const raw = new Uint8Array([...text.replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)))].map((c) => c.charCodeAt(0)));
  let name = "";
  let rest = raw;
  while (rest.length) {
    try {
      return name + new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(rest);
    } catch {
      const [part, taken] = firstPart(rest);
      name += part;
      rest = rest.subarray(taken);
    }
  }
  return name;
}

function firstPart(raw) {
  for (let length = 1; length <= Math.min(4, raw.length); length += 1) {
    try {
      return [new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw.subarray(0, length)), length];
    } catch {
      // A longer piece may be a character.
    }
  }
  return [String.fromCharCode(0xdc00 + raw[0]), 1];
}

export const encodePath = (names) => names.map(encodeName).join("/");

export const shown = (names) => names.map(visible).join(" / ");

// -- volumes

// One volume, as the page names it: `place` are the first names of its files' addresses.
function userVolume(root, volume) {
  return {
    kind: volume.owner === user ? "own" : "shared",
    root: root.name,
    owner: volume.owner,
    name: volume.name,
    title: `${root.name} / ${volume.name}`,
    description: volume.description || root.description || "",
    place: [root.name, volume.owner, volume.name],
    actions: new Set(volume.allowedActions),
    sharedWith: volume.sharedWith ?? [],
  };
}

// Everybody has one, and the client libraries know it by other ways than the list.
const drive = {
  kind: "own",
  root: "SciDrive",
  owner: user,
  name: "",
  title: "SciDrive",
  description: "Files that you reach from everywhere: notebooks, scripts, this page, a mounted drive.",
  place: ["SciDrive", user],
  actions: new Set(["read", "write", "delete"]),
  sharedWith: [],
};

export async function listVolumes() {
  const listing = await json("GET", "fileservice/api/volumes/");
  const volumes = [drive];
  for (const root of listing.rootVolumes) {
    volumes.push(...root.userVolumes.map((volume) => userVolume(root, volume)));
  }
  for (const data of listing.dataVolumes) {
    volumes.push({
      kind: "data",
      root: data.name,
      name: data.name,
      title: data.displayName || data.name,
      description: data.description || "",
      place: [data.name],
      actions: new Set(["read"]),
      sharedWith: [],
    });
  }
  const roots = listing.rootVolumes.filter((root) => root.allowedActions.includes("create"));
  return { volumes, roots };
}

export const volumeAddress = (kind, volume) => `fileservice/api/${kind}/${encodePath(volume.place)}`;

const address = (kind, volume, path) => `${volumeAddress(kind, volume)}/${encodePath(path)}`;

export const fileAddress = (volume, path) => base + address("file", volume, path);

// -- files

export async function listFolder(volume, path, signal) {
  const { root } = await json("GET", address("jsontree", volume, path), { query: { level: 2 }, signal });
  const folders = (root.folders ?? []).map((folder) => ({ ...folder, isFolder: true, size: null }));
  const files = (root.files ?? []).map((file) => ({ ...file, isFolder: false }));
  return [...folders, ...files];
}

// Files and folders below a folder, by name; `above` is where each one is, from there on.
export async function search(volume, path, pattern) {
  const folder = [...volume.place, ...path];
  const { entries, more } = await json("GET", `api/search?path=${encodePath(folder)}`, { query: { pattern } });
  const found = entries.map((entry) => ({ ...entry, key: entry.path, above: entry.path.split("/").slice(folder.length, -1).map(decodeName) }));
  return { found, more };
}

export const makeFolder = (volume, path) => call("PUT", address("folder", volume, path), { query: { quiet: "False" } });

export const remove = (volume, path) => call("DELETE", address("data", volume, path), { query: { quiet: "False" } });

export function transfer(volume, path, target, to, { copy, replace = false }) {
  // SciDrive's volumes have no name: what comes third is then the first name of the path.
  const [root, owner, name, ...rest] = [...target.place, ...to];
  return call("PUT", address("data", volume, path), {
    query: { replaceExisting: replace, doCopy: copy },
    json: { destinationRootVolume: root, destinationOwnerName: owner, destinationUserVolume: name, destinationPath: rest.join("/") },
  });
}

export function full(used, quota) {
  return quota ? `${bytes(used)} of ${bytes(quota)} used` : `${bytes(used)} used`;
}
