// With whom a volume is shared, and links that open a file for everybody.
import { call, encodeName, encodePath, json, volumeAddress } from "./api.js";
import { act, ask, button, element, visible, when } from "./dom.js";
import { find, loadVolumes } from "./volumes.js";

const RIGHTS = { read: ["read"], write: ["read", "write", "delete"] };

const rightOf = (actions) => (actions.includes("write") ? "write" : "read");

const change = (volume, name, type, allowedActions) =>
  call("PATCH", volumeAddress("share", volume), { json: [{ name, type, allowedActions }] });

function rightChoice(value, label, onchange) {
  return element(
    "select",
    { class: "form-select form-select-sm", "aria-label": label, onchange },
    element("option", { value: "read", selected: value === "read" }, "may read"),
    element("option", { value: "write", selected: value === "write" }, "may read and change"),
  );
}

export async function share(volume) {
  const list = element("div");
  const told = element("div");
  const tried = async (action) => {
    told.replaceChildren();
    try {
      await action();
      await loadVolumes();
      show();
    } catch (error) {
      told.replaceChildren(element("p", { class: "sciserver-problem", role: "alert" }, error.message));
    }
  };

  function show() {
    const sharees = find(volume.place)?.sharedWith ?? [];
    const rows = sharees.map(({ name, type, allowedActions }) => {
      const who = `${type === "GROUP" ? "the group " : ""}${visible(name)}`;
      return element(
        "li",
        { class: "drive-row" },
        element("span", { class: "drive-grow" }, who),
        rightChoice(rightOf(allowedActions), `What ${who} may do`, (event) => tried(() => change(volume, name, type, RIGHTS[event.target.value]))),
        button("Stop", () => tried(() => change(volume, name, type, [])), "btn-outline-danger", `Stop sharing with ${who}`),
      );
    });
    list.replaceChildren(
      rows.length ? element("ul", { class: "drive-list" }, ...rows) : element("p", { class: "text-body-secondary" }, "It is shared with nobody."),
    );
  }

  const type = element("select", { class: "form-select", "aria-label": "Kind" }, element("option", { value: "USER" }, "User"), element("option", { value: "GROUP" }, "Group"));
  const name = element("input", { class: "form-control drive-grow", "aria-label": "Name of the user or group", maxlength: "255", placeholder: "name", autocomplete: "off", spellcheck: "false", autofocus: true });
  const right = rightChoice("read", "What they may do", () => {});
  const add = button("Share", async () => {
    if (name.value.trim()) {
      await tried(() => change(volume, name.value.trim(), type.value, RIGHTS[right.value]));
      name.value = "";
      name.focus();
    }
  }, "btn-primary");
  name.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      add.click();
    }
  });
  show();
  await ask({
    title: `Share ${visible(volume.title)}`,
    content: [
      element("p", {}, "Everything in this volume is shared: for some files only, make a volume for them, or a public link."),
      list,
      element("div", { class: "drive-row mt-3" }, type, name, right, add),
      element("p", { class: "form-text" }, "Containers see it, or no longer, after their next start; this page and scripts at once."),
      told,
    ],
    cancel: "Close",
  });
}

// -- public links

const HOURS = [["1 hour", 1], ["1 day", 24], ["7 days", 168], ["30 days", 720]];

export async function publicLink(volume, path, isFolder) {
  const name = path.at(-1) ?? volume.title;
  const list = element("div");
  const told = element("div");
  const address = encodePath([...volume.place, ...path]);

  async function show() {
    const links = (await json("GET", "api/links")).links.filter((link) => link.path === address);
    const rows = links.map((link) =>
      element(
        "li",
        { class: "drive-row" },
        element("span", { class: "drive-grow" }, "until ", when(link.expires)),
        button("Revoke", () => tried(async () => {
          await call("DELETE", `api/links/${encodeName(link.id)}`);
          made.replaceChildren();
        }), "btn-outline-danger", `Revoke the link that ends ${new Date(link.expires).toLocaleString()}`),
      ),
    );
    list.replaceChildren(...(rows.length ? [element("h3", {}, "Links that are open"), element("ul", { class: "drive-list" }, ...rows)] : []));
  }

  const tried = async (action) => {
    told.replaceChildren();
    try {
      await action();
      await show();
    } catch (error) {
      told.replaceChildren(element("p", { class: "sciserver-problem", role: "alert" }, error.message));
    }
  };

  const made = element("div", { "aria-live": "polite" });
  const hours = element("select", { class: "form-select", id: "link-hours" }, ...HOURS.map(([text, value]) => element("option", { value, selected: value === 168 }, text)));
  const make = button("Make a link", () => tried(async () => {
    const link = await json("POST", "api/links", { json: { path: address, seconds: Number(hours.value) * 3600 } });
    const field = element("input", { class: "form-control", readonly: true, value: link.url, "aria-label": "The link" });
    const copy = button("Copy", async () => {
      field.select();
      await navigator.clipboard.writeText(link.url).catch(() => document.execCommand("copy"));
      copy.textContent = "Copied";
    });
    made.replaceChildren(element("div", { class: "drive-row mt-2" }, field, copy), element("p", { class: "form-text" }, "Keep it now: it is not shown again."));
    field.select();
  }), "btn-primary");

  await act(show);
  await ask({
    title: `Public link to ${visible(name)}`,
    content: [
      element("p", {}, isFolder ? "Whoever has the link can read all files in this folder, without signing in." : "Whoever has the link can read this file, without signing in."),
      element("div", { class: "drive-row" }, element("label", { for: "link-hours" }, "It works for"), hours, make),
      made, list, told,
    ],
    cancel: "Close",
  });
}
