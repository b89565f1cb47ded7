// What the pages of our services share: elements without markup, and requests to the service.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      made.addEventListener(name.slice(2), value);
    } else if (value === true) {
      made.setAttribute(name, "");
    } else if (value !== false && value !== undefined) {
      made.setAttribute(name, value);
    }
  }
  made.append(...children);
  return made;
}

export function button(text, action, style = "btn-outline-secondary", label = text) {
  const made = element("button", { type: "button", class: `btn btn-sm ${style}`, "aria-label": label }, text);
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await action(made);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

const UNITS = [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]];

export function bytes(count) {
  for (const [unit, size] of UNITS) {
    if (count >= size) {
      return `${(count / size).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${unit}`;
    }
  }
  return count === 1 ? "1 byte" : `${count} bytes`;
}

// Does something; says that it is done, or why it is not. An action that was broken off says nothing.
export async function attempt(action, succeeded, failed) {
  try {
    const result = await action();
    succeeded();
    return result;
  } catch (error) {
    if (error.name !== "AbortError") {
      failed(error.message);
    }
    return undefined;
  }
}

export class Problem extends Error {
  constructor(text, status = 0, details = {}) {
    super(text);
    this.status = status;
    this.details = details;
  }
}

const sentences = {
  0: "The service does not answer. Try again in a minute.",
  401: "You are not signed in any more. Load the page again.",
  413: "The file is larger than the service takes.",
  503: "The service is busy. Try again in a minute.",
  507: "There is no room left.",
};

export function problemOf(status, body) {
  let details = {};
  try {
    details = JSON.parse(body) ?? {};
  } catch {
    // Not ours: the proxy's page, for instance.
  }
  return new Problem(details.error || sentences[status] || `The service answered with error ${status}.`, status, details);
}

// Requests to the addresses below `root`.
export function caller(root) {
  return async function call(method, path, { query = {}, json, body, headers = {}, signal } = {}) {
    const address = new URL(root + path, window.location.href);
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined) {
        address.searchParams.set(key, value);
      }
    }
    const all = { "X-XSRFToken": document.body.dataset.xsrf, Accept: "application/json", ...headers };
    if (json !== undefined) {
      all["Content-Type"] = "application/json";
      body = JSON.stringify(json);
    }
    let answer;
    try {
      answer = await fetch(address, { method, headers: all, body, signal });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Problem(sentences[0]);
    }
    if (!answer.ok) {
      throw problemOf(answer.status, await answer.text().catch(() => ""));
    }
    return answer;
  };
}
