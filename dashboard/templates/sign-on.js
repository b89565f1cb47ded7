// Tabs of one browser learn from each other that nobody is signed in any more: the sign-in page says so, and pages that
// were made for somebody load again if it is true, which leads to the sign-in page.
(function () {
  "use strict";
  if (!("BroadcastChannel" in window)) {
    return;
  }
  const channel = new BroadcastChannel("sciserver-sign-on");

  async function leaveIfSignedOut() {
    if (!window.jhdata.user) {
      return;
    }
    try {
      // The home page answers the signed-in and sends others away. With a redirect, unlike with an error, the
      // browser's console stays silent.
      const answer = await fetch(window.jhdata.base_url + "home", { redirect: "manual", cache: "no-store" });
      if (answer.type === "opaqueredirect") {
        // Not reload(): that would send a form again, and keep the page where the address has a fragment.
        window.location.replace(window.location.pathname + window.location.search);
      }
    } catch {
      // The hub does not answer: nothing is known.
    }
  }

  channel.addEventListener("message", leaveIfSignedOut);
  // "Back" after signing out shows the page as it was, out of the browser's memory or its cache, without asking the hub.
  window.addEventListener("pageshow", (event) => {
    const [visit] = performance.getEntriesByType("navigation");
    if (event.persisted || visit?.type === "back_forward") {
      leaveIfSignedOut();
    }
  });
  window.addEventListener("DOMContentLoaded", () => {
    const page = window.location.pathname.slice(window.jhdata.base_url.length);
    // Other pages without a user, such as those for errors, do not prove that nobody is signed in.
    if (!window.jhdata.user && ["login", "logout"].includes(page)) {
      channel.postMessage("signed-out");
    }
  });
})();
