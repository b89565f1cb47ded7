// Moving and copying: first where to.
import { listFolder, transfer } from "./api.js";
import { act, ask, confirmed, element, visible } from "./dom.js";
import { titleOf, writable } from "./volumes.js";

async function choosePlace(title, volume, path, action) {
  const volumes = writable();
  const same = volumes.find((each) => each.place.join("/") === volume.place.join("/"));
  let here = same ? { volume: same, path } : { volume: volumes[0], path: [] };
  const select = element(
    "select",
    { class: "form-select", id: "place-volume" },
    ...volumes.map((each, index) => element("option", { value: index, selected: each === here.volume }, titleOf(each))),
  );
  const list = element("ul", { class: "drive-list drive-places" });
  const where = element("p", { "aria-live": "polite" });

  const go = (path_) => act(async () => {
    here = { volume: here.volume, path: path_ };
    const folders = (await listFolder(here.volume, path_)).filter((entry) => entry.isFolder);
    where.textContent = `In: ${[titleOf(here.volume), ...path_.map(visible)].join(" / ")}`;
    const up = path_.length ? [element("li", {}, element("button", { type: "button", class: "drive-link", onclick: () => go(path_.slice(0, -1)) }, "↑ the folder above"))] : [];
    const none = path_.length || folders.length ? [] : [element("li", { class: "text-body-secondary" }, "There are no folders in it.")];
    list.replaceChildren(...up, ...none, ...folders.map(({ name }) => element("li", {}, element("button", { type: "button", class: "drive-link", onclick: () => go([...path_, name]) }, visible(name)))));
  });
  select.addEventListener("change", () => {
    here = { volume: volumes[Number(select.value)], path: [] };
    go([]);
  });
  go(here.path);
  return ask({
    title,
    content: [element("label", { class: "form-label", for: "place-volume" }, "Volume"), select, where, list],
    action,
    read: () => here,
  });
}

// Files and folders by their paths; resolves to what is to be told, and to false if nothing was done.
export async function moveOrCopy(volume, paths, folder, copy) {
  const what = paths.length === 1 ? visible(paths[0].at(-1)) : `${paths.length} files and folders`;
  if (!writable().length) {
    throw new Error("You have no volume to which it could go.");
  }
  const to = await choosePlace(`${copy ? "Copy" : "Move"} ${what}`, volume, folder, copy ? "Copy here" : "Move here");
  if (!to) {
    return false;
  }
  for (const path of paths) {
    const carry = (replace) => transfer(volume, path, to.volume, [...to.path, path.at(-1)], { copy, replace });
    try {
      await carry(false);
    } catch (error) {
      if (error.status !== 409) {
        throw error;
      }
      if (await confirmed(`Replace ${visible(path.at(-1))}?`, `${error.message} If you replace it, what is there now is lost.`, "Replace")) {
        await carry(true);
      }
    }
  }
  return `${what} ${copy ? "copied" : "moved"} to ${[titleOf(to.volume), ...to.path.map(visible)].join(" / ")}.`;
}
