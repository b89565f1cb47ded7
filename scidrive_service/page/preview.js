// A look at a file: text as text and pictures as pictures, fetched and never run.
import { fileAddress, problemOf } from "./api.js";
import { ask, bytes, element, visible } from "./dom.js";

const LARGEST_TEXT = 1e6;
const LARGEST_PICTURE = 20e6;
const PICTURES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg" };
const TEXTS = new Set("txt md csv tsv log dat json py r sql yaml yml toml ini cfg tex bib sh c h cpp f f90 jl ecsv ipynb xml vot html htm css js svg".split(" "));

const ending = (name) => name.split(".").pop().toLowerCase();

export function hasPreview({ name, size, isFolder }) {
  return !isFolder && ((ending(name) in PICTURES && size <= LARGEST_PICTURE) || (TEXTS.has(ending(name)) && size <= LARGEST_TEXT));
}

async function content(volume, path) {
  const answer = await fetch(fileAddress(volume, path), { headers: { "X-XSRFToken": document.body.dataset.xsrf } });
  if (!answer.ok) {
    throw problemOf(answer.status, await answer.text());
  }
  return answer.arrayBuffer();
}

export async function preview(volume, path, file) {
  const data = await content(volume, path);
  const type = PICTURES[ending(file.name)];
  let shown;
  let address;
  if (type) {
    // The type is ours, not the file's: whatever it contains is decoded as a picture.
    address = URL.createObjectURL(new Blob([data], { type }));
    shown = element("img", { class: "drive-picture", alt: `Picture ${visible(file.name)}`, src: address });
    shown.addEventListener("error", () => shown.replaceWith(element("p", {}, "This is not a picture that the browser can show.")));
  } else {
    const text = new TextDecoder().decode(data.slice(0, LARGEST_TEXT));
    shown = element("pre", { class: "drive-text", tabindex: "0" }, text || "(The file is empty.)");
  }
  await ask({ title: visible(file.name), content: [element("p", { class: "text-body-secondary" }, bytes(file.size)), shown], cancel: "Close" });
  if (address) {
    URL.revokeObjectURL(address);
  }
}
