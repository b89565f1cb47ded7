// Sections load what they show when they are opened first, and again each time after that.
import { startQuery, edit } from "./query.js";
import { startHistory } from "./history.js";
import { startMyDB } from "./mydb.js";
import { startDatabases } from "./databases.js";

function open(section) {
  bootstrap.Tab.getOrCreateInstance(document.getElementById(`tab-${section}`)).show();
}

// Queries of the history and tables of the browser are put into the editor.
function use(text, context) {
  edit(text, context);
  open("query");
  document.getElementById("text").focus();
}

const sections = {
  query: startQuery(),
  history: startHistory(use),
  mydb: startMyDB(use),
  databases: startDatabases(use),
};

for (const [name, section] of Object.entries(sections)) {
  const tab = document.getElementById(`tab-${name}`);
  tab.addEventListener("shown.bs.tab", () => {
    history.replaceState(null, "", `#${name}`);
    section.show?.();
  });
  tab.addEventListener("hidden.bs.tab", () => section.hide?.());
}

const wanted = window.location.hash.slice(1);
if (wanted in sections && wanted !== "query") {
  open(wanted);
}
