(function () {
  "use strict";
  const page = document.querySelector(".sciserver-account");
  const own = "own" in page.dataset;
  const owner = page.dataset.user;
  const hub = window.jhdata.base_url;
  const byId = (id) => document.getElementById(id);

  // -- the hub's REST interface

  async function call(method, path, body) {
    const headers = { "X-XSRFToken": window.jhdata.xsrf_token };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
    }
    let answer;
    try {
      answer = await fetch(`${hub}api/users/${encodeURIComponent(owner)}/${path}`, {
        method: method,
        headers: headers,
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      throw new Error("The hub does not answer. Try again in a minute.");
    }
    if (answer.ok) {
      return answer.status === 204 ? null : answer.json();
    }
    if (answer.status === 401 || answer.status === 403) {
      throw new Error("The hub refuses this. Load the page again: perhaps you were signed out.");
    }
    if (answer.status === 404) {
      throw new Error("It is gone already. Load the page again to see what there is.");
    }
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.message || `The hub answered with error ${answer.status}. Try again in a minute.`);
  }

  // The hub makes the lists; after a change they are taken out of the page as it is then.
  async function update() {
    const answer = await fetch(window.location.pathname, { cache: "no-store" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!fresh.querySelector(".sciserver-account")) {
      window.location.reload();
      return;
    }
    for (const list of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(list.id);
      if (now) {
        list.replaceChildren(...now.childNodes);
      }
    }
    showTimes();
  }

  // -- times in the reader's zone and language

  function showTimes() {
    const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
    const short = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
    const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
    const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
    for (const time of page.querySelectorAll("time")) {
      const moment = new Date(time.dateTime);
      const minutes = Math.round((moment - Date.now()) / 60000);
      time.title = full.format(moment);
      if ("relative" in time.dataset && Math.abs(minutes) < 24 * 60) {
        const hours = Math.abs(minutes) >= 60;
        time.textContent = relative.format(hours ? Math.round(minutes / 60) : minutes, hours ? "hour" : "minute");
      } else {
        time.textContent = ("day" in time.dataset ? day : short).format(moment);
      }
    }
  }

  // -- what happened, said where it happened

  function say(section, text) {
    section.querySelector(".sciserver-told").textContent = text;
  }

  function complain(place, text) {
    let problem = place.querySelector(":scope > .sciserver-problem");
    if (!problem) {
      problem = document.createElement("p");
      problem.className = "sciserver-problem";
      problem.setAttribute("role", "alert");
      place.append(problem);
    }
    problem.textContent = text;
  }

  const dialog = byId("confirm");

  // Resolves to false, or to true or the seconds that were chosen.
  function confirmed(question) {
    byId("confirm-title").textContent = question.title;
    byId("confirm-text").textContent = question.text;
    byId("confirm-lifetime-row").hidden = !question.lifetime;
    const yes = byId("confirm-yes");
    yes.textContent = question.action;
    yes.className = `btn ${question.lifetime ? "btn-primary" : "btn-danger"}`;
    dialog.returnValue = "no";
    dialog.showModal();
    return new Promise((resolve) => {
      const done = () => {
        const agreed = dialog.returnValue === "yes";
        resolve(agreed && question.lifetime ? Number(byId("confirm-lifetime").value) : agreed);
      };
      dialog.addEventListener("close", done, { once: true });
    });
  }

  // -- the buttons

  const who = own ? "you" : owner;
  const actions = {
    "revoke-token": {
      question: (name) => ({
        title: `Revoke “${name}”?`,
        text: "Programs that use this token stop working at once. It cannot be undone.",
        action: "Revoke",
      }),
      run: (id) => call("DELETE", `tokens/${id}`),
      told: (name) => `“${name}” is revoked.`,
    },
    renew: {
      question: (name) => ({
        title: `Renew “${name}”`,
        text: "The token itself stays the same; programs that use it need no change.",
        action: "Renew",
        lifetime: true,
      }),
      run: (id, seconds) => call("POST", `tokens/${id}/renew`, { expires_in: seconds }),
      told: (name) => `“${name}” is renewed.`,
    },
    "revoke-application": {
      question: (name, row) => ({
        title: `Revoke ${name}?`,
        text:
          "inside" in row.dataset
            ? "What runs in this server loses its access to the platform until the server is started again."
            : "Open pages of it stop working until they are loaded again.",
        action: "Revoke",
      }),
      run: (ids) => Promise.all(ids.split(" ").map((id) => call("DELETE", `tokens/${id}`))),
      told: (name) => `${name} is revoked.`,
    },
    "end-session": {
      question: (name) => ({
        title: `End the session in ${name}?`,
        text: `{% if portal_url %}That browser must sign in again, with the password.{% else %}That browser is signed out here. The sign-in service may let it in again without a password: sign out there as well.{% endif %} Tokens that ${who} made are kept.`,
        action: "End",
      }),
      run: (key) => call("DELETE", `sessions/${key}`),
      told: (name) => `The session in ${name} has ended.`,
    },
    "end-all": {
      question: () => ({
        title: "Sign out everywhere?",
        text: own
          ? "Every browser, this one as well, must sign in again. Running servers go on, and tokens that you made are kept."
          : `Every browser of ${owner} must sign in again. Running servers go on, and tokens are kept.`,
        action: "Sign out everywhere",
      }),
      run: () => call("DELETE", "sessions"),
      told: () => `${owner} is signed out everywhere.`,
      leaves: own,
    },
    unlink: {
      question: (name) => ({
        title: `Remove the link to ${name}?`,
        text: `That account can no longer sign in as ${owner}; its sessions end.`,
        action: "Remove",
      }),
      run: (id) => call("DELETE", `identities/${id}`),
      told: (name) => `The link to ${name} is removed.`,
    },
    "revoke-all": {
      question: () => ({
        title: `Revoke all access of ${owner}?`,
        text: "Sessions end, tokens die and servers stop, at once. What is not saved in a notebook is lost.",
        action: "Revoke all access",
      }),
      run: () => call("POST", "revoke"),
      told: () => `${owner} has no access any more, until the next sign-in.`,
    },
  };

  page.addEventListener("click", async (event) => {
    const more = event.target.closest("[data-more]");
    if (more) {
      const list = more.closest("[data-live]");
      const hidden = list.querySelectorAll("tr[hidden]");
      hidden.forEach((row) => (row.hidden = false));
      more.hidden = true;
      hidden[0].tabIndex = -1;
      hidden[0].focus();
      return;
    }
    const button = event.target.closest("[data-do]");
    if (!button) {
      return;
    }
    const action = actions[button.dataset.do];
    const section = button.closest("section");
    const row = button.closest("tr") || button;
    const name = row.dataset.name;
    say(section, "");
    const answer = await confirmed(action.question(name, row));
    if (answer === false) {
      button.focus();
      return;
    }
    button.disabled = true;
    try {
      await action.run(row.dataset.id, answer);
    } catch (error) {
      button.disabled = false;
      complain(button.closest(".sciserver-do"), error.message);
      button.focus();
      return;
    }
    if (action.leaves) {
      window.location.assign(hub + "login");
      return;
    }
    await update();
    button.disabled = false;
    say(section, action.told(name));
    // The button is gone with its row; the keyboard goes on from the section's title.
    section.querySelector("h2").focus();
  });

  // -- a new token

  function check(field, place, problem) {
    byId(place).textContent = problem;
    if (field) {
      field.toggleAttribute("aria-invalid", Boolean(problem));
    }
    return !problem;
  }

  const form = byId("new-token");
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const note = byId("token-note");
    const boxes = [...form.querySelectorAll("[name=scope]")];
    const scopes = boxes.filter((box) => box.checked).map((box) => box.value);
    const named = check(note, "token-note-problem", note.value.trim() ? "" : "Say what it is for, to find it again.");
    const allowed = check(null, "token-scopes-problem", scopes.length ? "" : "Choose at least one.");
    if (!named || !allowed) {
      (named ? boxes[0] : note).focus();
      return;
    }
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      const made = await call("POST", "tokens", {
        note: note.value.trim(),
        expires_in: Number(byId("token-lifetime").value),
        // "Everything" is said alone; the hub knows no more beside it.
        scopes: scopes.includes("inherit") ? ["inherit"] : scopes,
      });
      byId("new-token-value").value = made.token;
    } catch (error) {
      complain(button.parentElement, error.message);
      return;
    } finally {
      button.disabled = false;
    }
    complain(button.parentElement, "");
    form.reset();
    byId("new-token-details").open = false;
    const shown = byId("new-token-shown");
    say(shown, "");
    await update();
    shown.hidden = false;
    shown.focus({ preventScroll: true });
    // At once: Bootstrap's slow scrolling would show the page in motion.
    shown.scrollIntoView({ block: "center", behavior: "instant" });
  });

  byId("copy-token")?.addEventListener("click", async () => {
    const field = byId("new-token-value");
    field.select();
    let copied = false;
    try {
      await navigator.clipboard.writeText(field.value);
      copied = true;
    } catch {
      // Without TLS browsers give pages no clipboard; the old way still works there.
      copied = document.execCommand("copy");
    }
    say(byId("new-token-shown"), copied ? "Copied." : "Press Ctrl+C to copy it.");
  });

  byId("hide-token")?.addEventListener("click", () => {
    byId("new-token-value").value = "";
    byId("new-token-shown").hidden = true;
    byId("tokens-title").focus();
  });

  const address = byId("service-address");
  if (address) {
    address.textContent = window.location.origin + address.textContent;
  }

  // -- for administrators

  byId("link-identity")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [issuer, subject] = [byId("identity-issuer"), byId("identity-subject")];
    const place = event.target.querySelector("[type=submit]").parentElement;
    if (!issuer.value.trim() || !subject.value.trim()) {
      complain(place, "Both are needed.");
      return;
    }
    try {
      await call("POST", "identities", { issuer: issuer.value.trim(), subject: subject.value.trim() });
    } catch (error) {
      complain(place, error.message);
      return;
    }
    complain(place, "");
    event.target.reset();
    await update();
    say(byId("profile"), "The account is linked.");
  });

  byId("find-person")?.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("person-name").value.trim();
    if (name) {
      window.location.assign(hub + "account/" + encodeURIComponent(name));
    }
  });

  showTimes();
})();
