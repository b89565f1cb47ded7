// Which folder is open stands in the address, so that the browser's own buttons go back and forth.
import { decodeName, json } from "./api.js";
import { byId, element, many, problem, visible, when } from "./dom.js";
import { hashOf, open, place, refresh } from "./folder.js";
import { acceptDrops, isBusy, whenDone } from "./uploads.js";
import { all, find, loadUsage, loadVolumes } from "./volumes.js";

async function follow() {
  const names = window.location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeName);
  const volume = names.length ? find(names) : all()[0];
  if (volume) {
    await open(volume, names.slice(volume.place.length));
  } else {
    byId("entries").replaceChildren();
    problem(names.length ? "There is no such volume, or it is not shared with you any more. Choose another one." : "You have no volumes yet.");
  }
}

// Files of temporary storage that will be removed soon.
async function warn() {
  const files = await json("GET", "api/expiring");
  if (!files.length) {
    byId("expiring").replaceChildren();
    return;
  }
  const lines = files.slice(0, 100).map((file) => {
    const names = file.href.split("/").map(decodeName);
    const volume = find(names);
    const text = names.map(visible).join(" / ");
    const shown = volume ? element("a", { href: hashOf(volume, names.slice(volume.place.length, -1)) }, text) : text;
    return element("li", {}, shown, " – ", when(file.expires));
  });
  const rest = files.length > lines.length ? [element("p", {}, `… and ${files.length - lines.length} more.`)] : [];
  byId("expiring").replaceChildren(
    element(
      "details",
      { class: "alert alert-warning" },
      element("summary", {}, `${many(files.length, "file")} will be removed soon. Move what you want to keep.`),
      element("ul", {}, ...lines),
      ...rest,
    ),
  );
}

window.addEventListener("hashchange", follow);
window.addEventListener("beforeunload", (event) => {
  if (isBusy()) {
    event.preventDefault();
  }
});
acceptDrops(byId("folder"), place);
whenDone(async () => {
  await refresh();
  await loadUsage().catch(() => {});
});

try {
  await loadVolumes();
  await follow();
  await warn().catch(() => {});
} catch (error) {
  byId("volumes").replaceChildren();
  problem(error.message);
}
