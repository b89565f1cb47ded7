// The list of volumes at the side, and what is done with a volume as a whole.
import { call, encodeName, full, json, listVolumes, user, volumeAddress } from "./api.js";
import { act, ask, askText, button, byId, confirmed, element, many, tell, visible } from "./dom.js";

const HEADINGS = { own: "Yours", shared: "Shared with you", data: "Data" };

let volumes = [];
let roots = [];
let usage = [];
let current;

export const all = () => volumes;

export const find = (place) => volumes.find((volume) => volume.place.every((name, index) => name === place[index]));

export const titleOf = (volume) => visible(volume.title) + (volume.kind === "shared" ? ` of ${visible(volume.owner)}` : "");

// Volumes into which this person may write.
export const writable = () => volumes.filter((volume) => volume.actions.has("write"));

export async function loadVolumes() {
  ({ volumes, roots } = await listVolumes());
  await loadUsage();
}

export async function loadUsage() {
  usage = await json("GET", "fileservice/api/usage");
  show(current);
}

// What a volume holds and may hold: a limit of its own, or the one of all its owner's volumes of that kind.
function usageOf(volume) {
  const these = usage.filter((item) => item.rootVolumeName === volume.root);
  const own = these.find((item) => item.type === "PER_VOLUME" && item.userVolumeName === volume.name);
  const whole = these.find((item) => item.type === "PER_USER");
  const limited = [own, whole].find((item) => item?.numberOfBytesQuota);
  return limited ?? own ?? whole;
}

function bar(volume) {
  const item = volume.kind === "own" && usageOf(volume);
  if (!item) {
    return [];
  }
  const { numberOfBytesUsed: used, numberOfBytesQuota: quota, numberOfFilesUsed: files, numberOfFilesQuota: most } = item;
  const text = full(used, quota) + (most ? `, ${many(files, "file")} of ${most.toLocaleString()}` : "");
  const share = Math.max(quota ? used / quota : 0, most ? files / most : 0);
  const parts = [element("small", { class: share > 0.9 ? "drive-nearly" : "" }, text)];
  if (quota || most) {
    parts.unshift(element("progress", { value: Math.min(share, 1), max: 1, "aria-hidden": "true" }));
  }
  return parts;
}

export function show(volume) {
  current = volume;
  const parts = [];
  for (const [kind, heading] of Object.entries(HEADINGS)) {
    const some = volumes.filter((each) => each.kind === kind);
    if (some.length) {
      parts.push(element("h2", { id: `volumes-${kind}` }, heading), element("ul", { "aria-labelledby": `volumes-${kind}` }, ...some.map(line)));
    }
  }
  if (roots.length) {
    parts.push(button("New volume", create));
  }
  byId("volumes").replaceChildren(...parts);
}

function line(volume) {
  const owner = volume.kind === "shared" ? [element("small", {}, `of ${visible(volume.owner)}`)] : [];
  const link = element("a", { href: `#/${volume.place.map(encodeName).join("/")}` }, element("span", {}, visible(volume.title)), ...owner, ...bar(volume));
  if (current && volume.place.join("/") === current.place.join("/")) {
    link.setAttribute("aria-current", "true");
  }
  return element("li", {}, link);
}

const NAMES = "Letters, digits and . _ @ + -, the first a letter or a digit.";

async function create() {
  const kind = element("select", { class: "form-select", id: "volume-root" }, ...roots.map((root) => element("option", { value: root.name }, root.name)));
  const explained = element("p", { class: "form-text", id: "volume-root-help" });
  const explain = () => {
    explained.textContent = roots.find((root) => root.name === kind.value)?.description ?? "";
  };
  kind.addEventListener("change", explain);
  explain();
  const name = element("input", { class: "form-control", id: "volume-name", required: true, maxlength: "63", pattern: "[A-Za-z0-9][A-Za-z0-9._@+\\-]*", title: NAMES, autocomplete: "off", spellcheck: "false", autofocus: true });
  const made = await ask({
    title: "New volume",
    content: [
      element("label", { class: "form-label", for: "volume-root" }, "Kind of storage"), kind, explained,
      element("label", { class: "form-label", for: "volume-name" }, "Name"), name, element("p", { class: "form-text" }, NAMES, " Containers see it after their next start."),
    ],
    action: "Make",
    read: () => [kind.value, user, name.value.trim()],
  });
  if (made) {
    await act(async () => {
      await call("PUT", `fileservice/api/volume/${made.map(encodeName).join("/")}`, { query: { quiet: "False" } });
      await loadVolumes();
      window.location.hash = `#/${made.map(encodeName).join("/")}`;
      tell(`The volume ${made[2]} was made.`);
    });
  }
}

export async function renameVolume(volume) {
  const name = await askText(`Rename the volume ${volume.name}`, NAMES, "Rename", volume.name);
  if (name && name.trim() !== volume.name) {
    await act(async () => {
      await call("PATCH", volumeAddress("volume", volume), { json: { name: name.trim() } });
      await loadVolumes();
      window.location.hash = `#/${[volume.root, volume.owner, name.trim()].map(encodeName).join("/")}`;
    });
  }
}

export async function deleteVolume(volume) {
  const text = `All files in ${volume.title} will be gone, also for those with whom it is shared. This cannot be undone.`;
  if (await confirmed(`Delete the volume ${visible(volume.name)}?`, text, "Delete the volume")) {
    await act(async () => {
      await call("DELETE", volumeAddress("volume", volume), { query: { quiet: "False" } });
      await loadVolumes();
      window.location.hash = "";
      tell(`The volume ${volume.name} was deleted.`);
    });
  }
}
